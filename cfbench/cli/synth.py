"""`cfbench synth`: synthetic ratings in the file format of a real data set."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cfbench import advice
from cfbench.cli import console
from cfbench.cli.progress import FileProgress
from cfbench.errors import UsageError


class SyntheticFormat(StrEnum):
    """The data sets that can be imitated."""

    NETFLIX = "netflix"


def synth(
    name: Annotated[SyntheticFormat, typer.Argument(metavar="netflix", help="The data set to imitate.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="The archive to write.", show_default=False)],
    scale: Annotated[
        float,
        typer.Option(metavar="S", help="The size, as a fraction of the real users and ratings: from 0.0001 to 1."),
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other ratings.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Make up ratings in the format and the shape of a real data set, for a trial before you have the data.

    Example: cfbench synth netflix --scale 0.01 --out synthetic.tar.gz
    """
    from cfbench.data.synth.netflix_archive import write_netflix

    if out.is_dir():
        raise UsageError(f"{out} is a folder; choose another path with --out")
    if out.exists() and not force:
        raise UsageError(f"{out} already exists; choose another path with --out, or replace it with --force")
    with FileProgress() as progress:
        ratings = write_netflix(out, scale=scale, seed=seed, listener=progress)
    console.say(
        f"synthetic {name.value} ratings at scale {scale:g}: {len(ratings.ids):,} users, {len(ratings.years):,} items, "
        f"{len(ratings.users):,} ratings, in {out}"
    )
    console.say(f"next: {advice.command('download', f'{name.value}-twin', '--from-file', out)}")
