"""`cfbench recommend`: the items a user should like best."""

from __future__ import annotations

from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, DeviceOption, JsonOption, ResultsOption, RunArgument
from cfbench.cli.predict import RatingsOption, prediction_rows, reopen, show_predictions


def recommend(
    run: RunArgument,
    user: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="The user, as in the data set.", show_default=False)
    ] = None,
    ratings: RatingsOption = None,
    number: Annotated[int, typer.Option("-n", min=1, metavar="N", help="How many items.")] = 10,
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """List the items a user is predicted to like best, of those without a rating of theirs in training.

    Examples: cfbench recommend last --user 196; cfbench recommend last --ratings mine.csv -n 20
    """
    if (user is None) == (ratings is None):
        raise typer.BadParameter("whom for? give either --user ID or --ratings PATH")
    import numpy as np

    from cfbench.runs.recommend import NOBODY, NewUser, rated_in_training
    from cfbench.runs.recommend import recommend as best

    plugin, model, dataset, split = reopen(run, results, device, ratings)
    if isinstance(model, NewUser):
        code, rated = NOBODY, np.isin(np.arange(dataset.ratings.n_items), model.items)
    else:
        code = int(dataset.catalogue.user_codes([str(user)])[0])
        rated = rated_in_training(dataset, split, code)
    items, scores = best(plugin, model, code, rated, number)
    show_predictions(prediction_rows(dataset, items, scores), json=json)
    if len(items) < number:
        console.say(f"{len(items)} of {number}: there are no more items without a rating of this user")
