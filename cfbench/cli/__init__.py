"""The command line: one module a command, bearing the command's name; `options` are shared, `view` is what people see.

Typer and Rich are imported here and nowhere else. Heavy imports live inside the commands.
"""

from cfbench.cli.app import main

__all__ = ["main"]
