"""`cfbench schema`: the JSON Schema of a file that cfbench writes."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cfbench.cli import console


def schema(
    kind: Annotated[
        Literal["record"], typer.Argument(help="What it describes: `record` is the file record.json of a run.")
    ],
) -> None:
    """Print the JSON Schema of the record of a run, for programs that read records.

    Records of older versions fit it too.

    Example: cfbench schema record
    """
    from cfbench.runs.record_schema import json_schema

    console.print_json({"record": json_schema}[kind]())
