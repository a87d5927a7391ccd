"""`cfbench studies`: the studies of `cfbench tune`."""

from __future__ import annotations

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption, StorageOption
from cfbench.cli.tune import summary


def studies(results: ResultsOption = DEFAULT_RESULTS, storage: StorageOption = None, json: JsonOption = False) -> None:
    """List the studies that `cfbench tune` keeps, and how far they are.

    Example: cfbench studies
    """
    from cfbench.tuning import database as storages
    from cfbench.tuning import study

    urls = [storage] if storage else storages.in_results(results)
    rows = [summary.summary(each) for url in urls for each in study.everything(url)]
    console.print_json(rows) if json else summary.list_studies(rows, storage or str(results))
