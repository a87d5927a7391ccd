"""`cfbench plot study`: the trials of a study of `cfbench tune`."""

from __future__ import annotations

from typing import Annotated

import typer

from cfbench import advice
from cfbench.cli import completion
from cfbench.cli.options import DEFAULT_RESULTS, ResultsOption, StorageOption
from cfbench.cli.plot.options import OutOption, WidthOption, write_picture


def study(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The name of the study.", show_default=False,
                       autocompletion=completion.studies),
    ],
    out: OutOption,
    width: WidthOption = "single",
    results: ResultsOption = DEFAULT_RESULTS,
    storage: StorageOption = None,
) -> None:  # fmt: skip
    """Draw the trials of a study: the validation RMSE of each and the best so far, and the values of all trials.

    The values are parallel coordinates: a line for each trial, in colour for the best tenth. The most important
    hyper-parameters come first, as many as the width has room for, at most eight.

    Examples: cfbench plot study bias-ml-100k-random90 --out study.pdf; cfbench plot study mine --width double --out
    study.svg
    """
    from cfbench.errors import RecordError
    from cfbench.report.figure_files import check_endings
    from cfbench.report.study_figures import draw_study
    from cfbench.report.study_page import study_points
    from cfbench.tuning.database import storage_errors
    from cfbench.tuning.stored_studies import find_study, list_studies

    check_endings(out, "--out")
    stored = find_study(name, list_studies(results, storage))
    if stored.study is None:
        raise RecordError(stored.fault)
    with storage_errors(stored.url):
        picture = draw_study(study_points(stored.study))
    if picture is None:
        command = advice.command("studies", results=results)
        raise RecordError(f"study {name} has no finished trial, so there is nothing to draw; `{command}` lists studies")
    write_picture(picture, ["study", name], out, width)
