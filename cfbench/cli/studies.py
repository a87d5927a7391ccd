"""`cfbench studies`: the list of the studies of `cfbench tune`."""

from __future__ import annotations

from dataclasses import asdict

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption, StorageOption
from cfbench.cli.tune.summary import print_studies, study_row


def studies(results: ResultsOption = DEFAULT_RESULTS, storage: StorageOption = None, json: JsonOption = False) -> None:
    """List the studies of `cfbench tune`, with their trials and their best validation RMSE.

    Example: cfbench studies
    """
    from cfbench.tuning.database_url import display_url, study_urls
    from cfbench.tuning.study import load_studies

    urls = [storage] if storage else study_urls(results)
    rows = [study_row(study) for url in urls for study in load_studies(url)]
    if json:
        console.print_json([asdict(row) for row in rows])
    else:
        print_studies(rows, display_url(storage) if storage else str(results), results)
