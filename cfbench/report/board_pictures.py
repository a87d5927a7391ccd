"""The pictures of the rows of a leaderboard: what each of them draws."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from cfbench.errors import RecordError
from cfbench.report.cost_figure import CostPoint, draw_costs
from cfbench.report.curve_figure import CurveLine, curve_matrix
from cfbench.report.explanations import row_labels
from cfbench.report.forest_figure import ForestRow, draw_forest
from cfbench.report.slice_figure import SlicedModel, SlicePanel
from cfbench.runs.arrays import CURVE, read_curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.intervals import Interval
    from cfbench.leaderboard.ranking import RankedRow
    from cfbench.report.drawing import Picture
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results

SLICE_AXES: dict[SliceBy, str] = {
    "user-activity": "training ratings of the user",
    "item-popularity": "training ratings of the item",
    "rating": "rating that the user gave",
}
"""What the labels of slices are."""


def cost_picture(rows: Sequence[RankedRow], metric: str) -> Picture | None:
    """The score of ranked rows against the seconds of their fit; None without one."""
    points = [
        CostPoint(label, row.row.fit_seconds, row.score, row.on_front, row.interval)
        for label, row in zip(row_labels(rows), rows, strict=True)
        if row.row.fit_seconds is not None and row.score is not None
    ]
    return draw_costs(points, metric)


def forest_picture(rows: Sequence[RankedRow], metric: str) -> Picture | None:
    """The scores of ranked rows with their intervals; None without a row."""
    forest = [
        ForestRow(label, row.score, row.interval, row.tied or row.place == 1)
        for label, row in zip(row_labels(rows), rows, strict=True)
        if row.score is not None
    ]
    return draw_forest(forest, metric)


def row_curves(rows: Sequence[RankedRow], results: Results, most: int) -> list[CurveLine]:
    """The learning curves of the first `most` rows that have any, of the first fold: those of all folds are too many.

    The first `most` rows have the looks that they have in other drawings. The others have the numbers after them.
    """
    lines: list[CurveLine] = []
    grey = most
    for number, (label, row) in enumerate(zip(row_labels(rows), rows, strict=True), 1):
        if len(lines) == most:
            break
        records = [records[0] for records in row.row.seeds.values()]
        line = curve_line(label, min(number, grey + 1), records, results)
        if line is not None:
            grey += number > most
            lines.append(line)
    return lines


def curve_line(label: str, series: int, records: Sequence[Record], results: Results) -> CurveLine | None:
    """The validation RMSE of the runs of a model, one a seed; None where no run has a curve that can be read."""
    pairs = [(record, curve) for record in records if (curve := _read_curve(record, results))]
    if not pairs:
        return None
    diverged = np.array([record.outcome.status == "diverged" for record, _ in pairs], bool)
    return CurveLine(label, series, curve_matrix([curve for _, curve in pairs]), diverged)


def _read_curve(record: Record, results: Results) -> dict[int, float]:
    """The validation RMSE by epoch; empty without one, or where the file is damaged."""
    if CURVE in record.files:
        with suppress(RecordError):
            epochs = read_curve(results.place(record.request))
            return {epoch["epoch"]: epoch["valid_rmse"] for epoch in epochs if epoch["valid_rmse"] is not None}
    return {}


def slice_panel(
    rows: Sequence[RankedRow], by: SliceBy, intervals: Sequence[tuple[Interval, ...]] | None = None
) -> SlicePanel:
    """The errors of rows over slices; `intervals` has those of each row, where they were computed."""
    models = (
        SlicedModel(label, row.slices[by], ends)
        for label, row, ends in zip(row_labels(rows), rows, intervals or [()] * len(rows), strict=True)
        if row.slices.get(by)
    )
    return SlicePanel(SLICE_AXES[by], tuple(models))
