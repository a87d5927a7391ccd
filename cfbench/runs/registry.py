"""REGISTRY: finds plugins: the first-party folder `plugins/`, and the entry points `cfbench.plugins` of other packages.

A plugin's name is that of its module (or entry point), with `-` for `_`. Only this module imports a plugin, and only
when asked for it. Beside the module may lie a TOML file of the same name with its presets: tables of hyper-parameters.
`presets/<plugin>.toml` in the data folder has a person's own. A preset named as a data set is used there by default.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import shlex
import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import ValidationError

from cfbench import __version__, plugins
from cfbench.contract import Config, FoldIn, Plugin
from cfbench.errors import ConfigError, PluginError, UnknownNameError
from cfbench.files import data_home

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from importlib.metadata import EntryPoint

GROUP = "cfbench.plugins"
NAME = re.compile("(?=.{1,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""What a plugin can be called: its name is a folder of the results, a word of the command line."""


@dataclass(frozen=True)
class PluginLocation:
    """Where a plugin is, before it is imported."""

    name: str
    module: str
    attribute: str = "PLUGIN"
    package: str = f"cfbench-recsys {__version__}"
    """Distribution and version it comes from."""
    passed_over: tuple[str, ...] = ()
    """Packages that also offer a plugin of this name."""

    @property
    def summary(self) -> str:
        """First line of its module's docstring, read without importing it; empty when it cannot be read."""
        try:
            text = self._file.read_text(encoding="utf-8") if self._file else ""
            return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        except (OSError, ValueError, SyntaxError):
            return ""

    @property
    def presets_file(self) -> Path | None:
        """Where its presets are, if it has any."""
        file = self._file.with_suffix(".toml") if self._file else None
        return file if file and file.exists() else None

    @property
    def _file(self) -> Path | None:
        try:
            spec = importlib.util.find_spec(self.module)
        except Exception:  # noqa: BLE001 (the package around the module is imported, and is not ours)
            return None
        return Path(spec.origin) if spec and spec.origin else None


@cache
def found() -> dict[str, PluginLocation]:
    """Every plugin by name; one of cfbench's own names cannot be taken, another's goes to the first package by name."""
    own = (m.name for m in pkgutil.iter_modules(plugins.__path__) if not m.name.startswith("_"))
    ours = [PluginLocation(name.replace("_", "-"), f"cfbench.plugins.{name}") for name in own]
    theirs = sorted(map(_announced, entry_points(group=GROUP)), key=lambda place: place.package)
    places: dict[str, PluginLocation] = {}
    for place in (*ours, *theirs):
        first = places.setdefault(place.name, place)
        if first is not place:
            places[place.name] = replace(first, passed_over=(*first.passed_over, place.package))
    return dict(sorted(places.items()))


def _announced(point: EntryPoint) -> PluginLocation:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.module.partition(".")[0]
    return PluginLocation(point.name.replace("_", "-"), point.module, point.attr or "PLUGIN", package)


def names() -> list[str]:
    """All plugins."""
    return list(found())


def find(name: str) -> PluginLocation:
    """Where the plugin of that name is; raises `UnknownNameError`."""
    if name not in found():
        raise UnknownNameError("plugin", name, found(), advice="see `cfbench plugins`")
    return found()[name]


def load(name: str) -> Plugin[Any]:
    """A plugin that can be used; raises `UnknownNameError`, or `PluginError` when it or what it needs is not there."""
    plugin = look(name)
    lacking = missing(plugin)
    if lacking:
        libraries = " and ".join(lacking)
        raise PluginError(f"plugin {name!r} needs {libraries}, not installed here; {install_line(lacking.values())}")
    return plugin


def look(name: str) -> Plugin[Any]:
    """Import a plugin, whether what it needs is there or not; raises `UnknownNameError`, `PluginError`."""
    place = find(name)
    if not NAME.fullmatch(name):
        raise PluginError(f"{place.package} calls a plugin {name!r}; a name is of a-z, 0-9 and -, and begins with a-z")
    try:
        module = importlib.import_module(place.module)
    except ImportError as fault:
        raise PluginError(f"plugin {name!r} cannot be imported: {_line(fault)}; install what it needs") from fault
    except Exception as fault:
        told = f"{type(fault).__name__}: {_line(fault)}"
        raise PluginError(f"plugin {name!r} cannot be imported: {told}; it comes from {place.package}") from fault
    if not hasattr(module, place.attribute):
        raise PluginError(f"plugin {name!r}: module {place.module} has no {place.attribute}; it must export one")
    plugin = getattr(module, place.attribute)
    if not isinstance(plugin, Plugin):
        kind = type(plugin).__name__
        raise PluginError(
            f"plugin {name!r}: {place.module}.{place.attribute} is a {kind}, expected cfbench.contract.Plugin"
        )
    return plugin


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())


