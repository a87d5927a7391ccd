"""`cfbench embed`: the codes of users or items, as the model of a stored run computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, DeviceOption, ResultsOption, RunArgument

Sides: TypeAlias = Literal["users", "items"]


def embed(
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file to write: .csv or .parquet.", show_default=False),
    ] = None,
    of: Annotated[
        Sides | None,
        typer.Option(
            "--of", help="Whose codes. Default: those that the model has; items if it has both.", show_default=False
        ),
    ] = None,
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Write the code of each user or item, as the model of a stored run computes it, to a file.

    The code of an autoencoder is what its encoder makes of the ratings of a user, or of an item; of models such as als
    and svd it is the vector of factors. The columns are user or item, title, ratings (the number of training ratings)
    and code_0, code_1, …

    Examples: cfbench embed last --out codes.parquet; cfbench embed als --of users --out users.csv
    """
    if out is None:
        raise typer.BadParameter("where to? give a file that ends in .csv or .parquet, as in --out codes.csv")
    from cfbench.cli.stored_model import load_model
    from cfbench.data.exporting import check_format
    from cfbench.runs.embedding import embed as compute_codes
    from cfbench.runs.embedding import embedding_table, write_table

    check_format(out)
    stored = load_model(run, results, device, None)
    codes = compute_codes(stored.plugin, stored.model, stored.train, "user" if of == "users" else of and "item")
    write_table(embedding_table(codes, stored.dataset), out)
    n, k = codes.vectors.shape
    console.say(f"wrote the codes of {n:,} {codes.side}s to {out}: code_0 … code_{k - 1}")
    if len(codes.seen) < n:
        console.say(f"{n - len(codes.seen):,} {codes.side}s have no training rating; their code is 0")
