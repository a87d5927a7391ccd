"""The command line: one module for each command, named like the command.

`options` holds what commands share, `console` prints, `view` draws tables and pages. Only this package imports Typer
and Rich. Other heavy imports are inside the functions that need them.
"""

from cfbench.cli.app import main

__all__ = ["main"]
