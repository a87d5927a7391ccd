"""`cfbench new-plugin` and `cfbench check-plugin`: for people who write models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.errors import UsageError

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
    if name in registry.locations():
        taken = registry.locate(name)
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
    from cfbench.files import atomic_folder, make_folder

    words = name.split("-")
    meant = {
        "name": name, "package": f"cfbench_{'_'.join(words)}", "title": " ".join(words).capitalize(),
        "kind": "".join(map(str.capitalize, words)), "version": __version__,
    }  # fmt: skip
    make_folder(folder.parent)
    with atomic_folder(folder) as hidden:
        for source, place in FILES.items():
            text = (files("cfbench") / "template" / f"{source}.txt").read_text(encoding="utf-8")
            file = make_folder((hidden / place.format_map(meant)).parent) / Path(place).name
            file.write_text(Template(text).substitute(meant), encoding="utf-8")
