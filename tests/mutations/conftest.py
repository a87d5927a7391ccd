"""Seeded mutations of files, and a home with one file of each kind that a command reads."""

from __future__ import annotations

import json
import sqlite3
import struct
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, -1e308, float("nan"), float("inf"),
    -float("inf"), "", "x", "nan", "-1", "..", "../../x", "a/b", "\0", "*", "[", "\x1b[31m[/nope]", "é" * 300,
    "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "tomorrow",
    [], [[]], [None], ["x"], {}, {"x": None}, {"": {}}, [1, "2", None], [[[[[[[[]]]]]]]],
]  # fmt: skip


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change, remove, repeat or insert some bytes, or cut the end off."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice([1, 2, 8, 64, 1024]))
    some = rng.randbytes(rng.choice([1, 2, 8, 64]))
    special = rng.choice(
        [b"\0", b"\r", b"\n", b'"', b",", b"\xff", b"\xef\xbb\xbf", b"\x1b[2J", b"[/nope]", b"9" * 5000]
    )
    flipped = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[start:end])
    return rng.choice([
        data[:start], b"", some, data[:start] + data[end:], data[:end] + data[start:], data[:start] + some + data[end:],
        data[:start] + special + data[start:], data[:start] + flipped + data[end:], data.replace(b"\n", b"\r"),
    ])  # fmt: skip


def mutate_json(value: Any, rng: random.Random) -> Any:
    """Replace, remove, rename or add one value somewhere in a JSON value."""
    places = [place for place in _places(value) if place[0] is not None]
    holder, key = rng.choice(places)
    what = rng.random()
    if what < 0.15:
        del holder[key]
    elif what < 0.2 and isinstance(holder, dict):
        holder[str(key) + "x"] = holder.pop(key)
    elif what < 0.25 and isinstance(holder, dict):
        holder[rng.choice(["x", "", "\x1b", *holder])] = rng.choice(ODD_VALUES)
    elif what < 0.35:
        holder[key] = rng.choice(_places(value))[0]  # something of another kind
        return json.loads(json.dumps(value, skipkeys=True, default=str)) if not _is_circular(value) else None
    else:
        holder[key] = rng.choice(ODD_VALUES)
    return value


def _places(value: Any, holder: Any = None, key: Any = None) -> list[tuple[Any, Any]]:
    """Every value inside a JSON value, as its holder and its key."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(holder, key), *(place for name, one in inner for place in _places(one, value, name))]


def _is_circular(value: Any) -> bool:
    try:
        json.dumps(value)
    except (ValueError, RecursionError):
        return True
    return False


def mutate_document(data: bytes, rng: random.Random) -> bytes:
    """Mutate a JSON file, most often inside its values."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        value = mutate_json(value, rng) if value else value
    return json.dumps(value).encode()


def mutate_lines(data: bytes, rng: random.Random) -> bytes:
    """Mutate a text file, such as TOML or CSV, most often one value of a line."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    lines = data.splitlines(keepends=True)
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    before, separator, _ = lines[at].rpartition(rng.choice([b"=", b",", b":"]))
    odd = json.dumps(rng.choice(ODD_VALUES)).encode()
    changed = before + separator + rng.choice([odd, odd.strip(b'"'), b"1979-05-27", b"{ x = 1 }", b"inf", b""]) + b"\n"
    lines[at] = rng.choice([changed, changed, changed, b"", lines[at] * 2, lines[other]])
    return b"".join(lines)


def mutate_arrays(data: bytes, rng: random.Random) -> bytes:
    """Mutate a safetensors file: its header, a JSON object after its length, or its bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    name = rng.choice(list(header))
    what = rng.randrange(5)
    if what == 0:
        header[name + "x"] = header.pop(name)
    elif what == 1 and "dtype" in header[name]:
        header[name]["dtype"] = rng.choice(["F16", "BF16", "F64", "I8", "BOOL", "F8_E4M3", "X"])
    elif what == 2 and "shape" in header[name]:
        header[name]["shape"] = rng.choice([[], [1], [-1], [2**40, 2**40], [*reversed(header[name]["shape"])]])
    else:
        header = mutate_json(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", rng.choice([len(text), len(text), len(text), 2**63, 0])) + text + data[8 + length :]


def mutate_table(data: bytes, rng: random.Random) -> bytes:
    """Mutate a Parquet file: its columns or its bytes."""
    if rng.random() < 0.5:
        return mutate_bytes(data, rng)
    from io import BytesIO

    import polars as pl
    from polars import selectors

    table = pl.read_parquet(BytesIO(data))
    name = rng.choice(table.columns)
    odd = rng.choice([None, float("nan"), float("inf"), -1e30, 1e30, 0, "x", [1.0]])
    table = rng.choice([
        table.head(0), table.head(1), table.drop(name), table.rename({name: "x"}), pl.concat([table, table]),
        table.with_columns(pl.lit(odd).alias(name)), table.with_columns(pl.lit(1).alias("more")),
        table.select((~selectors.nested()).cast(pl.String), selectors.nested()),
    ])  # fmt: skip
    stream = BytesIO()
    table.write_parquet(stream)
    return stream.getvalue()


def mutate_database(file: Path, rng: random.Random) -> None:
    """Mutate an SQLite file: a value of a row, a table, or its bytes."""
    if rng.random() < 0.4:
        file.write_bytes(mutate_bytes(file.read_bytes(), rng))
        return
    connection = sqlite3.connect(file)
    tables = [
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ]
    table = rng.choice(tables)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    odd = rng.choice(ODD_VALUES)
    value = odd if isinstance(odd, str | float | None) and odd != 10**400 else json.dumps(odd)
    what = rng.random()
    if what < 0.15:
        connection.execute(f"DELETE FROM {table}")
    elif what < 0.2:
        connection.execute(f"DROP TABLE {table}")
    else:
        try:
            connection.execute(f"UPDATE OR IGNORE {table} SET {rng.choice(columns)} = ?", (value,))
        except sqlite3.IntegrityError:
            connection.execute(f"DELETE FROM {table}")
    connection.commit()
    connection.close()


def mutate_place(file: Path, rng: random.Random) -> None:
    """Put something else in the place of a file."""
    file.unlink()
    what = rng.randrange(4)
    if what == 0:
        file.mkdir()
    elif what == 1:
        file.symlink_to(file.name)
    elif what == 2:
        file.symlink_to("/dev/null")


_MUTATORS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": mutate_document, ".toml": mutate_lines, ".csv": mutate_lines, ".safetensors": mutate_arrays,
    ".parquet": mutate_table,
}  # fmt: skip


def mutate_file(file: Path, rng: random.Random) -> None:
    """Mutate a file as its kind suggests, or put something else in its place."""
    if rng.random() < 0.05:
        mutate_place(file, rng)
    elif file.suffix == ".db":
        mutate_database(file, rng)
    else:
        file.write_bytes(_MUTATORS.get(file.suffix, mutate_bytes)(file.read_bytes(), rng))


@pytest.fixture(scope="session")
def mutate() -> Callable[[Path, random.Random], None]:
    """The function that mutates a file."""
    return mutate_file
