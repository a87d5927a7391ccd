"""The command line that makes a stored run again."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cfbench import advice
from cfbench.contract import format_value
from cfbench.errors import CfbenchError
from cfbench.runs import registry

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.contract import Config
    from cfbench.runs.record import Request


def config_options(config: type[Config], values: dict[str, Any], device: str) -> list[str]:
    """Return the options that give a config these values, without those that are the defaults on the device."""
    defaults = config().for_device(device).model_dump(mode="json")
    options = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if value == defaults.get(name):
            continue
        if isinstance(value, bool):
            options.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            options.append(f"--{flag}={format_value(value)}")
    return options


def command_of(request: Request, results: Path) -> str:
    """Return the command line that makes a stored run again."""
    words = _run_words(request)
    return advice.command(*words, dataset=request.dataset.name, split=request.split.name, results=results)


def portable_command(request: Request, split: str) -> str:
    """Return the command line that makes a stored run again on any machine; it names no folder of this one.

    `split` is the split of the run, or the name of all folds.
    """
    where = ["--dataset", request.dataset.name, "--split", split]
    if request.imported is not None:
        words = ["import-predictions", request.imported.test.name, "--plugin-name", request.plugin.name, *where]
        words += [] if request.imported.valid is None else ["--valid", request.imported.valid.name]
        return shlex.join(["cfbench", *words, "--seed", str(request.seed)])
    run, plugin, *options = _run_words(request)
    return shlex.join(["cfbench", run, plugin, *where, *options])


def _run_words(request: Request) -> list[str]:
    """Return the words of the command that makes a stored run again, without its data set and split."""
    words = ["run", request.plugin.name, "--seed", str(request.seed), "--no-preset"]
    words += ["--refit"] if request.refit else []
    words += ["--energy"] if request.measure_energy else []
    with suppress(CfbenchError):  # a plugin that is no longer installed
        words += config_options(registry.load(request.plugin.name).config, request.config, request.device)
    return words
