"""Which column of a person's table is the user, the item, the rating, the time or the title.

The person can name the columns. The others are found by their names in the first line or, in a file without such a
line, by their order: user, item, rating, time.
"""

from __future__ import annotations

import csv
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from cfbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = {
    "user": ("user", "userid", "uid", "customer", "customerid", "reviewer", "reviewerid", "member", "memberid"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "book", "bookid", "product", "productid", "track",
             "trackid", "song", "songid", "isbn", "asin"),
    "rating": ("rating", "score", "stars", "value", "rate", "overall"),
    "prediction": ("prediction", "predictions", "predictedrating", "predicted", "pred", "estimate", "est", "rating",
                   "score", "value"),
    "time": ("time", "timestamp", "date", "datetime", "unixreviewtime", "ratedat"),
    "title": ("title", "name", "movietitle", "booktitle"),
}  # fmt: skip
"""Role → usual names of its column, in small letters without `_`, `-` and blanks. The first name in the table wins."""
OPTIONAL = {"time"}
"""The roles that a table may lack."""
WHITESPACE = " "
"""The separator that stands for one or more blanks and tabs."""
_SEPARATORS = ("::", "\t", ",", ";", "|", WHITESPACE)
_SEPARATOR_NAMES = {"\\t": "\t", "tab": "\t", "blank": WHITESPACE, "whitespace": WHITESPACE, "comma": ","}
_MAX_SHOWN = 12  # columns in a message
_MAX_NAME = 60  # characters of a column's name in a message
_MAX_WITHOUT_NAMES = 8
"""A file of ratings with more columns than this, without a header, is rather a matrix of users and items."""


def parse_separator(text: str) -> str:
    """The separator that a person typed: itself, or one of a few names such as `tab`."""
    return _SEPARATOR_NAMES.get(text, text)


def split_fields(line: str, separator: str) -> list[str]:
    """The fields of one line; double quotes may enclose a field if the separator is one character."""
    if separator == WHITESPACE:
        return line.split()
    if len(separator) > 1:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [""])
    except csv.Error:
        return line.split(separator)


def detect_separator(lines: list[str], where: str, min_fields: int) -> str:
    """The separator that splits the most of the first lines into as many fields as the very first line.

    Raises `UsageError` when no separator splits that line into `min_fields` fields or more.
    """
    n_alike = {}
    for separator in _SEPARATORS:
        counts = [len(split_fields(line, separator)) for line in lines]
        if counts[0] >= min_fields:
            n_alike[separator] = counts.count(counts[0])
    if n_alike:
        return max(n_alike, key=lambda separator: n_alike[separator])
    raise UsageError(
        f"cannot detect the separator of {where}, whose first line is {lines[0][:80]!r}; "
        f"expected {min_fields} fields or more; give it with --separator"
    )


def detect_header(first: list[str], wanted: Mapping[str, str], roles: tuple[str, ...]) -> bool:
    """Whether the fields of the first line are names of columns and not a rating.

    `wanted` maps a role to the column's name or number that the person gave.
    """
    if any(not column.isdecimal() for column in wanted.values()):
        return True
    value = next((role for role in ("rating", "prediction") if role in roles), None)
    if value is None:
        return any(_simplify(name) in NAMES["item"] + NAMES["title"] for name in first)
    number = int(wanted.get(value, "2"))
    return number < len(first) and bool(first[number].strip()) and not _is_number(first[number])


def find_columns(
    names: list[str], wanted: Mapping[str, str], roles: tuple[str, ...], where: str, *, header: bool
) -> dict[str, int]:
    """Role → number of its column from 0. Raises `UsageError` when a column is missing or would have two roles.

    `names` are the fields of the first line, which are the columns' names if `header`. `wanted` maps a role to the
    column's name or number that the person gave.
    """
    names = [name.strip() for name in names]
    if not header:
        _refuse_matrix(names, wanted, roles, where)
    columns: dict[str, int] = {}
    for position, role in enumerate(roles):
        if role in wanted:
            number: int | None = _find_wanted(names, wanted[role], role, where, header=header)
        elif header:
            number = _find_by_name(names, role, where)
        else:
            number = _find_by_position(names, position, role, where, used=columns)
        if number is not None:
            columns[role] = number
    numbers = list(columns.values())
    for role, number in columns.items():
        if numbers.count(number) > 1:
            raise UsageError(
                f"{where}: column {number} cannot be the {role} and something else; give each role its own column"
            )
    return columns


