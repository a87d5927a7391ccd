"""`cfbench plugins`: the models that can be run, and one of them in detail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import JsonOption
from cfbench.cli.run.flags import metavar, ranges
from cfbench.cli.view.numbers import hyper

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def plugins(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Show this one alone.", autocompletion=completion.plugins, show_default=False
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models that can be run, or show one: its hyper-parameters, their ranges, its presets.

    Examples: cfbench plugins; cfbench plugins deepae
    """
    from cfbench.runs import registry

    told = [_facts(each) for each in (registry.names() if name is None else [name])]
    if json:
        console.print_json(told if name is None else told[0])
    elif name is None:
        _list(told)
    else:
        _page(told[0])


def _facts(name: str) -> dict[str, Any]:
    """All that is known of a plugin; of one that cannot be used, `trouble` says why."""
    from cfbench.errors import PluginError
    from cfbench.runs import registry

    place = registry.find(name)
    told: dict[str, Any] = {
        "name": name, "title": place.summary, "paper": "", "package": place.package, "passed_over": place.passed_over,
        "trouble": "", "gpu": False, "needs": {}, "missing": {}, "presets": {}, "hyper_parameters": {},
    }  # fmt: skip
    try:
        plugin = registry.look(name)
        told |= {
            "title": plugin.title, "paper": plugin.paper, "gpu": plugin.gpu, "needs": dict(plugin.needs),
            "missing": registry.missing(plugin),
            "hyper_parameters": {key: _declared(field) for key, field in plugin.config.model_fields.items()},
        }  # fmt: skip
        told["presets"] = registry.presets(name)
        registry.load(name)
    except PluginError as fault:
        told["trouble"] = str(fault)
    return told


def _declared(field: FieldInfo) -> dict[str, Any]:
    from cfbench.contract import Tunable

    tunable = Tunable.of(field)
    return {
        "default": field.default, "values": metavar(field), "bounds": ranges(field).removesuffix("; "),
        "tunable": None if tunable is None else vars(tunable), "description": field.description,
    }  # fmt: skip


def _list(told: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("plugin", no_wrap=True)
    table.add_column("model, paper, package, presets", overflow="fold")
    for row in told:
        presets = f"; presets: {', '.join(row['presets'])}" if row["presets"] else ""
        lines = [row["title"], row["paper"], Text(row["package"] + presets, "dim")]
        table.add_row(row["name"], Text("\n").join([Text.assemble(line) for line in lines if line] + _troubles(row)))
    console.out().print(table, markup=False)


def _troubles(row: dict[str, Any]) -> list[Any]:
    from rich.text import Text

    taken = ", ".join(row["passed_over"])
    troubles = [row["trouble"], f"{taken} offers a plugin of this name too; it is passed over" if taken else ""]
    return [Text(trouble, "yellow") for trouble in troubles if trouble]


def _page(row: dict[str, Any]) -> None:
    out = console.out()
    console.result(f"{row['name']}: {row['title']}")
    if row["paper"]:
        console.result(row["paper"])
    console.result(f"from {row['package']}; computes on " + ("the CPU or a GPU" if row["gpu"] else "the CPU"))
    for trouble in _troubles(row):
        out.print(trouble, soft_wrap=not out.is_terminal)
    if row["hyper_parameters"]:
        _table("hyper-parameter", {key: _meaning(told) for key, told in row["hyper_parameters"].items()})
    if row["presets"]:
        presets = {
            preset: ["; ".join(f"{key} {hyper(value)}" for key, value in values.items())]
            for preset, values in row["presets"].items()
        }
        _table("preset", presets)
        console.say("a preset named as a data set is used there, unless --preset names another or --no-preset is given")


def _meaning(told: dict[str, Any]) -> list[str]:
    """A hyper-parameter's default, and what it is."""
    choices = told["values"] if "|" in told["values"] else ""
    notes = "; ".join(part for part in (choices, told["bounds"]) if part)
    return [hyper(told["default"]), f"{told['description']}" + (f" ({notes})" if notes else "")]


def _table(heading: str, rows: dict[str, list[str]]) -> None:
    from rich.table import Table

    headings = ["default", "what it is"] if heading == "hyper-parameter" else ["values"]
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(heading, no_wrap=True)
    for other in headings:
        table.add_column(other, overflow="fold")
    for key, cells in rows.items():
        table.add_row(key, *cells)
    console.result("")
    console.out().print(table, markup=False)
