"""`cfbench doctor`: which versions, devices and folders are used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption


def doctor(results: ResultsOption = DEFAULT_RESULTS, json: JsonOption = False) -> None:
    """Say which versions, devices and folders cfbench uses, to be quoted in a bug report.

    Example: cfbench doctor
    """
    import torch

    from cfbench import __version__
    from cfbench.data import card, store
    from cfbench.files import data_home
    from cfbench.runs import record

    machine = record.this_machine(None, torch.get_num_threads())
    cuda = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    facts = {
        "cfbench": __version__,
        "python": machine.python,
        **{name: version for name, version in machine.libraries.items() if name != "cfbench-recsys"},
        "system": machine.system,
        "processor": f"{machine.processor}, {machine.cores} cores, {machine.threads} threads used by torch",
        "devices": ", ".join(["cpu", *(f"cuda:{k} ({name})" for k, name in enumerate(cuda)),
                              *(["mps"] if torch.backends.mps.is_available() else [])]),
        "data folder": _folder(data_home(), "CFBENCH_DATA"),
        "results folder": _folder(results, "--results or CFBENCH_RESULTS"),
        "data sets here": ", ".join(name for name in card.names() if store.is_ready(card.load(name))) or "none",
        "current data set": store.current() or "none",
    }  # fmt: skip
    if json:
        console.print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        console.result(f"{name:{width}}  {value}")


def _folder(path: Path, setting: str) -> str:
    from cfbench.files import format_bytes

    nearest = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    state = "" if os.access(nearest, os.W_OK) else "NOT WRITABLE, "
    return f"{path.absolute()} ({state}{format_bytes(shutil.disk_usage(nearest).free)} free; change with {setting})"
