"""`cfbench new-plugin` and `cfbench check-plugin`: for people who write models."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.runs import JsonOption
from cfbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = {
    "pyproject.toml": "pyproject.toml", "README.md": "README.md", "__init__.py": "{package}/__init__.py",
    "model.py": "{package}/model.py", "model.toml": "{package}/model.toml", "test_model.py": "tests/test_model.py",
}  # fmt: skip
"""A file of the template, and where it comes in the new package."""


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the model, such as shrunken-mean.")],
    into: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The folder to make; by default ./cfbench-NAME.", show_default=False),
    ] = None,
) -> None:
    """Write a small package with a model that works, to be made yours: code, presets, tests.

    Example: cfbench new-plugin shrunken-mean
    """
    import shlex

    from cfbench.runs import registry

    if not registry.NAME.fullmatch(name):
        raise UsageError(f"a plugin cannot be called {name!r}; a name is of a-z, 0-9 and -, such as shrunken-mean")
    if name in registry.found():
        taken = registry.find(name)
        raise UsageError(f"there is a plugin {name!r} already, of {taken.package}; choose another name")
    folder = into or Path(f"cfbench-{name}")
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another folder with --into")
    _write(name, folder)
    console.say(f"a plugin {name}, in {folder}; its README.md says more")
    console.say(f"next: pip install -e {shlex.quote(str(folder))} && cfbench check-plugin {name}")


def _write(name: str, folder: Path) -> None:
    """Fill the template in; the folder appears whole or not at all."""
    from importlib.resources import files
    from string import Template

    from cfbench import __version__
    from cfbench.files import folder_appearing, make_folder

    words = name.split("-")
    meant = {
        "name": name, "package": f"cfbench_{'_'.join(words)}", "title": " ".join(words).capitalize(),
        "kind": "".join(map(str.capitalize, words)), "version": __version__,
    }  # fmt: skip
    make_folder(folder.parent)
    with folder_appearing(folder) as hidden:
        for source, place in FILES.items():
            text = (files("cfbench") / "template" / f"{source}.txt").read_text(encoding="utf-8")
            file = make_folder((hidden / place.format_map(meant)).parent) / Path(place).name
            file.write_text(Template(text).substitute(meant), encoding="utf-8")


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
        console.as_json(rows)
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
