"""`cfbench serve`: the leaderboard in a browser, always with the newest runs."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Annotated

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.dataset_choice import dataset_card
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    AllRunsOption,
    ClustersOption,
    DatasetOption,
    MetricOption,
    PluginsOption,
    ResultsOption,
    SplitOption,
)
from cfbench.cli.progress import FileProgress
from cfbench.errors import UsageError

DEFAULT_PORT = 8377


def serve(
    dataset: DatasetOption = None,
    split: SplitOption = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="The port of this machine; 0 means a free one.")
    ] = DEFAULT_PORT,
    metric: MetricOption = "rmse",
    clusters: ClustersOption = "user",
    plugin: PluginsOption = None,
    all_runs: AllRunsOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Show the leaderboard of a data set and split in a browser on this machine, always with the newest runs.

    The page is that of `cfbench report`, and lists the runs under way. When a run has ended, the page loads itself
    again and stays where you were. Nobody can change anything through it, and no other machine can reach it. Ctrl-C
    ends it.

    To watch a server from your own machine, type `ssh -L 8377:127.0.0.1:8377 SERVER` there, and open
    http://127.0.0.1:8377/ in its browser.

    Examples: cfbench serve; cfbench serve --dataset ml-1m --port 8400
    """
    from cfbench.report.board_report import BoardReport
    from cfbench.report.html import require_libraries
    from cfbench.report.live_page import LivePage
    from cfbench.report.page_server import PageServer
    from cfbench.runs.results import Results

    require_libraries()
    card = dataset_card(dataset)
    chosen = BoardReport(
        card, split or card.default_split, Results(results), metric, clusters, tuple(plugin or ()), all_runs
    )
    try:
        server = PageServer(port)
    except OSError as fault:
        reason = "another program uses it" if fault.errno == errno.EADDRINUSE else str(fault.strerror)
        again = advice.command("serve", "--port", "0", dataset=card.name, split=chosen.split, results=results)
        raise UsageError(f"cannot listen at port {port}: {reason}; `{again}` takes a free one") from fault
    with server:
        with FileProgress() as progress:
            page = LivePage(chosen, progress)
        _say_where(server.port)
        try:
            server.serve(page)
        except KeyboardInterrupt:
            console.say("stopped")


def _say_where(port: int) -> None:
    """Print the address of the page, and how to reach it from another machine."""
    console.result(f"http://127.0.0.1:{port}/")
    sys.stdout.flush()
    console.say(f"from another machine: ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}")
    console.say("Ctrl-C ends it")