def missing(plugin: Plugin[Any]) -> dict[str, str]:
    """What a plugin needs and is not installed: the name to import, and what `pip install` calls it."""
    return {library: package for library, package in plugin.needs.items() if not _installed(library)}


def _installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):  # the package around it is not there, or it has been made up in memory
        return False


def install_line(packages: Iterable[str]) -> str:
    """What to type to get them."""
    return f"pip install {shlex.join(dict.fromkeys(packages))}"


def folding() -> list[str]:
    """The plugins that can be used here and whose model, by default, speaks of a user it has not met in training."""
    return [name for name in names() if _folds_in(name)]


def _folds_in(name: str) -> bool:
    try:
        plugin = load(name)
        return isinstance(plugin.build(plugin.config()), FoldIn)
    except Exception:  # noqa: BLE001 (whatever is wrong with it, it is none to name)
        return False


def own_presets(name: str) -> Path:
    """Where a person's own presets of a plugin are kept, if there are any."""
    return data_home() / "presets" / f"{name}.toml"


def presets(name: str) -> dict[str, dict[str, Any]]:
    """A plugin's presets by name, a person's own before those it came with; raises `PluginError`."""
    files = (find(name).presets_file, own_presets(name))
    return {key: table for file in files if file and file.exists() for key, table in tables(name, file).items()}


def tables(name: str, file: Path) -> dict[str, dict[str, Any]]:
    """The presets in a file; raises `PluginError` when it is malformed."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise PluginError(f"presets of plugin {name!r}, {file}: {fault}") from fault
    for key, table in tables.items():
        if not isinstance(table, dict):
            raise PluginError(f"presets of plugin {name!r}, {file}: {key!r} is no table; write it under [a-preset]")
    return tables


def preset(name: str, asked: str | None, dataset: str) -> tuple[str | None, dict[str, Any]]:
    """The preset asked for, else the one named as the data set, else none; raises `UnknownNameError`."""
    known = presets(name)
    if asked is None:
        return (dataset, known[dataset]) if dataset in known else (None, {})
    if asked not in known:
        raise UnknownNameError("preset", asked, known, advice=f"plugin {name}")
    return asked, known[asked]


def configure(
    plugin: Plugin[Any], preset: dict[str, Any], flags: dict[str, str | bool]
) -> tuple[Config, dict[str, str]]:
    """The resolved config, and where each value came from: `default`, `preset` or `flag`.

    Flags are the command line's text; a tuple is written with commas, an empty one `none`. Raises `ConfigError`, one
    line a wrong field.
    """
    values: dict[str, Any] = preset | {name: _parsed(plugin.config, name, value) for name, value in flags.items()}
    try:
        config: Config = plugin.config.model_validate(values)
    except ValidationError as fault:
        raise ConfigError("\n".join(_lines(plugin.config, fault, preset.keys() - flags.keys()))) from fault
    sources = dict.fromkeys(preset, "preset") | dict.fromkeys(flags, "flag")
    return config, {name: sources.get(name, "default") for name in plugin.config.model_fields}


def _parsed(config: type[Config], name: str, value: str | bool) -> Any:
    field = config.model_fields.get(name)
    if field is not None and isinstance(value, str) and get_origin(field.annotation) is tuple:
        return () if value == "none" else tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _lines(config: type[Config], fault: ValidationError, of_preset: Container[str]) -> list[str]:
    lines = []
    first = {str(error["loc"][0]) if error["loc"] else "config": error for error in reversed(fault.errors())}
    for name, error in reversed(first.items()):
        if error["type"] == "extra_forbidden":
            near = get_close_matches(name, config.model_fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(config.model_fields)}"
            lines.append(f"no hyper-parameter {name!r}; {hint}")
        else:
            wish = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
            where = f"{name} in the preset" if name in of_preset else f"--{name.replace('_', '-')}"
            lines.append(f"{where}: {wish}, got {error['input']!r}")
    return lines
