"""Splits on disk, so that a split is cut only once.

A file has the SHA-256 of its header, the header as one line of JSON, and the part of each rating as one byte. A damaged
file counts as missing.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, field_validator

from cfbench.data.split import restore_split
from cfbench.data.split_definitions import ReportCount
from cfbench.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from cfbench.data.split import Split
    from cfbench.data.split_definitions import SplitDefinition
    from cfbench.ratings import Ratings

CACHE_VERSION = "cfbench parts 2"
"""A part of the file names: change it when `make_split` cuts the same definition differently."""
_DIGEST_BYTES = 32  # of a SHA-256


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    report: dict[str, NonNegativeInt]
    fingerprint: str

    @field_validator("report")
    @classmethod
    def _require_all_counts(cls, report: dict[str, int]) -> dict[str, int]:
        if set(report) != set(get_args(ReportCount)):
            raise ValueError("the report of a version of cfbench with other counts")
        return report


def cache_path(folder: Path, name: str, definition: SplitDefinition, ratings: Ratings) -> Path:
    """The file of a split in `folder`; another definition or other ratings have another file."""
    key = f"{CACHE_VERSION}: {ratings.fingerprint} {definition.model_dump_json(exclude={'expected'})}"
    return folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parts"


def read_report(path: Path) -> dict[str, int] | None:
    """The report of a cached split, without reading its parts; None if the file is missing or damaged."""
    with suppress(OSError), path.open("rb") as file:
        if header := _read_header(file):
            return header.report
    return None


def read_split(path: Path, name: str, definition: SplitDefinition, ratings: Ratings) -> Split | None:
    """A cached split; None if the file is missing or damaged."""
    with suppress(OSError), path.open("rb") as file:
        if header := _read_header(file):
            parts = np.frombuffer(file.read(), np.uint8)
            split = restore_split(name, definition, ratings, parts, report=header.report)
            return split if split.fingerprint == header.fingerprint else None
    return None


def write_split(path: Path, split: Split) -> None:
    """Write a split to the cache; raises `WriteError`."""
    header = _Header(report=split.report, fingerprint=split.fingerprint).model_dump_json().encode() + b"\n"
    write_atomically(path, hashlib.sha256(header).digest() + header + split.parts.tobytes())


def _read_header(file: BinaryIO) -> _Header | None:
    """The header; None if it does not match its SHA-256. Raises `OSError`."""
    digest, header = file.read(_DIGEST_BYTES), file.readline()
    if hashlib.sha256(header).digest() != digest:
        return None
    with suppress(ValidationError):
        return _Header.model_validate_json(header)
    return None
