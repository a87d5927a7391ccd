"""Leaderboards as frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cfbench.api.datasets import LOGGER, Data, split_name
from cfbench.api.places import open_results
from cfbench.data import card as cards
from cfbench.errors import UsageError
from cfbench.leaderboard.columns import CSV_KEYS, csv_rows
from cfbench.leaderboard.ranking import load_ranked_board

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import polars as pl

    from cfbench.api.datasets import DataSplit
    from cfbench.leaderboard import Clusters, Metric, SliceBy


def compare(  # noqa: PLR0913 (each has a name)
    data: Data | str,
    *,
    split: str | DataSplit | None = None,
    metric: Metric = "rmse",
    clusters: Clusters = "user",
    by: SliceBy | None = None,
    plugins: Collection[str] = (),
    all_runs: bool = False,
    ranking: bool = False,
    k: int = 10,
    liked: float | None = None,
    results: str | Path | None = None,
) -> pl.DataFrame:
    """Return the leaderboard of a data set and split, best row first, as `cfbench compare --format csv` writes it.

    The columns `seeds` and `runs` are lists, and `config` is JSON. `split="5fold"` means all folds. With `by` the rows
    are slices of the test ratings. `ranking` adds nDCG@k, recall@k and MRR of the items that each user likes: those
    rated at least `liked`. A data set that is not downloaded is ranked by the scores in the records.

    Raises `UnknownNameError`, `UsageError`. A `SkippedRunsWarning` names runs that cannot be read.

    >>> cfbench.compare("ml-100k", all_runs=True).select("place", "plugin", "rmse", "interval_low", "interval_high")
    """
    if ranking and by:
        raise UsageError("ranking adds columns, and by returns slices instead; leave out one of them")
    card, stored_runs = data.card if isinstance(data, Data) else cards.load(data), open_results(results)
    ranked_board = load_ranked_board(
        card.name, split_name(split, card), stored_runs, metric=metric, clusters=clusters, by=(by,) if by else (),
        plugins=plugins, all_runs=all_runs,
    )  # fmt: skip
    if ranking:
        from cfbench.leaderboard.stored_rankings import add_item_rankings

        ranked_board = add_item_rankings(ranked_board, stored_runs, k, liked, LOGGER.info)
    return _to_frame(csv_rows(ranked_board.rows, by))


def _to_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    import polars as pl

    if not rows:
        return pl.DataFrame(schema=dict.fromkeys(CSV_KEYS, pl.Null))
    rows = [{key: json.dumps(v) if isinstance(v, dict) else v for key, v in row.items()} for row in rows]
    return pl.DataFrame(rows, infer_schema_length=None)
