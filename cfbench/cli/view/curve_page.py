"""The learning curve of a run, and those of several runs in one picture, which `cfbench show RUN RUN` shows."""

from __future__ import annotations

from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from cfbench.cli.view import curves, tables
from cfbench.cli.view.tables import Column
from cfbench.errors import UsageError
from cfbench.report import numbers
from cfbench.report.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from cfbench.runs.record import Record

    StoredCurve = tuple[Record, list[dict[str, Any]]]

WIDTH = 100
"""The most columns of a picture."""


def run_curve(record: Record, epochs: Sequence[dict[str, Any]], width: int) -> list[Text]:
    """The learning curve of one run in `width` characters; empty if it has none."""
    return as_texts(curves.draw_run(epochs, record.outcome.best_epoch, width=min(width, WIDTH)))


def curves_page(runs: Sequence[StoredCurve], width: int) -> list[RenderableType]:
    """The validation RMSE of several runs over epochs, and a table that says which letter is which run.

    A run that does not validate shows its training RMSE. Raises `UsageError` if there are more runs than letters.
    """
    if len(runs) > len(ascii_lowercase):
        raise UsageError(f"{len(runs)} runs do not fit in one picture; name at most {len(ascii_lowercase)}")
    drawn = [_curve(letter, *run) for letter, run in zip(ascii_lowercase, runs, strict=False)]
    lines = curves.draw_curves(drawn, width=min(width, WIDTH))
    if lines:
        legend = f"RMSE by epoch; a capital letter marks the best epoch, {curves.SEVERAL} several runs"
        lines.append(f"{'':8}{legend}")
    records = [record for record, _ in runs]
    columns = [
        Column("", [curve.mark if curve.points else "" for curve in drawn]),
        Column("run", [record.run for record in records]),
        Column("curve", [curve.name for curve in drawn]),
        Column("epoch", [numbers.count(record.outcome.best_epoch) for record in records], right=True),
        Column("valid", [numbers.score(record.outcome.valid_rmse) for record in records], right=True),
        Column("RMSE", [numbers.score(record.outcome.rmse) for record in records], right=True),
    ]
    return [*as_texts(lines), tables.rich_table(columns)]


def _curve(letter: str, record: Record, epochs: Sequence[dict[str, Any]]) -> curves.Curve:
    """The validation RMSE of a run or, where there is none, its training RMSE."""
    valid = curves.points_of(epochs, "valid_rmse")
    if valid:
        return curves.Curve("validation", letter, valid, record.outcome.best_epoch, letter.upper())
    training = curves.points_of(epochs, "train_rmse")
    return curves.Curve("training" if training else "none", letter, training)


def as_texts(lines: Sequence[str]) -> list[Text]:
    """Lines of a picture, which are cut where there is no room, and not wrapped."""
    from rich.text import Text

    return [Text(plain(line), no_wrap=True) for line in lines]
