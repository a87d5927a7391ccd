"""`cfbench import`: a person's own ratings become a data set."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cfbench.cli import console


class Repeats(StrEnum):
    """What to do when a pair is rated more than once."""

    ERROR = "error"
    LAST = "last"
    MEAN = "mean"


_COLUMN = "its name, or its number from 0"


def import_(  # noqa: PLR0913, PLR0917 (every option is a parameter)
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV, TSV or other text (also .gz, .zst, .zip), Parquet or Arrow."),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call the data set.", show_default=False)],
    user: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The users' column: {_COLUMN}.")] = None,
    item: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The items' column: {_COLUMN}.")] = None,
    rating: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The ratings' column: {_COLUMN}.")] = None,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The times' column: {_COLUMN}.")] = None,
    separator: Annotated[
        str, typer.Option(metavar="TEXT", help="What stands between fields: any text, tab, or whitespace.")
    ] = "",
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first line names the columns.")
    ] = None,
    member: Annotated[str, typer.Option(metavar="NAME", help="The file inside a zip that has several.")] = "",
    scale: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH:STEP", help="What ratings can be; found if not given.")
    ] = None,
    duplicates: Annotated[
        Repeats, typer.Option(help="When a pair is rated again: stop, keep the file's last rating, or average.")
    ] = Repeats.ERROR,
    titles: Annotated[Path | None, typer.Option(metavar="FILE", help="Titles of the items: item, title.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Drop rows that are no ratings, and say so.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set you imported before.")] = False,
) -> None:
    """Make a data set of your own ratings, and make it the current one.

    Example: cfbench import ratings.csv --name mine --user customer --rating stars
    """
    from cfbench.data.importing import ImportOptions, import_file, parse_scale
    from cfbench.data.readers.table import Asked

    chosen = {"user": user, "item": item, "rating": rating, "time": time}
    columns = {role: column for role, column in chosen.items() if column is not None}
    wish = ImportOptions(
        path=file, name=name, asked=Asked(separator, header, member, columns),
        scale=None if scale is None else parse_scale(scale), duplicates=duplicates.value, skip_bad=skip_bad,
        titles=titles, force=force,
    )  # fmt: skip
    with console.DownloadProgress() as watcher:
        dataset = import_file(wish, watcher)
    table = dataset.ratings
    console.say(
        f"{name}: {table.n_users:,} users, {table.n_items:,} items, {len(table):,} ratings ({table.scale})"
        f"{'' if table.times is None else ', with times'}; now the current data set"
    )
    console.say(f"next: cfbench run bias --dataset {name}")
