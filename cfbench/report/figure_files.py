"""Pictures as files: PNG, SVG and PDF in one style, in the widths of the columns of a paper, with embedded fonts."""

from __future__ import annotations

import io
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfbench.errors import UsageError
from cfbench.files import write_atomically
from cfbench.report.drawing import STYLES, Palette, drawing_style, require_matplotlib
from cfbench.report.plain_text import page_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from cfbench.report.drawing import Picture

ENDINGS = (".png", ".svg", ".pdf")
PAPER = Palette("#000000", "#5F5F5F", "#C8C8C8", STYLES[0].colour, tuple(style.colour for style in STYLES))
PAPER_SIZE = 8.0
"""The size of letters in points; those at ticks and in legends are smaller."""
PAPER_DPI = 300
"""The resolution of PNG in a paper."""
_LEGEND_LINE, _HANDLE, _LETTER = 1.6, 5.5, 0.56  # a line, the sample of a line, and a letter, in sizes of letters


@dataclass(frozen=True)
class FileSketch:
    """A figure that becomes files: texts are drawn as they are, and a legend is below the figure."""

    figure: Figure
    palette: Palette = PAPER

    def text(self, text: str) -> dict[str, Any]:
        """The text without control characters."""
        return {"text": page_text(text)}

    def tip(self, _: str) -> None:
        """None: nobody can point at a printed drawing."""

    def legend(self, axes: Any) -> None:
        """Explain the series below the figure, which grows by as much."""
        handles, labels = axes.get_legend_handles_labels()
        if not labels:
            return
        import matplotlib as mpl

        size, (width, height) = mpl.rcParams["legend.fontsize"], self.figure.get_size_inches()
        entry = (_HANDLE + _LETTER * max(map(len, labels))) * size / 72
        columns = min(max(1, int(width / entry)), len(labels))
        rows = math.ceil(len(labels) / columns)
        self.figure.set_figheight(height + (rows + 0.5) * _LEGEND_LINE * size / 72)
        self.figure.legend(
            handles, [page_text(label) for label in labels], loc="outside lower center", ncols=columns, frameon=False,
            handlelength=3.2, columnspacing=1.2,
        )  # fmt: skip


def check_endings(paths: Sequence[Path], option: str) -> None:
    """Raise `UsageError` if an ending names no format, or if matplotlib is missing; `option` has the file."""
    for path in paths:
        if path.suffix.lower() not in ENDINGS:
            example = f"{option} {path.with_suffix('.svg')}"
            raise UsageError(f"{path} must end in .png, .svg or .pdf, which chooses the format; such as {example}")
    require_matplotlib()


def save_picture(picture: Picture, width: float, paths: Sequence[Path], command: str) -> None:
    """Write a picture of a width in inches to files in the style of a paper; raises `WriteError`.

    `command` is the command line that draws it.
    """
    with paper_sketch(width, picture.height(width)) as sketch:
        picture.paint(sketch)
        save(sketch.figure, paths, command, picture.label, dpi=PAPER_DPI)


@contextmanager
def paper_sketch(width: float, height: float, size: float = PAPER_SIZE) -> Iterator[FileSketch]:
    """An empty figure of this size in inches, with letters of a size in points, in the style of a paper."""
    from matplotlib.figure import Figure

    colours: Any = {
        "grid.color": PAPER.rule, "grid.linewidth": 0.5, "axes.linewidth": 0.6, "xtick.major.width": 0.6,
        "ytick.major.width": 0.6, "text.parse_math": False,
    }  # fmt: skip
    with drawing_style(size, **colours):
        yield FileSketch(Figure(figsize=(width, height), layout="constrained"))


def save(figure: Figure, paths: Sequence[Path], command: str, title: str, *, dpi: float = 150) -> None:
    """Write a figure to files, each of which appears only when it is complete; raises `WriteError`.

    `command` is the command line that draws it, and `title` says what it shows: both are metadata.
    """
    for path in paths:
        content = _render(figure, path.suffix.lower().removeprefix("."), command, title, dpi)
        write_atomically(path, content)


def _render(figure: Figure, form: str, command: str, title: str, dpi: float) -> bytes:
    """The bytes of a figure in a format; equal figures give equal bytes."""
    from cfbench.report.svg_fonts import embed_font

    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Title": title, "Description": command},
        "svg": {"Title": title, "Description": command, "Date": None},
        "pdf": {"Title": title, "Subject": command, "CreationDate": None},
    }
    stream = io.BytesIO()
    figure.savefig(stream, format=form, dpi=dpi, metadata=metadata[form])
    return embed_font(stream.getvalue().decode()).encode() if form == "svg" else stream.getvalue()
