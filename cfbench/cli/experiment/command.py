"""`cfbench experiment`: the group of its commands."""

from __future__ import annotations

import typer

from cfbench.cli.experiment.list_ import list_experiments
from cfbench.cli.experiment.report import report
from cfbench.cli.experiment.run import run
from cfbench.cli.experiment.show import show

group = typer.Typer(add_completion=False, rich_markup_mode="rich")
group.command("list")(list_experiments)
group.command("show")(show)
group.command("run")(run)
group.command("report")(report)


@group.callback()
def experiment() -> None:
    """Test the claims of the paper on data of your choice: each gets a verdict, with an interval.

    Examples: cfbench experiment list; cfbench experiment run depth --dataset ml-100k --budget 1h;
    cfbench experiment report depth
    """