def describe_columns(columns: Mapping[str, int], names: list[str], *, header: bool) -> str:
    """Which column has which role, and which columns have none, for people; `names` are those of all columns."""
    names = [_shorten(name.strip()) for name in names]
    labels = [f"column {number}" + (f" ({name})" if header else "") for number, name in enumerate(names)]
    roles = ", ".join(f"{role} = {labels[number]}" for role, number in columns.items())
    rest = [names[number] if header else str(number) for number in range(len(names)) if number not in columns.values()]
    return f"{roles}; not used: {_list_some(rest)}" if rest else roles


def _refuse_matrix(names: list[str], wanted: Mapping[str, str], roles: tuple[str, ...], where: str) -> None:
    """Raise `UsageError` for a file without a header that has too many columns to be a list of ratings."""
    needed = [role for role in roles if role not in OPTIONAL]
    if "rating" in roles and len(names) > _MAX_WITHOUT_NAMES and not all(role in wanted for role in needed):
        raise UsageError(
            f"{where} has {len(names)} columns and no header, expected at most {_MAX_WITHOUT_NAMES}: user, item, "
            "rating, time; if each row is a user and each column an item, add --wide (and --missing 99 if 99 means "
            "no rating), else give the numbers of the columns with --user, --item and --rating"
        )


def drop_doubtful_time(columns: dict[str, int], first: list[str]) -> dict[str, int]:
    """The columns, without the time if its first value looks like something else.

    This is for a file without a header, whose fourth column may be anything.
    """
    value = first[columns["time"]].strip()
    if _is_number(value) or re.match(r"\d{4}-\d\d-\d\d", value):
        return columns
    return {role: number for role, number in columns.items() if role != "time"}


def _find_wanted(names: list[str], column: str, role: str, where: str, *, header: bool) -> int:
    """The number of the column that the person named or numbered."""
    if header and column in names:
        return names.index(column)
    if column.isdecimal() and int(column) < len(names):
        return int(column)
    if not header or column.isdecimal():
        raise UsageError(
            f"{where} has no column {column!r} for the {role}; expected a number from 0 to {len(names) - 1}"
        )
    near = get_close_matches(column.lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    hint = next((f"did you mean {name!r}? " for name in names if [name.lower()] == near), "")
    raise UsageError(f"{where} has no column {column!r} for the {role}; {hint}there are: {_list_some(names)}")


def _find_by_name(names: list[str], role: str, where: str) -> int | None:
    simple = [_simplify(name) for name in names]
    number = next((simple.index(name) for name in NAMES[role] if name in simple), None)
    if number is None and role not in OPTIONAL:
        advice = f"name it with --{role}" if role != "title" else "call it title in the first line"
        matrix = ", or --wide if each row is a user and each column an item" if len(names) > _MAX_WITHOUT_NAMES else ""
        raise UsageError(
            f"{where} has no column for the {role}: {_list_some(names)}; {advice}, or use --no-header{matrix}"
        )
    return number


def _find_by_position(names: list[str], position: int, role: str, where: str, used: Mapping[str, int]) -> int | None:
    if position < len(names) and position not in used.values():
        return position
    if role not in OPTIONAL:
        advice = f"give its number with --{role}" if role != "title" else "expected two columns: item, title"
        raise UsageError(f"{where} has {len(names)} columns, none of them for the {role}; {advice}")
    return None


def _simplify(name: str) -> str:
    """A column's name as in `NAMES`. RecBole writes `user_id:token`, where `:token` is a type and not the name."""
    return re.sub(r"[\s_\-]", "", name.partition(":")[0]).lower()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list_some(names: list[str]) -> str:
    return ", ".join(map(_shorten, names[:_MAX_SHOWN])) + (", …" if len(names) > _MAX_SHOWN else "")


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
