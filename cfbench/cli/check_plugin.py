"""`cfbench check-plugin`: holds a plugin to the conformance suite."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def check_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plugin.", autocompletion=completion.plugins)],
    json: JsonOption = False,
) -> None:
    """Hold a plugin against all that every plugin has to hold; exit 1 when something does not.

    Example: cfbench check-plugin bias
    """
    rows = []
    for row in _held(name):
        rows.append(row)
        if not json:
            _show(row)
    if json:
        console.print_json(rows)
    else:
        console.result(f"{name}: {_summary(rows)}")
    if any(row["holds"] is False for row in rows):
        raise typer.Exit(1)


def _summary(rows: list[dict[str, Any]]) -> str:
    told = {True: "hold", None: "have nothing to check", False: "do not hold"}
    counts = {word: sum(row["holds"] is mark for row in rows) for mark, word in told.items()}
    seconds = sum(row["seconds"] for row in rows)
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) + f", in {seconds:.1f} s"


def _held(name: str) -> Iterator[dict[str, Any]]:
    """A row a check, as it is done: `holds` is None where there is nothing to check."""
    from functools import partial

    from cfbench.runs import registry
    from cfbench.testing import CHECKS, check

    plugin = registry.load(name)

    def presets_are_allowed(_: Path) -> str:
        presets = registry.presets(name)
        for values in presets.values():
            registry.configure(plugin, values, {})
        return "" if presets else "has no presets"

    yield _row("has presets that its hyper-parameters allow", presets_are_allowed)
    for sentence in CHECKS:
        yield _row(sentence, partial(check, plugin, sentence))


def _row(sentence: str, done: Callable[[Path], str]) -> dict[str, Any]:
    import tempfile

    began, holds, reason = time.perf_counter(), True, ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            reason = done(Path(folder))
        except Exception as fault:  # noqa: BLE001 (whatever a plugin raises, it is what is told)
            kind = "" if isinstance(fault, AssertionError) else f"{type(fault).__name__}: "
            holds, reason = False, kind + " ".join(str(fault).split())
    seconds = round(time.perf_counter() - began, 3)
    return {"check": sentence, "holds": holds and (None if reason else True), "reason": reason, "seconds": seconds}


_MARKS = {True: ("✓", "green"), None: ("–", "dim"), False: ("✗", "bold red")}


def _show(row: dict[str, Any]) -> None:
    """A line a check; its reason below on a terminal, behind it elsewhere, where a line is for grep."""
    mark, style = _MARKS[row["holds"]]
    seconds, sentence, reason = f"{row['seconds']:.1f} s", row["check"], row["reason"]
    if not console.out().is_terminal:
        console.result(f"{mark} {seconds:>7}  {sentence}" + (f": {reason}" if reason else ""))
        return
    from rich.table import Table
    from rich.text import Text

    told = Text(sentence).append(f"\n{reason}" if reason else "", "red" if row["holds"] is False else "dim")
    line = Table.grid(padding=(0, 2, 0, 0))
    for width in (1, 7):
        line.add_column(width=width, justify="right")
    line.add_column(overflow="fold")
    line.add_row(Text(mark, style), seconds, told)
    console.out().print(line)
