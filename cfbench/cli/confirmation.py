"""The question before something is removed for good."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cfbench.errors import UsageError

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Remove without a question.")]


def confirm_removal(what: str, *, yes: bool) -> None:
    """Ask on the terminal whether to remove `what`, such as "2 runs (3.1 MB)", unless `yes`.

    Exits with status 1 after "no", and 130 after Ctrl-C. Raises `UsageError` where there is nobody to answer.
    """
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError(f"removing {what} needs --yes, because there is no terminal to ask on; nothing was removed")
    from cfbench.report.plain_text import plain

    try:
        agreed = typer.confirm(f"Remove {plain(what)}?", err=True)
    except typer.Abort:  # Ctrl-C or Ctrl-D
        raise typer.Exit(130) from None
    if not agreed:
        raise typer.Exit(1)
