"""Where runs are: the results folder."""

from __future__ import annotations

import os
from pathlib import Path

from cfbench import advice
from cfbench.runs.results import Results


def open_results(folder: str | Path | None) -> Results:
    """Return a results folder, by default that of the command line: `CFBENCH_RESULTS`, or `results` here."""
    return Results(Path(folder or os.environ.get(advice.RESULTS_VARIABLE) or advice.DEFAULT_RESULTS))
