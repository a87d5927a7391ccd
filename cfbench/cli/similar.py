"""`cfbench similar`: the nearest neighbours of an item or a user by their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, DeviceOption, JsonOption, ResultsOption, RunArgument

if TYPE_CHECKING:
    from cfbench.cli.view.rows import Row
    from cfbench.ratings import Catalogue
    from cfbench.runs.embedding import Embedding
    from cfbench.runs.stored_model import StoredModel


def similar(
    run: RunArgument,
    item: Annotated[
        str | None,
        typer.Option("--item", metavar="ID", help="The item's id, its title, or a part of a title that no other has.",
                     show_default=False, autocompletion=completion.items),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="The user's id, as the data set has it.", show_default=False,
                     autocompletion=completion.users),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="The number of neighbours.")] = 10,
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """List the items or users that are most similar to one, by the cosine of their codes.

    The codes are those that `cfbench embed` writes. Items and users without a training rating are not listed.

    Examples: cfbench similar last --item 50; cfbench similar last --item "star wars" --top 20; cfbench similar als
    --user 196
    """
    if (item is None) == (user is None):
        raise typer.BadParameter("similar to what? give either --item ID or --user ID")
    from cfbench.cli.view.rows import print_rows
    from cfbench.runs.embedding import embed
    from cfbench.runs.stored_model import load_model

    stored = load_model(run, results, device, None)
    codes = embed(stored.plugin, stored.model, stored.train, "user" if item is None else "item")
    row = _find_row(stored, codes, item, user)
    rows = _neighbours(stored, codes, row, top)
    print_rows(rows, json=json)
    if len(rows) < top:
        console.say(f"{len(rows)} of {top}: there are no more {codes.side}s with a training rating")


def _find_row(stored: StoredModel, codes: Embedding, item: str | None, user: str | None) -> int:
    """Return the row of the item or user; raises `UnknownNameError`, `UsageError` if it has no training rating."""
    from cfbench.errors import UsageError

    catalogue = stored.dataset.catalogue
    row = _find_item(catalogue, item) if item is not None else int(catalogue.user_codes([str(user)])[0])
    if not codes.ratings[row]:
        name = catalogue.items["title"][row] or item if item is not None else user
        raise UsageError(
            f"{codes.side} {name!r} has no training rating in split {stored.split}, so that the model knows nothing "
            f"about it; choose another {codes.side}"
        )
    return row


def _find_item(catalogue: Catalogue, text: str) -> int:
    """Return the row of the item with this id or title, or of the only one whose title contains the text."""
    from cfbench.errors import UsageError

    ids, titles = catalogue.items["id"], catalogue.titles
    if text.isdecimal() or text in ids or titles.count(text) == 1:
        return int(catalogue.item_codes([text])[0])
    found = [row for row, title in enumerate(titles) if text.lower() in title.lower()]
    if len(found) > 1:
        first = ", ".join(f"{ids[row]} is {titles[row]!r}" for row in found[:5]) + (", …" if len(found) > 5 else "")
        raise UsageError(f"{len(found)} titles contain {text!r}; give the id of one: {first}")
    return found[0] if found else int(catalogue.item_codes([text])[0])


def _neighbours(stored: StoredModel, codes: Embedding, row: int, top: int) -> list[Row]:
    """Return a row for each neighbour: id, similarity, number of training ratings, and the title and genres of items.

    There are no genres if the data set has none.
    """
    import numpy as np

    from cfbench.runs.neighbours import nearest

    seen, catalogue = codes.seen, stored.dataset.catalogue
    at = np.searchsorted(seen, [row])
    (found,), (cosines,) = nearest(codes.vectors[seen], at, min(top, len(seen) - 1))
    names = catalogue.users if codes.side == "user" else catalogue.items
    rows: list[Row] = []
    for code, cosine in zip(seen[found].tolist(), cosines.tolist(), strict=True):
        line: Row = {codes.side: names["id"][code], "similarity": round(cosine, 4), "ratings": int(codes.ratings[code])}
        if codes.side == "item":
            line["title"] = names["title"][code] or ""
            line |= {"genres": ", ".join(catalogue.genres[code])} if any(catalogue.genres) else {}
        rows.append(line)
    return rows
