"""The search space: the range of each hyper-parameter.

A plugin declares the ranges: a `Tunable` on a field of its Config. The command line changes them:
`--range lr=1e-4:1e-2:log`, `--range "optimizer=adam|momentum"`, `--fix epochs=40`.

A study starts from a config that may lie outside the ranges. A start value that is not among the choices becomes one
more choice. For a start number outside its range, the sampler records the nearest number inside.
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
    """The range of one hyper-parameter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    integer: bool
    """Whether its numbers are integers."""
    range: Tunable

    def __str__(self) -> str:
        step = "" if self.range.step is None else f" step {self.range.step:g}"
        return f"{self.range}{step}"

    def suggest(self, name: str, trial: Trial) -> Any:
        """Ask the sampler for a value in the range."""
        span = self.range
        if span.choices:
            choices = {choice_label(choice): choice for choice in span.choices}
            return choices[trial.suggest_categorical(name, list(choices))]
        low, high = span.low or 0.0, span.high or 0.0
        if self.integer:
            step = 1 if span.log else int(span.step or 1)
            return trial.suggest_int(name, int(low), int(high), log=span.log, step=step)
        return trial.suggest_float(name, low, high, log=span.log, step=None if span.log else span.step)

    def nearest(self, value: Any) -> Any:
        """The value in the range that the sampler records for `value`, which may lie outside."""
        span = self.range
        if span.choices:
            return choice_label(value)
        low, high = span.low or 0.0, span.high or 0.0
        inside = min(max(value, low), high) if isinstance(value, int | float) else low
        if span.step and not span.log:
            inside = min(low + round((inside - low) / span.step) * span.step, high)
        return round(inside) if self.integer else float(inside)


def choice_label(choice: Any) -> Any:
    """A choice as Optuna stores it: the layer sizes (512, 512) become the text `512,512`."""
    return format_value(choice) if isinstance(choice, list | tuple) else choice


def declared_space(plugin: Plugin[Any]) -> dict[str, Dimension]:
    """The ranges that a plugin's Config declares, by hyper-parameter."""
    space = {}
    for name, field in plugin.config.model_fields.items():
        declared = Tunable.of(field)
        if declared:
            space[name] = Dimension(integer=_is_integer(field), range=declared)
    return space


def _is_integer(field: FieldInfo) -> bool:
    types = (field.annotation, *get_args(field.annotation))
    return int in types and float not in types


def parse_assignments(plugin: Plugin[Any], texts: Iterable[str], option: str) -> dict[str, str]:
    """Parse texts such as `lr=0.1` into values by hyper-parameter.

    Raises `ConfigError` for a text of another form, `UnknownNameError` for an unknown hyper-parameter; `option` is the
    flag that the message names.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals or not value.strip():
            raise ConfigError(f"{option} {text}: expected NAME=VALUE, such as lr=0.01")
        if name not in plugin.config.model_fields:
            raise UnknownNameError("hyper-parameter", name, plugin.config.model_fields, advice=f"in {option} {text}")
        values[name] = value.strip()
    return values


def build_space(
    plugin: Plugin[Any], start: Config, fixed: Iterable[str], ranges: Iterable[str]
) -> dict[str, Dimension]:
    """The ranges to search from the config `start`, by hyper-parameter; raises `ConfigError`, `UnknownNameError`.

    `fixed` names the hyper-parameters that keep their value. `ranges` (`lr=1e-4:1e-2:log`) replace the ranges that the
    plugin declares.
    """
    range_texts = parse_assignments(plugin, ranges, "--range")
    fixed = set(fixed)
    conflicts = sorted(fixed & range_texts.keys())
    if conflicts:
        raise ConfigError(f"{conflicts[0]} is both in --fix and in --range; remove one of them")
    space = declared_space(plugin) | {name: _parse_range(plugin, start, name, t) for name, t in range_texts.items()}
    searched = {name: _add_choice(space[name], getattr(start, name)) for name in space if name not in fixed}
    if not searched:
        raise ConfigError("no hyper-parameter is left to search; give ranges, such as --range NAME=LOW:HIGH")
    return searched


def _add_choice(dimension: Dimension, value: Any) -> Dimension:
    """The dimension with `value` among its choices; a range of numbers stays as it is."""
    span = dimension.range
    if not span.choices or choice_label(value) in map(choice_label, span.choices):
        return dimension
    return dimension.model_copy(update={"range": replace(span, choices=(value, *span.choices))})


def _parse_range(plugin: Plugin[Any], start: Config, name: str, text: str) -> Dimension:
    """Parse a range of the command line: `LOW:HIGH`, `LOW:HIGH:log`, or `A|B|C`; raises `ConfigError`."""
    if ":" in text:
        return _parse_interval(plugin, start, name, text)
    choices = tuple(_parse_value(plugin, start, name, part.strip()) for part in text.split("|"))
    if len(choices) < 2:
        raise ConfigError(f"--range {name}={text}: expected LOW:HIGH, LOW:HIGH:log or A|B; --fix sets one value")
    return Dimension(integer=False, range=Tunable(choices=choices))


def _parse_interval(plugin: Plugin[Any], start: Config, name: str, text: str) -> Dimension:
    value = getattr(start, name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"--range {name}={text}: {name} is not a number; give choices, such as {name}=A|B")
    log = text.endswith(":log")
    low_text, _, high_text = text.removesuffix(":log").partition(":")
    ends = [_parse_value(plugin, start, name, end) for end in (low_text, high_text)]
    low, high = map(float, ends)
    if not low < high or (log and low <= 0):
        also = ", and LOW above 0 for log" if log else ""
        raise ConfigError(f"--range {name}={text}: expected LOW below HIGH{also}")
    is_integer = all(isinstance(end, int) for end in ends)
    return Dimension(integer=is_integer, range=Tunable(low, high, log=log))


def _parse_value(plugin: Plugin[Any], start: Config, name: str, text: str) -> Any:
    """Parse one value of a hyper-parameter; raises `ConfigError` when the Config refuses it."""
    try:
        config, _ = registry.make_config(plugin, start.model_dump(), {name: text})
    except ConfigError as error:
        reason = str(error).splitlines()[0].removeprefix(f"--{name.replace('_', '-')}: ")
        raise ConfigError(f"--range {name}: {reason}") from error
    return getattr(config, name)
