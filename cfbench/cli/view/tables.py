"""Tables for the terminal, for Markdown and for LaTeX. When a table is too wide, its least important columns drop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.errors import UnknownNameError
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.table import Table

_BETWEEN, _EDGES = 3, 2  # characters that Rich's SIMPLE box puts between the columns, and at both edges together
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "−": "$-$", "±": r"$\pm$", "≈": r"$\approx$", "●": r"$\bullet$",
}  # fmt: skip
"""How LaTeX writes each character that is special there or missing from its fonts."""


@dataclass(frozen=True)
class Column:
    """A column of a table: a heading, and one cell for each row."""

    heading: str
    cells: list[str]
    priority: int = 0
    """When the table is too wide, columns are dropped in descending order of priority: 0 is dropped last."""
    right: bool = False
    """Whether the cells are aligned to the right."""
    keep: bool = False
    """Whether it stays even if all cells are empty or unknown."""
    key: str = ""
    """Another name by which `--columns` chooses it, such as its name in CSV."""

    @property
    def name(self) -> str:
        """The name by which `--columns` chooses it: `to-best` for the heading `to best`."""
        return column_name(self.heading) or column_name(self.key)

    @property
    def width(self) -> int:
        """The width on the terminal, in characters."""
        from rich.cells import cell_len

        from cfbench.report.plain_text import plain

        return max(cell_len(plain(text)) for text in [self.heading, *self.cells])


def column_name(heading: str) -> str:
    """The name of a column on the command line: its heading in lower case, with a hyphen for each gap."""
    return re.sub("[^a-z0-9@]+", "-", heading.lower()).strip("-")


def choose(columns: Sequence[Column], names: str) -> list[Column]:
    """The columns with these names, which commas separate, in their order; raises `UnknownNameError`."""
    known = {column_name(column.key): column for column in columns} | {column.name: column for column in columns}
    chosen = []
    for name in names.split(","):
        if column_name(name) not in known:
            raise UnknownNameError("column", name, (column.name for column in columns))
        chosen.append(known[column_name(name)])
    return chosen


def drop_empty(columns: list[Column]) -> list[Column]:
    """The columns with at least one cell that is neither empty nor unknown, and those to keep."""
    return [column for column in columns if column.keep or any(cell not in ("", numbers.NONE) for cell in column.cells)]


def print_table(
    columns: list[Column], names: str | None = None, *, bold: int | None = None, below: Collection[str] = ()
) -> list[Column]:
    """Print a table in the width of the terminal, or the columns with these names in any width; return what is shown.

    The columns for which the terminal is too narrow are named below it, except those whose content the caller prints
    `below`. `bold` is the index of a row. Raises `UnknownNameError`.
    """
    out = console.out()
    shown = choose(columns, names) if names else fit_width(columns, out.width)
    out.print(rich_table(shown, bold=bold), crop=False)
    if not names:
        _print_dropped([c for c in drop_empty(columns) if c not in shown and c.heading not in below])
    return shown


def _print_dropped(columns: list[Column]) -> None:
    if columns:
        headings = ", ".join(column.heading for column in columns)
        example = ",".join(column.name for column in columns[:2])
        line = f"no room for: {headings}; --columns {example} shows the columns that you name"
        console.out().print(line)  # wrapped like the table, also in a pipe


def fit_width(columns: list[Column], width: int) -> list[Column]:
    """The columns that are not empty, in their order, without those that must be dropped to fit `width` characters."""
    columns = drop_empty(columns)
    while len(columns) > 1 and table_width(columns) > width:
        least_important = max(columns, key=lambda column: column.priority)
        columns = [column for column in columns if column is not least_important]
    return columns


def transpose(columns: list[Column]) -> list[Column]:
    """The table with its rows as columns. The first column gives the headings, and becomes the first heading."""
    first, *others = columns
    headings = Column(first.heading, [column.heading for column in others])
    rows = enumerate(first.cells)
    return [headings, *(Column(label, [c.cells[row] for c in others], right=True) for row, label in rows)]


def divide(columns: list[Column], width: int) -> list[list[Column]]:
    """The table as several, each with the first column and with as many others as `width` has room for."""
    first, *others = columns
    parts = [[first]]
    for column in others:
        if len(parts[-1]) > 1 and table_width([*parts[-1], column]) > width:
            parts.append([first])
        parts[-1].append(column)
    return parts


def table_width(columns: list[Column]) -> int:
    """The width of a table on the terminal, in characters."""
    return sum(column.width for column in columns) + _BETWEEN * (len(columns) - 1) + _EDGES


def rich_table(columns: list[Column], *, bold: int | None = None) -> Table:
    """The table for the terminal; `bold` is the index of a row to print in bold."""
    from rich import box
    from rich.table import Table

    width = table_width(columns)  # otherwise Rich would shorten the cells of a table that is too wide
    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1), width=width)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    for index, cells in enumerate(_rows(columns)):
        table.add_row(*cells, style="bold" if index == bold else "")
    return table


def markdown(columns: list[Column]) -> str:
    """The table in GitHub's Markdown."""
    lines = [
        [column.heading for column in columns],
        ["--:" if column.right else "---" for column in columns],
        *_rows(columns),
    ]
    escaped_lines = ([cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells] for cells in lines)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in escaped_lines)


def latex(columns: list[Column]) -> str:
    r"""The table as a LaTeX `tabular`; it needs the package booktabs."""
    alignment = "".join("r" if column.right else "l" for column in columns)
    lines = [
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_line([column.heading for column in columns]),
        r"\midrule",
        *map(_latex_line, _rows(columns)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _latex_line(cells: list[str]) -> str:
    escaped = ("".join(LATEX_ESCAPES.get(character, character) for character in cell) for cell in cells)
    return " & ".join(escaped) + r" \\"


def _rows(columns: list[Column]) -> list[list[str]]:
    return [list(cells) for cells in zip(*(column.cells for column in columns), strict=True)]


def bar(share: float, width: int) -> str:
    """A horizontal bar that fills a share of `width` characters, in steps of an eighth of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
