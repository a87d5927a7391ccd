"""`cfbench synth`: made-up data in the format of real ones, for a dry run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.errors import UsageError


class Format(StrEnum):
    """What can be made."""

    NETFLIX = "netflix"


def synth(
    name: Annotated[Format, typer.Argument(metavar="netflix", help="The data set to make a twin of.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="The archive to write.", show_default=False)],
    scale: Annotated[
        float, typer.Option(metavar="S", help="The part of the real one's users and ratings, from 0.0001 to 1.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Names one of the many twins of a scale.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Make up ratings in the exact format and of the shape of a data set's, to try things out before the data are here.

    Example: cfbench synth netflix --scale 0.01 --out twin.tar.gz
    """
    import shlex

    from cfbench.data.synth.netflix_archive import write_netflix

    if out.exists() and (out.is_dir() or not force):
        advice = "choose another name" if out.is_dir() else "choose another name, or replace it with --force"
        raise UsageError(f"{out} is there already; {advice}")
    with console.DownloadProgress() as watcher:
        twin = write_netflix(out, scale=scale, seed=seed, listener=watcher)
    console.say(
        f"a twin of {name.value} at scale {scale:g}: {len(twin.ids):,} users, {len(twin.years):,} items, "
        f"{len(twin.users):,} ratings, in {out}"
    )
    console.say(f"next: cfbench download {name.value}-twin --from-file {shlex.quote(str(out))}")
