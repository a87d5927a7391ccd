"""`cfbench recommend`: the items with the highest predictions for a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, DeviceOption, JsonOption, RatingsOption, ResultsOption, RunArgument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cfbench.runs.stored_model import StoredModel


def recommend(
    run: RunArgument,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="The user's id, as the data set has it.", show_default=False,
                     autocompletion=completion.users),
    ] = None,
    ratings: RatingsOption = None,
    number: Annotated[int, typer.Option("-n", min=1, metavar="N", help="The number of items.")] = 10,
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """List the items with the highest predictions for a user, without those rated in training.

    Examples: cfbench recommend last --user 196; cfbench recommend last --ratings my-ratings.csv -n 20
    """
    if (user is None) == (ratings is None):
        raise typer.BadParameter("whose items? give either --user ID or --ratings PATH")
    from cfbench.cli.view.predictions import prediction_rows, print_predictions
    from cfbench.runs.recommend import recommend as highest_predictions
    from cfbench.runs.stored_model import load_model

    stored = load_model(run, results, device, ratings)
    code, rated = _user_and_rated_items(stored, user)
    items, scores = highest_predictions(stored.plugin, stored.model, code, rated, number)
    print_predictions(prediction_rows(stored.dataset, items, scores), json=json)
    if len(items) < number:
        console.say(f"{len(items)} of {number}: there are no more items that this user has not rated")


def _user_and_rated_items(stored: StoredModel, user: str | None) -> tuple[int, NDArray[np.bool_]]:
    """Return the user's code and the mask (n_items,) of the items to leave out, because the user rated them."""
    import numpy as np

    from cfbench.runs.recommend import NEW_USER, NewUser, rated_in_training

    if isinstance(stored.model, NewUser):
        return NEW_USER, np.isin(np.arange(stored.dataset.ratings.n_items), stored.model.items)
    code = int(stored.dataset.catalogue.user_codes([str(user)])[0])
    return code, rated_in_training(stored.dataset, stored.split, code, refit=stored.refit)
