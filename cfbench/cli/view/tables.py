"""Tables for the terminal, for Markdown and for LaTeX. When a table is too wide, its least important columns drop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.cli.view import numbers

if TYPE_CHECKING:
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

    @property
    def width(self) -> int:
        """The width on the terminal, in characters."""
        from rich.cells import cell_len

        from cfbench.cli.plain import plain

        return max(cell_len(plain(text)) for text in [self.heading, *self.cells])


def drop_empty(columns: list[Column]) -> list[Column]:
    """The columns with at least one cell that is neither empty nor unknown, and those to keep."""
    return [column for column in columns if column.keep or any(cell not in ("", numbers.NONE) for cell in column.cells)]


def fit_width(columns: list[Column], width: int) -> list[Column]:
    """The columns that are not empty, in their order, without those that must be dropped to fit `width` characters."""
    columns = drop_empty(columns)
    while len(columns) > 1 and _table_width(columns) > width:
        least_important = max(columns, key=lambda column: column.priority)
        columns = [column for column in columns if column is not least_important]
    return columns


def _table_width(columns: list[Column]) -> int:
    return sum(column.width for column in columns) + _BETWEEN * (len(columns) - 1) + _EDGES


def rich_table(columns: list[Column], *, bold: int | None = None) -> Table:
    """The table for the terminal; `bold` is the index of a row to print in bold."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1))
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
