"""Tables that fit: the least important columns give way first; and the same as Markdown and LaTeX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_BETWEEN, _EDGES = 3, 2  # what Rich's SIMPLE box puts between columns and around them
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "−": "$-$", "±": r"$\pm$", "≈": r"$\approx$", "●": r"$\bullet$",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A heading, a cell a row, and how dearly it is kept: 0 gives way last."""

    heading: str
    cells: list[str]
    rank: int = 0
    right: bool = False

    @property
    def width(self) -> int:
        """Cells of the terminal it needs."""
        from rich.cells import cell_len

        return max(map(cell_len, [self.heading, *self.cells]))


def filled(columns: list[Column]) -> list[Column]:
    """Those that say anything."""
    return [column for column in columns if any(cell not in ("", "–") for cell in column.cells)]


def fitting(columns: list[Column], width: int) -> list[Column]:
    """Those for which there is room, in their order."""
    kept = filled(columns)
    while len(kept) > 1 and sum(c.width + _BETWEEN for c in kept) - _BETWEEN + _EDGES > width:
        least = max(kept, key=lambda column: column.rank)
        kept = [column for column in kept if column is not least]
    return kept


def on_terminal(columns: list[Column], *, bold: int | None = None, dim: bool = False) -> Table:
    """For the terminal; one row may be bold."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    style = "dim" if dim else ""
    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1), style=style)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    for at, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        table.add_row(*map(Text, cells), style="bold" if at == bold else style)
    return table


def markdown(columns: list[Column]) -> str:
    """A table of GitHub's Markdown."""
    rows = [[c.heading for c in columns], ["--:" if c.right else "---" for c in columns]]
    rows += [list(cells) for cells in zip(*(c.cells for c in columns), strict=True)]
    escaped = ([cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def latex(columns: list[Column]) -> str:
    r"""A `tabular` for the package booktabs."""
    lines = [rf"\begin{{tabular}}{{{''.join('r' if c.right else 'l' for c in columns)}}}", r"\toprule"]
    lines += [_line([c.heading for c in columns]), r"\midrule"]
    lines += [_line(list(cells)) for cells in zip(*(c.cells for c in columns), strict=True)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _line(cells: list[str]) -> str:
    return " & ".join("".join(_LATEX.get(letter, letter) for letter in cell) for cell in cells) + r" \\"


def bar(share: float, width: int) -> str:
    """A horizontal bar of eighths of a cell."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
