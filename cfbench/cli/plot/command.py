"""`cfbench plot`: the group of its commands."""

from __future__ import annotations

import typer

from cfbench.cli.plot.board import board, pareto
from cfbench.cli.plot.curves import curves
from cfbench.cli.plot.slices import slices
from cfbench.cli.plot.study import study

group = typer.Typer(add_completion=False, rich_markup_mode="rich")
for command in (curves, board, pareto, slices, study):
    group.command()(command)


@group.callback()
def plot() -> None:
    """Draw a figure for a paper: learning curves, the leaderboard, its costs, its errors by slice, or a study.

    All figures have one style. Colour-blind people can distinguish the colours, and each series has its own marker.
    The ending of --out chooses SVG, PDF or PNG; several --out draw once and write each. Fonts are embedded, and the
    command that draws the figure is in the metadata of the file.

    Examples: cfbench plot board --dataset ml-100k --out board.pdf; cfbench plot curves --width double --out curves.svg
    """
