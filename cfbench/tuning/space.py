"""SPACE: what tuning may try.

The plugin declares it: a `Tunable` on a field of its Config. A person narrows it: `--range lr=1e-4:1e-2:log`,
`--range "optimizer=adam|momentum"`, `--fix epochs=40`. The config a study starts from may lie outside: a choice it
makes is added to the choices, a number is told to the sampler as the nearest of its range.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ConfigDict

from cfbench.contract import Config, Plugin, Tunable, format_value
from cfbench.errors import ConfigError, UnknownNameError
from cfbench.runs import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optuna import Trial
    from pydantic.fields import FieldInfo


class Dimension(BaseModel):
    """One hyper-parameter's range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole: bool
    """Numbers are integers."""
    range: Tunable

    def __str__(self) -> str:
        step = "" if self.range.step is None else f" step {self.range.step:g}"
        return f"{self.range}{step}"

    def suggest(self, name: str, trial: Trial) -> Any:
        """The sampler's value."""
        span = self.range
        if span.choices:
            named = {_label(choice): choice for choice in span.choices}
            return named[trial.suggest_categorical(name, list(named))]
        low, high = span.low or 0.0, span.high or 0.0
        if self.whole:
            step = 1 if span.log else int(span.step or 1)
            return trial.suggest_int(name, int(low), int(high), log=span.log, step=step)
        return trial.suggest_float(name, low, high, log=span.log, step=None if span.log else span.step)

    def nearest(self, value: Any) -> Any:
        """What the sampler is told in place of a value that may lie outside."""
        span = self.range
        if span.choices:
            return _label(value)
        low, high = span.low or 0.0, span.high or 0.0
        inside = min(max(value, low), high) if isinstance(value, int | float) else low
        if span.step and not span.log:
            inside = min(low + round((inside - low) / span.step) * span.step, high)
        return round(inside) if self.whole else float(inside)


def _label(choice: Any) -> Any:
    """A choice as Optuna stores it: sizes of layers become `512,512`."""
    return format_value(choice) if isinstance(choice, list | tuple) else choice


def declared(plugin: Plugin[Any]) -> dict[str, Dimension]:
    """The ranges of a plugin's Config by name."""
    marks = {name: (field, Tunable.of(field)) for name, field in plugin.config.model_fields.items()}
    return {name: Dimension(whole=_whole(field), range=mark) for name, (field, mark) in marks.items() if mark}


def _whole(field: FieldInfo) -> bool:
    kinds = (field.annotation, *get_args(field.annotation))
    return int in kinds and float not in kinds


def assignments(plugin: Plugin[Any], texts: Iterable[str], option: str) -> dict[str, str]:
    """`lr=0.1` by name; raises `ConfigError` when it is not of that form, `UnknownNameError`."""
    told = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals or not value.strip():
            raise ConfigError(f"{option} {text}: expected NAME=VALUE, such as lr=0.01")
        if name not in plugin.config.model_fields:
            raise UnknownNameError("hyper-parameter", name, plugin.config.model_fields, advice=f"in {option} {text}")
        told[name] = value.strip()
    return told


def space(plugin: Plugin[Any], start: Config, fixed: Iterable[str], ranges: Iterable[str]) -> dict[str, Dimension]:
    """The ranges to search from `start`, by name; raises `ConfigError`, `UnknownNameError`.

    `fixed` names what is left alone, `ranges` (`lr=1e-4:1e-2:log`) take the place of what the plugin declares.
    """
    given = assignments(plugin, ranges, "--range")
    fixed = set(fixed)
    if twice := sorted(fixed & given.keys()):
        raise ConfigError(f"{twice[0]} is both in --fix and in --range; leave out one of them")
    dimensions = declared(plugin) | {name: _given(plugin, start, name, text) for name, text in given.items()}
    searched = {
        name: _with_start(dimension, getattr(start, name))
        for name, dimension in dimensions.items()
        if name not in fixed
    }
    if not searched:
        raise ConfigError("nothing is left to tune: give ranges, such as --range NAME=LOW:HIGH")
    return searched


def _with_start(dimension: Dimension, value: Any) -> Dimension:
    span = dimension.range
    if not span.choices or _label(value) in map(_label, span.choices):
        return dimension
    return dimension.model_copy(update={"range": replace(span, choices=(value, *span.choices))})


def _given(plugin: Plugin[Any], start: Config, name: str, text: str) -> Dimension:
    """A range from the command line: `LOW:HIGH`, `LOW:HIGH:log`, or `A|B|C`."""
    field = plugin.config.model_fields[name]
    if ":" not in text:
        choices = tuple(_checked(plugin, start, name, part.strip()) for part in text.split("|"))
        if len(choices) < 2:
            raise ConfigError(f"--range {name}={text}: expected LOW:HIGH, LOW:HIGH:log or A|B; --fix sets one value")
        return Dimension(whole=False, range=Tunable(choices=choices))
    ends, log = (text[: -len(":log")], True) if text.endswith(":log") else (text, False)
    low, _, high = ends.partition(":")
    if not isinstance(getattr(start, name), int | float) or isinstance(getattr(start, name), bool):
        raise ConfigError(f"--range {name}={text}: {name} is no number; give choices, such as {name}=A|B")
    at = [float(_checked(plugin, start, name, end)) for end in (low, high)]
    if not at[0] < at[1] or (log and at[0] <= 0):
        raise ConfigError(f"--range {name}={text}: expected LOW below HIGH" + (", and above 0 for log" if log else ""))
    return Dimension(whole=_whole(field), range=Tunable(at[0], at[1], log=log))


def _checked(plugin: Plugin[Any], start: Config, name: str, text: str) -> Any:
    """A value that the Config takes; raises `ConfigError`."""
    try:
        config, _ = registry.configure(plugin, start.model_dump(), {name: text})
    except ConfigError as fault:
        told = str(fault).splitlines()[0].partition(": ")[2]
        raise ConfigError(f"--range {name}: {told}") from fault
    return getattr(config, name)
