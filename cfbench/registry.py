"""REGISTRY: finds plugins: the first-party folder `plugins/`, and the entry points `cfbench.plugins` of other packages.

A plugin's name is that of its module (or entry point), with `-` for `_`. Only this module imports a plugin, and only
when asked for it. Beside the module may lie a TOML file of the same name with its presets: tables of hyper-parameters.
A preset named as a data set is used there by default.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points, packages_distributions, version
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError

from cfbench import plugins
from cfbench.contract import Config, Plugin
from cfbench.errors import ConfigError, PluginError, UnknownNameError

GROUP = "cfbench.plugins"


@dataclass(frozen=True)
class Found:
    """Where a plugin is, before it is imported."""

    name: str
    module: str
    attribute: str = "PLUGIN"

    @property
    def package(self) -> str:
        """Distribution and version it comes from."""
        top = self.module.partition(".")[0]
        names = packages_distributions().get(top, [top])
        return f"{names[0]} {version(names[0])}"

    @property
    def summary(self) -> str:
        """First line of its module's docstring, read without importing it."""
        file = self._file
        return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0] if file else ""

    @property
    def presets_file(self) -> Path | None:
        """Where its presets are, if it has any."""
        file = self._file.with_suffix(".toml") if self._file else None
        return file if file and file.exists() else None

    @property
    def _file(self) -> Path | None:
        try:
            spec = importlib.util.find_spec(self.module)
        except ImportError:
            return None
        return Path(spec.origin) if spec and spec.origin else None


@cache
def found() -> dict[str, Found]:
    """Every plugin by name; one of cfbench's own names cannot be taken by another package."""
    theirs = {e.name: Found(e.name, e.module, e.attr or "PLUGIN") for e in entry_points(group=GROUP)}
    own = (m.name for m in pkgutil.iter_modules(plugins.__path__) if not m.name.startswith("_"))
    ours = {name.replace("_", "-"): Found(name.replace("_", "-"), f"cfbench.plugins.{name}") for name in own}
    return dict(sorted((theirs | ours).items()))


def names() -> list[str]:
    """All plugins."""
    return list(found())


def find(name: str) -> Found:
    """Where the plugin of that name is; raises `UnknownNameError`."""
    if name not in found():
        raise UnknownNameError("plugin", name, found(), advice="see `cfbench plugins`")
    return found()[name]


def load(name: str) -> Plugin[Any]:
    """Import a plugin; raises `UnknownNameError`, or `PluginError` when its module cannot be used."""
    place = find(name)
    try:
        plugin = getattr(importlib.import_module(place.module), place.attribute)
    except ImportError as fault:
        raise PluginError(f"plugin {name!r} cannot be imported: {fault}; install what it needs") from fault
    except AttributeError as fault:
        raise PluginError(
            f"plugin {name!r}: module {place.module} has no {place.attribute}; it must export one"
        ) from fault
    if not isinstance(plugin, Plugin):
        kind = type(plugin).__name__
        raise PluginError(
            f"plugin {name!r}: {place.module}.{place.attribute} is a {kind}, expected cfbench.contract.Plugin"
        )
    return plugin


def presets(name: str) -> dict[str, dict[str, Any]]:
    """A plugin's presets by name; raises `PluginError` when its file is malformed."""
    file = find(name).presets_file
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as fault:
        raise PluginError(f"presets of plugin {name!r}, {file}: {fault}") from fault


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

    Flags are the command line's text; a tuple is written with commas. Raises `ConfigError`, one line a wrong field.
    """
    values: dict[str, Any] = preset | {name: _parsed(plugin.config, name, value) for name, value in flags.items()}
    try:
        config: Config = plugin.config.model_validate(values)
    except ValidationError as fault:
        raise ConfigError("\n".join(_lines(plugin.config, fault))) from fault
    sources = dict.fromkeys(preset, "preset") | dict.fromkeys(flags, "flag")
    return config, {name: sources.get(name, "default") for name in plugin.config.model_fields}


def _parsed(config: type[Config], name: str, value: str | bool) -> Any:
    field = config.model_fields.get(name)
    if field is not None and isinstance(value, str) and get_origin(field.annotation) is tuple:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _lines(config: type[Config], fault: ValidationError) -> list[str]:
    lines = []
    first = {str(error["loc"][0]) if error["loc"] else "config": error for error in reversed(fault.errors())}
    for name, error in reversed(first.items()):
        if error["type"] == "extra_forbidden":
            near = get_close_matches(name, config.model_fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(config.model_fields)}"
            lines.append(f"no hyper-parameter {name!r}; {hint}")
        else:
            wish = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
            lines.append(f"--{name.replace('_', '-')}: {wish}, got {error['input']!r}")
    return lines
