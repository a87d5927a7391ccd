"""What all drawings share: what a picture is, how its series look, and which libraries it needs.

A picture is painted on a sketch, which stands for the place where it appears: `inline_svg` puts it into a page,
`figure_files` into files. matplotlib draws without a window, so that no screen is needed. Colours are those of M. Okabe
and K. Ito, which colour-blind people tell apart; every colour has a marker and a line of its own, for black and white.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from cfbench.libraries import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Style:
    """How one of several things looks."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()
    """Lengths of dashes and gaps, in widths of the line; empty for a solid line."""


STYLES = (
    Style("#0072B2", "o"), Style("#D55E00", "^", (5, 1.5)), Style("#009E73", "s", (1.2, 1.2)),
    Style("#CC79A7", "D", (5, 1.2, 1.2, 1.2)), Style("#56B4E9", "v", (2.5, 1)), Style("#E69F00", "P", (8, 2)),
    Style("#000000", "X", (1, 2)), Style("#7F7F7F", "*", (4, 1, 1, 1, 1, 1)),
)  # fmt: skip


@dataclass(frozen=True)
class Palette:
    """The colours of a place where pictures appear."""

    ink: str
    muted: str
    rule: str
    accent: str
    series: tuple[str, ...]

    def style(self, number: int) -> Style:
        """How a series looks, counted from 1; those after the last colour are grey."""
        colour = self.series[number - 1] if number <= len(self.series) else self.muted
        return replace(STYLES[(number - 1) % len(self.series)], colour=colour)


class Sketch(Protocol):
    """An empty figure, and what the place where it will appear makes of texts and explanations."""

    @property
    def figure(self) -> Figure:
        """The figure that is painted on."""

    @property
    def palette(self) -> Palette:
        """The colours."""

    def text(self, text: str) -> dict[str, Any]:
        """What `annotate` of matplotlib gets to show a text from outside: `text`, and perhaps `gid`."""

    def tip(self, text: str) -> str | None:
        """The `gid` of an artist that shows this text when the pointer rests on it, where that is possible."""

    def legend(self, axes: Any) -> None:
        """Explain the series of these axes, which have labels, unless words around the picture do."""


@dataclass(frozen=True)
class Picture:
    """Something that can be painted in a page and in files."""

    label: str
    """What it shows, in words."""
    height: Callable[[float], float]
    """The height in inches for a width in inches, without a legend below."""
    paint: Callable[[Sketch], None]


def require_matplotlib() -> None:
    """Raise `UsageError` if matplotlib is not installed."""
    require("matplotlib", "a drawing", "cfbench-recsys[report]")


@contextmanager
def drawing_style(size: float = 10, **more: Any) -> Iterator[None]:
    """Within it, all figures have the same fonts, of this size in points, and equal data give equal files.

    Fonts are embedded: in PDF as TrueType, in SVG by `svg_fonts`.
    """
    import matplotlib as mpl

    small = size / 1.2
    settings: Any = {
        "svg.hashsalt": "cfbench", "svg.fonttype": "none", "pdf.fonttype": 42, "font.size": size,
        "axes.titlesize": "medium", "xtick.labelsize": small, "ytick.labelsize": small, "legend.fontsize": small,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "lines.linewidth": 1.3,
    }  # fmt: skip
    with mpl.rc_context(settings | more):
        yield
