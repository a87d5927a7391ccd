"""What all drawings share: their formats, their styles, and how a file of one is written.

matplotlib draws without a window, so that no screen is needed. Colours are those of M. Okabe and K. Ito, which
colour-blind people tell apart; every colour has a marker and a line of its own, for black and white.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfbench import advice
from cfbench.errors import UsageError
from cfbench.files import atomic_file, write_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg")


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


def require(module: str, what: str, package: str) -> None:
    """Raise `UsageError` if a module is not installed that `what` needs; `package` is what pip installs."""
    if importlib.util.find_spec(module) is None:
        name = package if module == "umap" else module
        raise UsageError(f"{what} needs {name}, which is not installed; install it with: {advice.pip_install(package)}")


def require_matplotlib() -> None:
    """Raise `UsageError` if matplotlib is not installed."""
    require("matplotlib", "a drawing", "cfbench-recsys[report]")


@contextmanager
def drawing_style() -> Iterator[None]:
    """Within it, all figures have the same fonts, and equal data give equal files."""
    import matplotlib as mpl

    settings: Any = {
        "svg.hashsalt": "cfbench", "svg.fonttype": "none", "font.size": 10, "axes.spines.top": False,
        "axes.spines.right": False, "xtick.labelsize": 8, "ytick.labelsize": 8, "lines.linewidth": 1.3,
    }  # fmt: skip
    with mpl.rc_context(settings):
        yield


def save(figure: Figure, path: Path, command: str) -> None:
    """Write a figure to a .png or .svg file, which appears only when it is complete; raises `WriteError`.

    `command` is the command line that draws it, for the description in the file.
    """
    as_svg = path.suffix.lower() == ".svg"
    metadata = {"Description": command} | ({"Date": None} if as_svg else {})
    with write_errors(path), atomic_file(path) as unfinished:
        figure.savefig(unfinished, format="svg" if as_svg else "png", dpi=150, metadata=metadata)
