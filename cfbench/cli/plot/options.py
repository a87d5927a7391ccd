"""The options that the commands of `cfbench plot` share, and how each of them writes its figure."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.report.drawing import Picture

WIDTHS = {"single": 3.33, "double": 7.0}
"""In inches: a column of a page with two columns, and the whole page, as in the styles of ACM and IEEE."""
NARROWEST, WIDEST = 2.0, 20.0


def parse_width(text: str) -> str:
    """Return the text of --width; raises `BadParameter` if it is no width."""
    try:
        inches = WIDTHS.get(text) or float(text)
    except ValueError:
        inches = 0.0
    if not NARROWEST <= inches <= WIDEST:
        raise typer.BadParameter(f"expected single, double or inches from 2 to 20, such as 5.5, got {text!r}")
    return text


OutOption = Annotated[
    list[Path],
    typer.Option(
        "--out", metavar="FILE", show_default=False,
        help="The file that is written: .svg, .pdf or .png. May be repeated, to write several formats of one figure.",
    ),
]  # fmt: skip
WidthOption = Annotated[
    Any,
    typer.Option(
        "--width", metavar="single|double|INCHES", parser=parse_width, autocompletion=completion.widths,
        help="The width of the figure: single is a column of a page with two columns (3.33 in), double is both (7 in).",
    ),
]  # fmt: skip
RunsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]…", show_default=False, autocompletion=completion.runs,
        help="The runs that are drawn: ids, parts of ids, or `last`. Seeds of one config are one model. Default: the "
        "models of the leaderboard.",
    ),
]  # fmt: skip


def write_picture(picture: Picture, words: Sequence[str], out: Sequence[Path], width: str) -> None:
    """Write a picture to its files; `words` and the options of the files are the command line that draws it."""
    from cfbench.report.figure_files import save_picture

    files = [word for path in out for word in ("--out", str(path))]
    size = [] if width == "single" else ["--width", width]
    command = shlex.join(["cfbench", "plot", *words, *size, *files])
    save_picture(picture, WIDTHS.get(width) or float(width), out, command)
    console.say(f"drew {', '.join(map(str, out))}")
