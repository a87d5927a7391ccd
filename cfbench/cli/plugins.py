"""`cfbench plugins`: the list of all plugins, or the page of one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import JsonOption
from cfbench.cli.run.flags import flag_value, range_text
from cfbench.report import numbers

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from rich.table import Table
    from rich.text import Text


@dataclass(frozen=True)
class HyperParameterPage:
    """What the page of a plugin shows about one hyper-parameter."""

    default: Any
    values: str
    """The values that its flag takes, as in `N,N,…` or `selu|elu`."""
    bounds: str
    tunable: dict[str, Any] | None
    """The search range of `cfbench tune`; None when tuning leaves this hyper-parameter as it is."""
    description: str


@dataclass(frozen=True)
class PluginPage:
    """What the list and the page show about a plugin. `trouble` says why it cannot be used, if it cannot."""

    name: str
    title: str
    paper: str
    package: str
    shadowed: tuple[str, ...]
    """Other packages that offer a plugin of the same name."""
    trouble: str = ""
    gpu: bool = False
    needs: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)
    default_presets: dict[str, str] = field(default_factory=dict)
    """The preset of a data set, or of its split, for which no preset is named."""
    hyper_parameters: dict[str, HyperParameterPage] = field(default_factory=dict)


def plugins(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Show this plugin only.", autocompletion=completion.plugins, show_default=False
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the plugins, or show one: its hyper-parameters, their ranges, its presets.

    Examples: cfbench plugins; cfbench plugins deepae
    """
    from cfbench.runs import registry

    if name is not None:
        page = _make_page(name)
        console.print_json(asdict(page)) if json else _print_page(page)
        return
    pages = [_make_page(each) for each in registry.names()]
    if json:
        console.print_json([asdict(page) for page in pages])
    else:
        _print_list(pages)


def _make_page(name: str) -> PluginPage:
    """Collect what is known about a plugin. A plugin that cannot be used gets the part that can be read."""
    from cfbench.errors import PluginError
    from cfbench.runs import registry

    location = registry.locate(name)
    page = PluginPage(name, location.summary, paper="", package=location.package, shadowed=location.shadowed)
    try:
        plugin = registry.import_plugin(name)
        page = replace(
            page, title=plugin.title, paper=plugin.paper, gpu=plugin.gpu, needs=dict(plugin.needs),
            missing=registry.missing_libraries(plugin), default_presets=dict(plugin.default_presets),
            hyper_parameters={key: _hyper_parameter(info) for key, info in plugin.config.model_fields.items()},
        )  # fmt: skip
        page = replace(page, presets=registry.presets(name))
        registry.load(name)
    except PluginError as error:
        page = replace(page, trouble=str(error))
    return page


def _hyper_parameter(info: FieldInfo) -> HyperParameterPage:
    from cfbench.contract import Tunable

    tunable = Tunable.of(info)
    return HyperParameterPage(
        default=info.default, values=flag_value(info), bounds=range_text(info),
        tunable=None if tunable is None else asdict(tunable), description=info.description or "",
    )  # fmt: skip


def _print_list(pages: list[PluginPage]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("plugin", no_wrap=True)
    table.add_column("model, paper, package, presets", overflow="fold")
    for page in pages:
        presets = f"; presets: {', '.join(page.presets)}" if page.presets else ""
        lines = [Text(line) for line in (page.title, page.paper) if line]
        lines.append(Text(page.package + presets, "dim"))
        table.add_row(page.name, Text("\n").join([*lines, *_warnings(page)]))
    console.out().print(table)


def _warnings(page: PluginPage) -> list[Text]:
    from rich.text import Text

    warnings = [page.trouble] if page.trouble else []
    if page.shadowed:
        others = ", ".join(page.shadowed)
        warnings.append(f"{others} also offers a plugin of this name, which cfbench ignores")
    return [Text(warning, "yellow") for warning in warnings]


def _print_page(page: PluginPage) -> None:
    out = console.out()
    console.result(f"{page.name}: {page.title}")
    if page.paper:
        console.result(page.paper)
    devices = "the CPU or a GPU" if page.gpu else "the CPU"
    console.result(f"from {page.package}; computes on {devices}")
    for warning in _warnings(page):
        out.print(warning, soft_wrap=not out.is_terminal)
    if page.hyper_parameters:
        console.result("")
        out.print(_hyper_parameter_table(page))
    if page.presets:
        console.result("")
        out.print(_preset_table(page))
        console.say(
            "a run on a data set uses the preset of the same name, unless --preset or --no-preset says otherwise"
            + _other_defaults(page.default_presets)
        )


def _other_defaults(default_presets: dict[str, str]) -> str:
    """Return which presets other data sets use; empty if they use none."""
    uses = (f"{'any other data set' if key == '*' else key} uses {value}" for key, value in default_presets.items())
    return "".join(f"; {use}" for use in uses)


def _hyper_parameter_table(page: PluginPage) -> Table:
    table = _table("hyper-parameter", "default", "meaning")
    for name, one in page.hyper_parameters.items():
        choices = one.values if "|" in one.values else ""
        notes = "; ".join(note for note in (choices, one.bounds) if note)
        table.add_row(name, numbers.hyper_parameter(one.default), one.description + (f" ({notes})" if notes else ""))
    return table


def _preset_table(page: PluginPage) -> Table:
    table = _table("preset", "values")
    for preset, values in page.presets.items():
        table.add_row(preset, "; ".join(f"{name} {numbers.hyper_parameter(value)}" for name, value in values.items()))
    return table


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, overflow="fold")
    return table
