"""The hash of a plugin's source: two runs are the same only if the same code made them.

The source of a plugin is its module and, step by step, every module that these modules import from the plugin's own
package or from `cfbench.learning`, which holds the code that models share: an edit of `plugins/_surprise.py` changes
`svd`, and no other plugin's edit does. Imports inside functions count, and no module is imported for it. Presets are
not part of the source, because a record has the config. Other libraries and the rest of cfbench have their versions in
the record.
"""

from __future__ import annotations

import ast
import hashlib
from contextlib import suppress
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_CODE = ("cfbench.plugins", "cfbench.learning")
"""The packages of cfbench whose modules are the code of models."""


@cache
def source_hash(module: str) -> str:
    """Return the SHA-256 of a plugin's source, in hexadecimal digits; empty if its module has no file."""
    sources = dict(_read_sources(module))
    if module not in sources:
        return ""
    digest = hashlib.sha256()
    for name, content in sorted(sources.items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _read_sources(module: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each module that belongs to the plugin, with line ends as on Unix."""
    root = module.partition(".")[0]
    packages = SHARED_CODE if root == "cfbench" else (root, *SHARED_CODE)
    waiting, seen = [module], {module}
    while waiting:
        name = waiting.pop()
        file = _source_file(name)
        if file is None:
            continue
        content = file.read_bytes().replace(b"\r\n", b"\n")
        yield name, content
        if file.suffix == ".py":
            imports = {other for other in _imported_names(name, file, content) if _belongs(other, packages)}
            waiting += sorted(imports - seen)
            seen |= imports


def _belongs(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _source_file(module: str) -> Path | None:
    """Return the file of a module; None if there is none, for example because the name is that of a class.

    Nothing is imported but the outermost package: importlib's own `find_spec` would import the packages between.
    """
    parts = module.split(".")
    with suppress(ImportError, AttributeError, ValueError):
        spec = find_spec(parts[0])
        for end in range(2, len(parts) + 1):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join(parts[:end]), spec.submodule_search_locations)
        if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
            return Path(spec.origin)
    return None


def _imported_names(module: str, file: Path, content: bytes) -> Iterator[str]:
    """Yield the dotted name of everything that a module's text imports, whether it is a module or not."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(module: str) -> Iterator[str]:
    """Yield a dotted name and the packages it is in: importing a module runs their code too."""
    while module:
        yield module
        module = module.rpartition(".")[0]
