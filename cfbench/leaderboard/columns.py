"""The columns of a leaderboard, each declared once: in tables, and as data for scripts.

To add a column, add a `BoardColumn` to `COLUMNS`. With a heading it is shown in tables; with a key it is part of CSV
and JSON. The command line formats the values: the kind of a column says how.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cfbench.leaderboard import Metric, SliceBy
    from cfbench.leaderboard.item_ranking import ItemRankings
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow

Kind: TypeAlias = Literal[
    "place", "places", "text", "mark", "score", "interval", "gap", "p-value", "deviation", "share", "duration",
    "memory", "count", "energy",
]  # fmt: skip
"""How a value is written in a table. A text is written as it is, whatever the kind; None means unknown.

`mark`: bool. `score`, `p-value`, `share`: float. `interval`: (low, high). `gap`: (difference, tied). `deviation`:
(standard deviation, number of seeds). `duration`: seconds. `memory`: bytes. `energy`: Wh. `place`, `count`: int.
`places`: (first, last).
"""


@dataclass(frozen=True)
class BoardColumn:
    """One column: its value for a row, and how it is shown."""

    value: Callable[[RankedRow], Any]
    key: str | None = None
    """The name in CSV and JSON; None when it is not part of them. The value is then plain data."""
    heading: str | None = None
    """The heading in tables; None when it is not part of them."""
    kind: Kind = "text"
    priority: int = 0
    """When a table is too wide, columns are dropped in descending order of priority: 0 is dropped last."""

    keep: bool = False
    """Whether a table that includes it shows it even if no row has a value."""

    @property
    def right(self) -> bool:
        """Whether the cells are aligned to the right, as numbers are."""
        return self.kind not in {"place", "text", "mark"}


def _gap(row: RankedRow) -> tuple[float, bool] | str:
    """The difference from the best row, and whether the two are tied; empty for the best row itself."""
    return "" if row.place == 1 or row.to_best is None else (row.to_best.difference, row.tied)


def _deviation(row: RankedRow) -> tuple[float, int] | str:
    """The standard deviation over seeds, and how many seeds there are; empty for one seed."""
    return "" if row.row.sd is None else (row.row.sd, len(row.row.seeds))


COLUMNS: tuple[BoardColumn, ...] = (
    BoardColumn(lambda r: r.place, key="place", heading="", kind="place"),
    BoardColumn(lambda r: r.on_front, key="pareto", heading="front", kind="mark", priority=1),
    BoardColumn(lambda r: r.row.plugin, key="plugin", heading="plugin"),
    BoardColumn(lambda r: r.score, key="score", heading="score", kind="score"),
    BoardColumn(lambda r: r.interval, heading="95 %", kind="interval", priority=2),
    BoardColumn(lambda r: r.interval and r.interval.low, key="interval_low"),
    BoardColumn(lambda r: r.interval and r.interval.high, key="interval_high"),
    BoardColumn(lambda r: r.places, heading="places", kind="places", priority=5),
    BoardColumn(lambda r: r.places and r.places.first, key="place_first"),
    BoardColumn(lambda r: r.places and r.places.last, key="place_last"),
    BoardColumn(_gap, heading="to best", kind="gap", priority=3),
    BoardColumn(lambda r: r.to_best and r.to_best.difference, key="difference"),
    BoardColumn(lambda r: r.to_best and r.to_best.low, key="difference_low"),
    BoardColumn(lambda r: r.to_best and r.to_best.high, key="difference_high"),
    BoardColumn(lambda r: r.tied, key="tied"),
    BoardColumn(lambda r: "" if r.place == 1 else r.p, heading="p", kind="p-value", priority=15),
    BoardColumn(lambda r: r.p, key="p_value"),
    BoardColumn(_deviation, heading="± seeds", kind="deviation", priority=5),
    BoardColumn(lambda r: r.row.sd, key="sd"),
    BoardColumn(lambda r: r.row.rmse, key="rmse", heading="RMSE", kind="score", priority=6),
    BoardColumn(lambda r: r.row.mae, key="mae", heading="MAE", kind="score", priority=6),
    BoardColumn(lambda r: r.user_rmse, key="user_rmse", heading="user RMSE", kind="score", priority=11),
    BoardColumn(lambda r: r.new_users, key="new_user_rmse", heading="new users", kind="score", priority=9),
    BoardColumn(lambda r: r.new_items, key="new_item_rmse", heading="new items", kind="score", priority=9),
    BoardColumn(lambda r: r.row.coverage, key="coverage", heading="coverage", kind="share", priority=17),
    BoardColumn(lambda r: r.row.valid_rmse, key="valid_rmse", heading="valid", kind="score", priority=16),
    BoardColumn(lambda r: r.items and r.items.ndcg, key="ndcg", heading="nDCG@k", kind="score", priority=1, keep=True),
    BoardColumn(
        lambda r: r.items and r.items.recall, key="recall", heading="recall@k", kind="score", priority=1, keep=True
    ),
    BoardColumn(lambda r: r.items and r.items.mrr, key="mrr", heading="MRR", kind="score", priority=1, keep=True),
    BoardColumn(lambda r: r.row.fit_seconds, key="fit_seconds", heading="fit", kind="duration", priority=4),
    BoardColumn(lambda r: r.row.energy_wh, key="energy_wh", heading="energy", kind="energy", priority=8),
    BoardColumn(
        lambda r: r.row.predict_seconds, key="predict_seconds", heading="predict", kind="duration", priority=13
    ),
    BoardColumn(
        lambda r: r.row.maximum("peak_memory"), key="peak_memory", heading="memory", kind="memory", priority=12
    ),
    BoardColumn(lambda r: r.row.maximum("peak_device_memory"), key="peak_device_memory"),
    BoardColumn(
        lambda r: r.row.maximum("parameters"), key="parameters", heading="parameters", kind="count", priority=8
    ),
    BoardColumn(lambda r: r.row.members, key="members"),
    BoardColumn(lambda r: r.row.source, key="config_source", heading="config", priority=7),
    BoardColumn(lambda r: r.row.config, key="config"),
    BoardColumn(lambda r: r.row.newest.request.preset, key="preset"),
    BoardColumn(lambda r: r.row.settings, heading="settings", priority=3),
    BoardColumn(lambda r: r.row.devices, key="device", heading="device", priority=10),
    BoardColumn(lambda r: ",".join(map(str, sorted(r.row.seeds))), heading="seed", priority=14),
    BoardColumn(lambda r: sorted(r.row.seeds), key="seeds"),
    BoardColumn(lambda r: r.row.newest.run.rpartition("-")[2], heading="run", priority=1),
    BoardColumn(lambda r: [record.run for record in r.row.shown_records], key="runs"),
    BoardColumn(lambda r: r.row.one_seed, key="one_seed"),
    BoardColumn(lambda r: r.row.uses_times, key="uses_times"),
    BoardColumn(lambda r: r.row.refit, key="refit"),
    BoardColumn(lambda r: r.row.is_imported, key="imported"),
    BoardColumn(lambda r: r.row.met_test, key="preset_met_test"),
    BoardColumn(lambda r: r.row.test_share_met, key="test_share_met"),
    BoardColumn(lambda r: r.row.note, key="note", heading="note", priority=6),
)
"""All columns, in the order of the tables."""

# Scripts may read CSV files by position. These columns therefore come first, in this order; all others follow.
_FIRST_KEYS = (
    "place", "plugin", "config_source", "score", "interval_low", "interval_high", "seeds", "sd", "difference",
    "difference_low", "difference_high", "p_value", "tied", "rmse", "mae", "user_rmse", "new_user_rmse",
    "new_item_rmse", "coverage", "valid_rmse", "fit_seconds", "predict_seconds", "peak_memory", "peak_device_memory",
    "parameters", "device", "pareto", "note", "preset", "config", "runs",
)  # fmt: skip


def table_columns(metric: Metric, *, pareto: bool = False, k: int | None = None) -> list[BoardColumn]:
    """The columns of a table that is ranked by `metric`, in order; `pareto` includes the mark of the Pareto front.

    `k` includes the item rankings; it is the number of places in nDCG@k and recall@k. The column of the metric moves to
    the place of the score, which has the same values.
    """
    metric_key = metric.replace("-", "_")
    left_out = {metric_key, *(() if pareto else ("pareto",)), *(() if k else ("ndcg", "recall", "mrr"))}
    headings = {column.key: column.heading for column in COLUMNS}
    columns = []
    for column in COLUMNS:
        if column.key == "score":
            columns.append(replace(column, heading=headings[metric_key]))
        elif column.heading is not None and column.key not in left_out:
            columns.append(replace(column, heading=column.heading.replace("@k", f"@{k}")))
    return columns


CSV_KEYS = tuple(dict.fromkeys([*_FIRST_KEYS, *(column.key for column in COLUMNS if column.key is not None)]))
"""The columns of CSV, in order."""


def row_data(row: RankedRow) -> dict[str, Any]:
    """A row as plain data for scripts: one value for each column that has a key."""
    values = {column.key: column.value(row) for column in COLUMNS if column.key is not None}
    return {key: values[key] for key in CSV_KEYS}


def csv_rows(rows: Sequence[RankedRow], by: SliceBy | None) -> list[dict[str, Any]]:
    """The lines of a leaderboard as CSV: one for each row or, with `by`, for each slice of each row."""
    if by is None:
        return [row_data(row) for row in rows]
    parts = [(row, part) for row in rows for part in row.slices.get(by, ())]
    return [{"place": row.place, "plugin": row.row.plugin} | part._asdict() for row, part in parts]


def board_data(ranked_board: RankedBoard) -> dict[str, Any]:
    """A whole leaderboard as plain data for scripts, with the first slices of each row where it has them."""
    board, rows = ranked_board.board, []
    for row in ranked_board.rows:
        slices = [{"slices": [part._asdict() for part in parts]} for parts in row.slices.values()]
        rows.append(row_data(row) | (slices[0] if slices else {}))
    return {
        "dataset": board.dataset, "split": board.split, "protocol": board.protocol, "metric": ranked_board.metric,
        "clusters": ranked_board.clusters,
        "fingerprints": board.fingerprints, "rows": rows, "left_out": board.left_out, "hidden": board.hidden,
        "published": [score.model_dump(mode="json") for score in board.published],
    } | _ranking_data(ranked_board.items)  # fmt: skip


def _ranking_data(items: ItemRankings | None) -> dict[str, Any]:
    """What the item rankings measure, where they were computed."""
    if items is None:
        return {}
    without_model = [record.run for record in items.without_model]
    facts = {"k": items.task.k, "liked": items.task.liked, "users": items.users, "left_out": items.left_out}
    return {"item_ranking": facts | {"without_model": without_model, "faults": items.faults}}
