"""`cfbench import`: a file of ratings becomes a data set."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.options import HeaderOption, SeparatorOption
from cfbench.cli.progress import FileProgress


class Repeats(StrEnum):
    """What an import does with a pair that has several ratings."""

    ERROR = "error"
    LAST = "last"
    MEAN = "mean"


_COLUMN = "its name, or its number from 0"


def import_(  # noqa: PLR0913, PLR0917 (every option is a parameter)
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV, TSV or other text (also .gz, .zst, .zip), Parquet or Arrow."),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="The name of the new data set.", show_default=False)],
    user: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The column of users: {_COLUMN}.")] = None,
    item: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The column of items: {_COLUMN}.")] = None,
    rating: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The column of ratings: {_COLUMN}.")] = None,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help=f"The column of times: {_COLUMN}.")] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The file of the test part, where FILE is the training part: the split `own`."
        ),
    ] = None,
    valid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file of the validation part; it needs --test.")
    ] = None,
    part_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column that says the part of each rating: train, valid or test."),
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="The file is a matrix: each row is a user, each column an item.")
    ] = False,
    missing: Annotated[
        str, typer.Option(metavar="VALUE", help="With --wide: the value of a cell without a rating, beside empty ones.")
    ] = "",
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="With --wide: a column that is no item, such as a count; may be repeated."),
    ] = None,
    format: Annotated[  # noqa: A002 (the option's name)
        Literal["deeprecommender"] | None,
        typer.Option(
            "--format",
            help="FILE is a folder of NVIDIA's DeepRecommender, with folders of training, validation and test files.",
            show_default=False,
        ),
    ] = None,
    separator: SeparatorOption = "",
    header: HeaderOption = None,
    member: Annotated[str, typer.Option(metavar="NAME", help="The file to read in a zip of several files.")] = "",
    scale: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH:STEP", help="The rating scale. Default: the scale of the ratings in the file."),
    ] = None,
    duplicates: Annotated[
        Repeats,
        typer.Option(help="If a pair has several ratings: stop with an error, keep the last one, or take the mean."),
    ] = Repeats.ERROR,
    titles: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file of item titles, with the columns item and title.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip the rows that are not ratings, and print how many there are.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier import of the same name.")] = False,
) -> None:
    """Make a data set from your own ratings, and make it the current one.

    docs/data.md describes the files. Where --test or --part-column gives the parts, they become the split `own`, the
    default one of the new data set.

    Examples: cfbench import ratings.csv --name my-ratings --user customer --rating stars;
    cfbench import train.csv --test test.csv --valid valid.csv --name paper;
    cfbench import jester.csv --name jokes --wide --missing 99 --ignore 0;
    cfbench import Netflix/N3M --format deeprecommender --name n3m
    """
    from dataclasses import replace

    from cfbench.data import deeprecommender
    from cfbench.data.importing import ImportOptions, import_file
    from cfbench.data.readers.table import LayoutOptions
    from cfbench.data.readers.wide import MatrixOptions
    from cfbench.data.scales import parse_scale
    from cfbench.data.split_definitions import OWN_SPLIT

    if not wide and (missing or ignore):
        raise typer.BadParameter("--missing and --ignore describe a matrix; add --wide, or leave them out")
    options = {"user": user, "item": item, "rating": rating, "time": time, "part": part_column}
    columns = {role: column for role, column in options.items() if column is not None}
    layout = LayoutOptions(separator, header, member, columns)
    if format == "deeprecommender":
        if replace(layout, columns={}) != LayoutOptions() or columns.keys() - {"part"}:
            raise typer.BadParameter(
                "--format deeprecommender says what the files look like; leave out --separator, --header, --member and "
                "the names of columns"
            )
        layout = replace(deeprecommender.LAYOUT, columns=columns)
    request = ImportOptions(
        path=file, name=name, layout=layout,
        scale=None if scale is None else parse_scale(scale), duplicates=duplicates.value, skip_bad=skip_bad,
        titles=titles, force=force, test=test, valid=valid,
        matrix=MatrixOptions(missing, tuple(ignore or ())) if wide else None,
        deeprecommender=format == "deeprecommender",
    )  # fmt: skip
    with FileProgress() as progress:
        dataset = import_file(request, progress)
    table = dataset.ratings
    times = "" if table.times is None else ", with times"
    console.say(
        f"{name}: {table.n_users:,} users, {table.n_items:,} items, {len(table):,} ratings ({table.scale}){times}; "
        "this is now the current data set"
    )
    if OWN_SPLIT in dataset.card.splits:
        split = dataset.split(OWN_SPLIT)
        report = split.report
        console.say(
            f"split {OWN_SPLIT}: {report['train']:,} train, {report['valid']:,} validation, {report['test']:,} test "
            f"ratings ({report['cold_ratings']:,} cold), fingerprint {split.fingerprint[:12]}"
        )
    console.say(f"next: {advice.command('run', 'bias', dataset=name)}")
