"""`cfbench new-plugin`: a new package with a model that works, for people who write models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.errors import UsageError

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "__init__.py": "{package}/__init__.py",
    "model.py": "{package}/model.py",
    "model.toml": "{package}/model.toml",
    "test_model.py": "tests/test_model.py",
}
"""Each file of the template, and its path in the new package."""


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new plugin, such as shrunken-mean.")],
    into: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The folder to create. Default: ./cfbench-NAME.", show_default=False),
    ] = None,
) -> None:
    """Write a small package with a model that works, presets and tests. Then change the model into yours.

    Example: cfbench new-plugin shrunken-mean
    """
    _check_name(name)
    folder = into or Path(f"cfbench-{name}")
    if folder.exists():
        raise UsageError(f"{folder} already exists; choose another folder with --into")
    _write(name, folder)
    console.say(f"wrote plugin {name} to {folder}; its README.md says what to do")
    console.say(f"next: {advice.pip_install('-e', folder)} && {advice.command('check-plugin', name)}")


def _check_name(name: str) -> None:
    """Raise `UsageError` for a name that is not allowed, or that another plugin has."""
    from cfbench.runs import registry

    if not registry.NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a plugin; use a-z, 0-9 and -, such as shrunken-mean")
    if name in registry.locations():
        package = registry.locate(name).package
        raise UsageError(f"plugin {name!r} already exists, in {package}; choose another name")


def _write(name: str, folder: Path) -> None:
    """Fill in the template. The folder appears complete or not at all."""
    from importlib.resources import files
    from string import Template

    from cfbench.files import atomic_folder, make_folder

    values = _template_values(name)
    make_folder(folder.parent)
    with atomic_folder(folder) as hidden:
        for template, path in FILES.items():
            text = (files("cfbench") / "template" / f"{template}.txt").read_text(encoding="utf-8")
            file = hidden / path.format_map(values)
            make_folder(file.parent)
            file.write_text(Template(text).substitute(values), encoding="utf-8")


def _template_values(name: str) -> dict[str, str]:
    from cfbench.version import __version__

    words = name.split("-")
    return {
        "name": name,
        "package": f"cfbench_{'_'.join(words)}",
        "title": " ".join(words).capitalize(),
        "kind": "".join(map(str.capitalize, words)),
        "version": __version__,
    }
