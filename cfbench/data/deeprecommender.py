"""The folders of ratings that the reference implementation of `deepae` reads (github.com/NVIDIA/DeepRecommender).

Its converter of the Netflix Prize writes N3M_TRAIN/n3m.train.txt, N3M_VALID/…, N3M_TEST/…, N6M_TRAIN/… into one folder.
A part is every file of its folder whose name ends in .txt. A line is a user, an item, a rating and, in some files, a
time, with tabs between them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.data.imported_rows import RatingsFile
from cfbench.data.parts import PART_NAMES, TEST, TRAIN
from cfbench.data.readers.table import LayoutOptions
from cfbench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = LayoutOptions(separator="\t", header=False)
_FOLDER = re.compile(r"(?:(?P<split>.*)_)?(?P<part>train|valid|test)", re.IGNORECASE)
_EXPECTED = "the folders N3M_TRAIN and N3M_TEST (N3M stands for any name) and, if there is one, N3M_VALID"


def find_files(path: Path) -> list[RatingsFile]:
    """The files of the parts, in the order of the parts and of their names.

    `path` is the folder that holds the folders of the parts. If it has those of several splits, `path` ends in the name
    of one, as in data/N3M. Raises `UsageError`.
    """
    folder, name = (path, None) if path.is_dir() else (path.parent, path.name)
    splits = _find_splits(folder)
    if name is None:
        name = _only_split(folder, splits)
    if name not in splits:
        raise UsageError(f"no folder {path}, and {folder} has no folders {name}_TRAIN and {name}_TEST; check its name")
    parts = splits[name]
    for part in (TRAIN, TEST):
        if part not in parts:
            missing = f"{name}_{PART_NAMES[part].upper()}" if name else PART_NAMES[part]
            raise UsageError(f"{folder} has no folder {missing}, expected {_EXPECTED}")
    return [RatingsFile(file, part) for part in sorted(parts) for file in _texts(parts[part])]


def _find_splits(folder: Path) -> dict[str, dict[int, Path]]:
    """Name of a split → part → folder."""
    splits: dict[str, dict[int, Path]] = {}
    for each in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _FOLDER.fullmatch(each.name)
        if match and each.is_dir():
            part = PART_NAMES.index(match["part"].lower())
            splits.setdefault(match["split"] or "", {})[part] = each
    return splits


def _only_split(folder: Path, splits: dict[str, dict[int, Path]]) -> str:
    if not splits:
        raise UsageError(f"{folder} has no folders of ratings, expected {_EXPECTED}")
    if len(splits) > 1:
        example = next(filter(None, splits))
        command = advice.command("import", folder / example, "--format", "deeprecommender", "--name", example.lower())
        raise UsageError(f"{folder} has the splits {', '.join(filter(None, splits))}; choose one, as in `{command}`")
    return next(iter(splits))


def _texts(folder: Path) -> list[Path]:
    """The files of a part; raises `UsageError` if there is none."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name.endswith(".txt"))
    if not files:
        raise UsageError(f"{folder} has no file that ends in .txt, expected one or more with lines of ratings")
    return files
