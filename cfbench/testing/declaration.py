"""Checks of what a plugin declares; nothing is fitted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from cfbench.contract import Plugin, Tunable, format_value
from cfbench.runs import registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESERVED = frozenset(
    {"dataset", "split", "seed", "device", "preset", "no_preset", "skip_finished", "refit", "time_limit", "results",
     "json", "resume", "help", "quiet", "verbose", "log", "log_to", "energy"}
)  # fmt: skip
"""Options of `cfbench run` itself."""


def _title(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001 (it writes no file)
    for name, text in (("title", plugin.title), ("paper", plugin.paper)):
        assert text.strip(), f"PLUGIN.{name} is empty"
        assert "\n" not in text, f"PLUGIN.{name} has more than one line"


def _defaults(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    plugin.config(**plugin.quick)  # raises if they are not valid
    default = plugin.config()
    again = plugin.config.model_validate(json.loads(default.model_dump_json()))
    assert again == default, f"the config changes when it goes through JSON: {default} becomes {again}"


def _descriptions(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    for name, field in plugin.config.model_fields.items():
        assert field.description, f"hyper-parameter {name!r} has no description"
        assert name not in RESERVED, f"hyper-parameter {name!r} has the name of an option of `cfbench run`"


def _text(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    default = plugin.config()
    for name, value in default:
        text = format_value(value)
        flag = value if isinstance(value, bool) else text
        if value is not None:  # None is the value of a flag that is left out
            config, _ = registry.make_config(plugin, {}, {name: flag})
            assert config == default, f"hyper-parameter {name!r}: {text!r} is read as {getattr(config, name)!r}"


def _ranges(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    for name, field in plugin.config.model_fields.items():
        tunable = Tunable.of(field)
        if tunable is None:
            continue
        if not tunable.choices:
            low, high = tunable.low, tunable.high
            assert low is not None, f"the range of {name!r} has no low end and no choices"
            assert high is not None, f"the range of {name!r} has no high end and no choices"
            assert low < high, f"the range of {name!r} goes from {low:g} down to {high:g}"
            assert low > 0 or not tunable.log, f"the range of {name!r} is on a log scale and starts at {low:g}"
            assert not (tunable.log and tunable.step), f"the range of {name!r} has a step on a log scale"
        for value in tunable.choices or (tunable.low, tunable.high):
            plugin.config(**{name: int(value) if field.annotation is int else value})  # raises if it is not valid


def _needs_no_library_to_be_listed(plugin: Plugin[Any], folder: Path) -> str:
    if not plugin.needs:
        return "needs no library beyond cfbench's own"
    module = plugin.config.__module__
    code = f"import sys; sys.modules.update(dict.fromkeys({list(plugin.needs)!r})); import {module}"
    path = os.pathsep.join(sys.path)
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert not process.returncode, (
        f"{module} cannot be imported without {', '.join(plugin.needs)}: {process.stderr.strip().splitlines()[-1]}; "
        "import it inside a function"
    )
    return ""


CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    "has a title and a paper, one line each": _title,
    "has valid defaults that are the same after JSON": _defaults,
    "describes every hyper-parameter and gives it a name that is free": _descriptions,
    "accepts every hyper-parameter as text of the command line": _text,
    "accepts every value of its search ranges": _ranges,
    "can be listed without the libraries it needs": _needs_no_library_to_be_listed,
}
