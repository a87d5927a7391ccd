"""The flags of a plugin's hyper-parameters, made from its Config."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from cfbench.cli.view import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo


def give_signature(function: Callable[..., None], options: dict[str, tuple[Any, Any]]) -> None:
    """Typer reads a function's signature: write one."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in options.items()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect.signature
    function.__annotations__ = {name: kind for name, (kind, _) in options.items()}


def option(name: str, field: FieldInfo, panel: str) -> Any:
    """The flag of a hyper-parameter: text, checked by the plugin's Config, except for switches."""
    flag = f"--{name.replace('_', '-')}"
    told = f"{field.description} ({ranges(field)}default: {numbers.hyper_parameter(field.default)})"
    if field.annotation is bool:
        return Annotated[
            bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=told, show_default=False, rich_help_panel=panel)
        ]
    return Annotated[
        str | None, typer.Option(flag, metavar=metavar(field), help=told, show_default=False, rich_help_panel=panel)
    ]


def metavar(field: FieldInfo) -> str:
    """What can stand behind a flag."""
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "NAME,NAME,…" if get_args(kind)[0] is str else "N,N,…"
    return {int: "N", float: "X"}.get(kind, "TEXT")


def ranges(field: FieldInfo) -> str:
    """The bounds, and what is searched by tuning; each part ends in `; `."""
    from cfbench.contract import Tunable

    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [f"{sign} {getattr(m, key):g}" for m in field.metadata for key, sign in signs.items() if hasattr(m, key)]
    tunable = Tunable.of(field)
    parts = bounds + ([f"tuned over {tunable}"] if tunable else [])
    return "".join(f"{part}; " for part in parts)
