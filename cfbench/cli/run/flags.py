"""The flags of a plugin's hyper-parameters, which come from the fields of its Config."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from cfbench.cli.plain import plain_help
from cfbench.report import numbers
from cfbench.report.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

    from cfbench.contract import Config


def option_parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    """Return the keyword-only parameters of a function, with their annotations evaluated."""
    kinds = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    return [each.replace(annotation=kinds[each.name]) for each in parameters if each.kind is each.KEYWORD_ONLY]


def flag_parameters(config: type[Config], panel: str) -> list[inspect.Parameter]:
    """Return one parameter for each hyper-parameter. Its value is None when the command line does not give the flag."""
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_flag(name, field, panel))
        for name, field in config.model_fields.items()
    ]


def set_signature(function: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """Give a function that takes any keyword the signature from which Typer makes a command."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect.signature
    function.__annotations__ = {each.name: each.annotation for each in parameters}


def _flag(name: str, field: FieldInfo, panel: str) -> Any:
    """Return the annotation of a flag: a switch, or text that the Config checks later."""
    flag = name.replace("_", "-")
    bounds = range_text(field)
    help_text = plain_help(
        f"{field.description} ({f'{bounds}; ' if bounds else ''}default: {numbers.hyper_parameter(field.default)})"
    )
    if field.annotation is bool:
        switch = typer.Option(f"--{flag}/--no-{flag}", help=help_text, show_default=False, rich_help_panel=panel)
        return Annotated[bool | None, switch]
    text = typer.Option(
        f"--{flag}", metavar=plain(flag_value(field)), help=help_text, show_default=False, rich_help_panel=panel,
        autocompletion=lambda: _choices(field),
    )  # fmt: skip
    return Annotated[str | None, text]


def flag_value(field: FieldInfo) -> str:
    """Return what a flag takes, as its help shows it: `N`, `X`, `N,N,…`, `selu|elu` or `TEXT`."""
    kind: Any = field.annotation
    if choices := _choices(field):
        return "|".join(choices)
    if get_origin(kind) is tuple:
        return "NAME,NAME,…" if get_args(kind)[0] is str else "N,N,…"
    return {int: "N", float: "X", int | float: "X"}.get(kind, "TEXT")


def _choices(field: FieldInfo) -> list[str]:
    """Return the values of a hyper-parameter that has a few; empty for any other."""
    kind: Any = field.annotation
    return list(map(str, get_args(kind))) if get_origin(kind) is Literal else []


def range_text(field: FieldInfo) -> str:
    """Return the bounds and the search range of a hyper-parameter, such as `≥ 0; < 1; tuned over 0–0.9`."""
    from cfbench.contract import Tunable

    parts = []
    for mark in field.metadata:
        for bound, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if hasattr(mark, bound):
                parts.append(f"{sign} {getattr(mark, bound):g}")
    tunable = Tunable.of(field)
    if tunable:
        parts.append(f"tuned over {tunable}")
    return "; ".join(parts)
