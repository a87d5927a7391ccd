"""`cfbench embed`: the codes of users or items, as a file, a map, or a measure of how good they are."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from cfbench.cli import console
from cfbench.cli.options import DEFAULT_RESULTS, DeviceOption, JsonOption, ResultsOption, RunArgument

if TYPE_CHECKING:
    from cfbench.runs.embedding import Embedding
    from cfbench.runs.stored_model import StoredModel

Sides: TypeAlias = Literal["users", "items"]


def embed(  # noqa: PLR0913, PLR0917 (every option is a parameter)
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the codes to this file: .csv or .parquet.",
                     show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the codes in two dimensions: .svg or .png.",
                     show_default=False),
    ] = None,
    method: Annotated[
        Literal["pca", "umap"],
        typer.Option("--method", help="How --plot finds two dimensions: principal components, or UMAP."),
    ] = "pca",
    purity: Annotated[
        bool,
        typer.Option("--purity", help="Print how often the nearest items share a genre, against chance."),
    ] = False,
    of: Annotated[
        Sides | None,
        typer.Option("--of", help="Whose codes. Default: those that the model has; items if it has both.",
                     show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Write, draw or judge the codes of users or items, as the model of a stored run computes them.

    The code of an autoencoder is what its encoder makes of the ratings of a user, or of an item; of models such as als
    and svd it is the vector of factors. The columns of the file are user or item, title, ratings (the number of
    training ratings) and code_0, code_1, …

    The map shows directions of codes, coloured by genre where genres are known. Genre purity is the mean share of an
    item's 10 nearest items, by the cosine of their codes, that have a genre of the item.

    Examples: cfbench embed last --out codes.parquet; cfbench embed als --of users --out users.csv; cfbench embed last
    --plot codes.svg; cfbench embed last --purity
    """
    if out is None and plot is None and not purity:
        raise typer.BadParameter("what for? give a file, as in --out codes.parquet or --plot codes.svg, or --purity")
    if purity and of == "users":
        raise typer.BadParameter("--purity is that of items, because users have no genres; leave --of users out")
    from cfbench.data.exporting import check_format
    from cfbench.report.code_map import check_drawing
    from cfbench.runs.embedding import embed as compute_codes
    from cfbench.runs.stored_model import load_model

    if out is not None:
        check_format(out)
    if plot is not None:
        check_drawing(plot, method)
    stored = load_model(run, results, device, None)
    side: Literal["user", "item"] | None = "user" if of == "users" else "item" if of or purity else None
    codes = compute_codes(stored.plugin, stored.model, stored.train, side)
    if out is not None:
        _write(stored, codes, out)
    if plot is not None:
        _draw(stored, codes, plot, method)
    if purity:
        _print_purity(stored, codes, json=json)


def _write(stored: StoredModel, codes: Embedding, out: Path) -> None:
    from cfbench.runs.embedding import embedding_table, write_table

    write_table(embedding_table(codes, stored.dataset), out)
    n, k = codes.vectors.shape
    console.say(f"wrote the codes of {n:,} {codes.side}s to {out}: code_0 … code_{k - 1}")
    if len(codes.seen) < n:
        console.say(f"{n - len(codes.seen):,} {codes.side}s have no training rating; their code is 0")


def _draw(stored: StoredModel, codes: Embedding, plot: Path, method: Literal["pca", "umap"]) -> None:
    from cfbench.errors import DataError
    from cfbench.report.code_map import CodeMap, draw, main_genres, project

    seen, genres = codes.seen, []
    if codes.side == "item":
        try:
            genres = main_genres([stored.dataset.genres[row] for row in seen])
        except DataError as fault:
            console.say(f"{fault}; the colours of {plot} are numbers of ratings")
    points, axes = project(codes.vectors[seen], method)
    title = f"{stored.plugin} on {stored.dataset.card.name}: codes of {len(seen):,} {codes.side}s"
    words = ("cfbench", "embed", stored.run, "--of", f"{codes.side}s", "--plot", plot.name, "--method", method)
    draw(CodeMap(points, axes, title, codes.ratings[seen], genres, shlex.join(words)), plot)
    console.say(f"drew the codes of {len(seen):,} {codes.side}s with training ratings in {plot}")


def _print_purity(stored: StoredModel, codes: Embedding, *, json: bool) -> None:
    from cfbench.runs.genre_purity import NEIGHBOURS, purity_of_codes

    result = purity_of_codes(codes, stored.dataset.genres)
    estimates = {
        "purity": result.purity, "chance": result.chance, "difference": result.purity - result.chance
    }  # fmt: skip
    if json:
        facts = {"run": stored.run, "plugin": stored.plugin, "items": result.items, "neighbours": NEIGHBOURS}
        numbers = {
            name: {"value": estimate.value, "interval": estimate.interval()} for name, estimate in estimates.items()
        }
        console.print_json(facts | numbers)
        return
    console.result(
        f"{stored.plugin} on {stored.dataset.card.name}, {result.items:,} items with a genre and a training rating:"
    )
    texts = {
        "purity": f"of the {NEIGHBOURS} nearest items share a genre with an item",
        "chance": "of all other items do",
        "difference": "is the difference",
    }
    for name, estimate in estimates.items():
        low, high = estimate.interval()
        console.result(f"{estimate.value:7.1%} {texts[name]} (95 % interval {low:.1%} to {high:.1%})")
