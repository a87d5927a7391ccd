"""The registry of plugins: finds them, imports them, and makes their configs.

Plugins are the modules of the folder `plugins/` and the entry points `cfbench.plugins` of installed packages; a script
or a notebook can register more of them for its own process. A plugin is named like its module (or entry point), with
`-` for `_`. Only this module imports a plugin, and only when a command names it. A TOML file of the same name beside
the module has its presets: tables of hyper-parameters. The user's own presets are in `presets/<plugin>.toml` in the
data folder. A preset with the name of a data set is its default there.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import pkgutil
import re
import secrets
import sys
import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import ValidationError

from cfbench import advice, plugins
from cfbench.contract import Config, FoldIn, Plugin
from cfbench.errors import CfbenchError, ConfigError, PluginError, UnknownNameError, UsageError
from cfbench.files import data_home
from cfbench.runs.plugin_calls import contained
from cfbench.runs.source import source_hash
from cfbench.version import __version__

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from importlib.metadata import EntryPoint

    from pydantic_core import ErrorDetails

ENTRY_POINTS = "cfbench.plugins"
NAME = re.compile("(?=.{1,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""What a plugin may be called: its name is a folder of the results and a word of the command line."""


@dataclass(frozen=True)
class PluginLocation:
    """Where a plugin is; the plugin itself is not imported."""

    name: str
    module: str
    attribute: str = "PLUGIN"
    package: str = f"cfbench-recsys {__version__}"
    """Name and version of the distribution that has it."""
    shadowed: tuple[str, ...] = ()
    """Other packages that offer a plugin of this name; they are ignored."""
    own_source: str = ""
    """In place of the hash of the module's source, for a plugin whose module has no file of its own."""

    @property
    def source(self) -> str:
        """The hash of the plugin's source: two runs are the same only if it is equal."""
        return self.own_source or source_hash(self.module)

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read without importing the module; empty if it cannot be read."""
        try:
            text = self._file.read_text(encoding="utf-8") if self._file else ""
            return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        except (OSError, ValueError, SyntaxError):
            return ""

    @property
    def presets_file(self) -> Path | None:
        """The file of the presets that come with the plugin, if there is one."""
        file = self._file.with_suffix(".toml") if self._file else None
        return file if file and file.exists() else None

    @property
    def _file(self) -> Path | None:
        try:
            spec = importlib.util.find_spec(self.module)
        except Exception:  # noqa: BLE001 (find_spec imports the package around the module, which may raise anything)
            return None
        return Path(spec.origin) if spec and spec.origin else None


_registered: dict[str, tuple[PluginLocation, Plugin[Any]]] = {}
"""The plugins that are known in this process only, by their names."""


@cache
def locations() -> dict[str, PluginLocation]:
    """Return the location of every plugin by its name.

    No package can take the name of a plugin of cfbench's own; of other packages the first by name has precedence.
    """
    modules = (m.name for m in pkgutil.iter_modules(plugins.__path__) if not m.name.startswith("_"))
    own = [PluginLocation(name.replace("_", "-"), f"cfbench.plugins.{name}") for name in modules]
    installed = sorted(
        map(_entry_point_location, entry_points(group=ENTRY_POINTS)), key=lambda location: location.package
    )
    by_name: dict[str, PluginLocation] = {}
    for location in (*own, *installed):
        first = by_name.setdefault(location.name, location)
        if first is not location:
            by_name[location.name] = replace(first, shadowed=(*first.shadowed, location.package))
    return dict(sorted(by_name.items()))


def _entry_point_location(point: EntryPoint) -> PluginLocation:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.module.partition(".")[0]
    return PluginLocation(point.name.replace("_", "-"), point.module, point.attr or "PLUGIN", package)


def register(name: str, plugin: Plugin[Any]) -> None:
    """Make a plugin known in this process only, in place of an earlier one that was registered under this name.

    Its module may be a script or a notebook. Raises `UsageError` if an installed plugin has this name, `PluginError`
    for a name that no plugin can have.
    """
    if name in locations():
        raise UsageError(f"{locations()[name].package} has a plugin {name!r} already; choose another name")
    module = plugin.config.__module__
    location = PluginLocation(name, module, package="registered in Python", own_source=_source_in_process(module))
    _check_name(location)
    _registered[name] = (location, plugin)


def _source_in_process(module: str) -> str:
    """Return the hash of a script's source, and in a notebook a text that no other process has; empty for a module."""
    if source_hash(module):
        return ""
    file = getattr(sys.modules.get(module), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else secrets.token_hex(32)


def is_registered(name: str) -> bool:
    """Return whether a plugin is known in this process only."""
    return name in _registered


def names() -> list[str]:
    """Return the names of all plugins."""
    return sorted({*locations(), *_registered})


def locate(name: str) -> PluginLocation:
    """Return where a plugin is; raises `UnknownNameError`."""
    if name in _registered:
        return _registered[name][0]
    if name not in locations():
        raise UnknownNameError("plugin", name, names(), advice=f"see `{advice.command('plugins')}`")
    return locations()[name]


def load(name: str) -> Plugin[Any]:
    """Return a plugin that is ready for use; raises `UnknownNameError`, and `PluginError` if a library is missing."""
    plugin = import_plugin(name)
    missing = missing_libraries(plugin)
    if missing:
        libraries = " and ".join(missing)
        raise PluginError(
            f"plugin {name!r} needs {libraries}, not installed here; install with: {install_line(missing.values())}"
        )
    return plugin


def is_random(name: str) -> bool:
    """Return whether another seed can give a plugin other predictions; True if it cannot be imported."""
    try:
        return import_plugin(name).random
    except CfbenchError:
        return True


def import_plugin(name: str) -> Plugin[Any]:
    """Import a plugin, whether its libraries are installed or not; raises `UnknownNameError`, `PluginError`."""
    if name in _registered:
        return _registered[name][1]
    location = locate(name)
    _check_name(location)
    try:
        with contained(f"the import of plugin {name!r}"):
            module = importlib.import_module(location.module)
    except ImportError as fault:
        raise PluginError(f"plugin {name!r} cannot be imported: {_one_line(fault)}; install what it needs") from fault
    except PluginError:
        raise
    except Exception as fault:
        reason = f"{type(fault).__name__}: {_one_line(fault)}"
        raise PluginError(f"plugin {name!r} cannot be imported: {reason}; it comes from {location.package}") from fault
    if not hasattr(module, location.attribute):
        raise PluginError(f"plugin {name!r}: module {location.module} has no {location.attribute}; it must export one")
    plugin = getattr(module, location.attribute)
    if not isinstance(plugin, Plugin):
        kind = type(plugin).__name__
        raise PluginError(
            f"plugin {name!r}: {location.module}.{location.attribute} is a {kind}, expected cfbench.contract.Plugin"
        )
    return plugin


def _check_name(location: PluginLocation) -> None:
    """Raise `PluginError` for a name that no plugin can have."""
    if not NAME.fullmatch(location.name):
        raise PluginError(
            f"{location.package} names a plugin {location.name!r}; a name consists of a-z, 0-9 and -, and starts with "
            "a letter"
        )


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())


