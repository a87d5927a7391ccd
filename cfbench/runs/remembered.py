"""A results folder that a program looks at again and again: each record is read once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from typing import TYPE_CHECKING

from cfbench.runs.results import Results

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.runs.record import Record


@dataclass(frozen=True)
class RememberedResults(Results):
    """A results folder whose finished records are kept in memory. A file that was replaced is read again."""

    _known: dict[Path, tuple[tuple[int, int, int], Record]] = field(default_factory=dict, init=False, compare=False)

    def run_names(self, dataset: str, split: str) -> frozenset[str]:
        """Return the names of the finished runs of a data set and split; no record is read."""
        return frozenset(folder.name for folder in self.root.glob(f"{escape(dataset)}/{escape(split)}/*/*"))

    def splits(self) -> list[tuple[str, str]]:
        """Return each data set and split with a finished run, in the order of their names; no record is read."""
        return sorted({(folder.parts[-4], folder.parts[-3]) for folder in self.root.glob("[!.]*/*/*/*")})

    def _read_in_place(self, path: Path) -> Record:
        version = None
        with suppress(OSError):
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._known.get(path)
        if known is not None and known[0] == version:
            return known[1]
        record = super()._read_in_place(path)
        if version is not None:
            self._known[path] = (version, record)
        return record
