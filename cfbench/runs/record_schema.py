"""The JSON Schema of `record.json`, for programs that read records."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cfbench.runs import machine, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema that records of all versions fit: what older ones lack is not required."""
    schema = {"$schema": DIALECT} | record.Record.model_json_schema()
    models = schema["$defs"] | {"Record": schema}
    for module in (record, machine):  # pydantic could do this too, but whenever the module is imported
        for model, field, text in _field_docstrings(module):
            models.get(model, {}).get("properties", {}).get(field, {})["description"] = text
    return schema


def _field_docstrings(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    """Yield class, field and text for each docstring that follows a field."""
    statements = ast.parse(inspect.getsource(module)).body
    for model in (statement for statement in statements if isinstance(statement, ast.ClassDef)):
        for field, after in pairwise(model.body):
            match field, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    yield model.name, name, inspect.cleandoc(text)