def missing_libraries(plugin: Plugin[Any]) -> dict[str, str]:
    """Return the libraries a plugin needs that are not installed: name to import → name for `pip install`."""
    return {library: package for library, package in plugin.needs.items() if not _is_installed(library)}


def _is_installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):  # its parent package is missing, or the module exists in memory only
        return False


def install_line(packages: Iterable[str]) -> str:
    """Return the command that installs packages."""
    return advice.pip_install(*dict.fromkeys(packages))


def fold_in_plugins() -> list[str]:
    """Return the usable plugins whose model, by default, predicts for new users."""
    return [name for name in names() if _folds_in(name)]


def _folds_in(name: str) -> bool:
    try:
        plugin = load(name)
        with contained("build"):
            return isinstance(plugin.build(plugin.config()), FoldIn)
    except Exception:  # noqa: BLE001 (a broken plugin is not offered, whatever it raises)
        return False


def user_presets_file(name: str) -> Path:
    """Return the file of the user's own presets of a plugin; it may not exist."""
    return data_home() / "presets" / f"{name}.toml"


def presets(name: str) -> dict[str, dict[str, Any]]:
    """Return a plugin's presets by name; the user's own replace those of the plugin. Raises `PluginError`."""
    result: dict[str, dict[str, Any]] = {}
    for file in (locate(name).presets_file, user_presets_file(name)):
        if file and file.exists():
            result |= read_presets(name, file)
    return result


