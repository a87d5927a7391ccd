"""`cfbench doctor`: the versions, devices and folders that cfbench uses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cfbench.cli import console
from cfbench.cli.dataset_choice import readable_cards
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption


def doctor(results: ResultsOption = DEFAULT_RESULTS, json: JsonOption = False) -> None:
    """Show the versions, devices and folders that cfbench uses. Please add the output to a bug report.

    Example: cfbench doctor
    """
    facts = _facts(results)
    if json:
        console.print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        console.result(f"{name:{width}}  {value}")


def _facts(results: Path) -> dict[str, str]:
    import torch  # noqa: F401 (the machine's description counts its threads)

    from cfbench.data import store
    from cfbench.files import data_home
    from cfbench.runs.machine import describe_machine
    from cfbench.version import __version__

    machine = describe_machine()
    downloaded = [card.name for card in readable_cards() if store.is_ready(card)]
    return {
        "cfbench": __version__,
        "python": machine.python,
        **{name: version for name, version in machine.libraries.items() if name != "cfbench-recsys"},
        "system": machine.system,
        "processor": f"{machine.processor}, {machine.cores} cores, {machine.threads} threads used by torch",
        "devices": ", ".join(_devices()),
        "data folder": _folder(data_home(), "CFBENCH_DATA"),
        "results folder": _folder(results, "--results or CFBENCH_RESULTS"),
        "data sets here": ", ".join(downloaded) or "none",
        "current data set": store.current() or "none",
    }


def _devices() -> list[str]:
    import torch

    cuda = [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *cuda, *mps]


def _folder(path: Path, setting: str) -> str:
    """Describe a folder, which may not exist yet: its path, the free space, and the setting that changes it."""
    from cfbench.files import format_bytes

    absolute = path.absolute()
    existing = next(place for place in (absolute, *absolute.parents) if place.exists())
    warning = "" if os.access(existing, os.W_OK) else "NOT WRITABLE, "
    free = format_bytes(shutil.disk_usage(existing).free)
    return f"{absolute} ({warning}{free} free; change with {setting})"