def read_presets(name: str, file: Path) -> dict[str, dict[str, Any]]:
    """Read the presets in a file; raises `PluginError` if it is malformed."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise PluginError(f"presets of plugin {name!r}, {file}: {fault}") from fault
    for key, table in tables.items():
        if not isinstance(table, dict):
            raise PluginError(f"presets of plugin {name!r}, {file}: {key!r} is not a table; write it under [a-preset]")
    return tables


def preset(name: str, requested: str | None, dataset: str, split: str = "") -> tuple[str | None, dict[str, Any]]:
    """Return the name and the values of the preset to use; raises `UnknownNameError`.

    It is the requested one; without a request the one named like the data set; if there is none, the one that the
    plugin declares in `default_presets`; otherwise no preset.
    """
    known = presets(name)
    if requested is None:
        requested = dataset if dataset in known else _default_preset(name, dataset, split)
    if requested is None:
        return None, {}
    if requested not in known:
        raise UnknownNameError("preset", requested, known, advice=f"plugin {name}")
    return requested, known[requested]


def _default_preset(name: str, dataset: str, split: str) -> str | None:
    declared = import_plugin(name).default_presets
    return next((declared[key] for key in (f"{dataset}/{split}", dataset, "*") if key in declared), None)


def make_config(
    plugin: Plugin[Any], preset: dict[str, Any], flags: dict[str, str | bool]
) -> tuple[Config, dict[str, str]]:
    """Return the config, and where each value came from: `default`, `preset` or `flag`.

    Flags are text of the command line: a tuple is written with commas, an empty one as `none`. Raises `ConfigError`
    with one line for each wrong value.
    """
    values: dict[str, Any] = preset | {name: _parse_flag(plugin.config, name, value) for name, value in flags.items()}
    try:
        config: Config = plugin.config.model_validate(values)
    except ValidationError as fault:
        preset_only = preset.keys() - flags.keys()
        raise ConfigError("\n".join(_explain(plugin.config, fault, preset_only))) from fault
    sources = dict.fromkeys(preset, "preset") | dict.fromkeys(flags, "flag")
    return config, {name: sources.get(name, "default") for name in plugin.config.model_fields}


def _parse_flag(config: type[Config], name: str, value: str | bool) -> Any:
    """Split the text of a tuple; pydantic parses the rest."""
    field = config.model_fields.get(name)
    if field is not None and isinstance(value, str) and get_origin(field.annotation) is tuple:
        return () if value == "none" else tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _explain(config: type[Config], fault: ValidationError, preset_only: Container[str]) -> list[str]:
    """Return one line for each wrong hyper-parameter, with its first error."""
    first_errors: dict[str, ErrorDetails] = {}
    for error in fault.errors():
        first_errors.setdefault(str(error["loc"][0]) if error["loc"] else "config", error)
    lines = []
    for name, error in first_errors.items():
        if error["type"] == "extra_forbidden":
            near = get_close_matches(name, config.model_fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(config.model_fields)}"
            lines.append(f"no hyper-parameter {name!r}; {hint}")
        else:
            expected = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
            where = f"{name} in the preset" if name in preset_only else f"--{name.replace('_', '-')}"
            lines.append(f"{where}: {expected}, got {error['input']!r}")
    return lines
