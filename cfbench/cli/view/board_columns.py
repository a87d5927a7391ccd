"""What a row of the leaderboard says, column by column, and which columns give way first on a narrow terminal."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from cfbench.cli.view import numbers
from cfbench.cli.view.tables import Column

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.leaderboard.board import Row
    from cfbench.leaderboard.ranking import RankedRow

HEADINGS = {"rmse": "RMSE", "mae": "MAE", "user-rmse": "user RMSE"}


def columns(ranks: list[RankedRow], metric: str, *, all_runs: bool, pareto: bool = False) -> list[Column]:
    """All there are; those that say nothing among them."""

    def column(heading: str, cell: Callable[[RankedRow], str], rank: int, *, right: bool = True) -> Column:
        return Column(heading, [cell(standing) for standing in ranks], rank, right)

    differing = _differing([s.row for s in ranks]) if all_runs else {}
    other = {name: heading for name, heading in HEADINGS.items() if name != metric}
    values = {
        "rmse": lambda s: numbers.score(s.row.rmse), "mae": lambda s: numbers.score(s.row.mean(lambda o: o.mae)),
        "user-rmse": lambda s: numbers.score(s.user_rmse),
    }  # fmt: skip
    return [
        column("", lambda s: numbers.count(s.place) if s.place else "", 0, right=False),
        *([column("front", lambda s: "●" if s.on_front else "", 1, right=False)] if pareto else []),
        column("plugin", lambda s: s.row.plugin, 0, right=False),
        column(HEADINGS[metric], lambda s: numbers.score(s.score), 0),
        column("95 %", lambda s: numbers.interval(s.interval), 2),
        column("to best", _gap, 3),
        column("p", lambda s: numbers.p_value(s.p) if s.place != 1 else "", 15),
        column("± seeds", lambda s: f"{s.row.sd:.4f} ({len(s.row.seeds)})" if s.row.sd is not None else "", 4),
        *(column(heading, values[name], 6 if name != "user-rmse" else 11) for name, heading in other.items()),
        column("new users", lambda s: numbers.score(s.new_users), 9),
        column("new items", lambda s: numbers.score(s.new_items), 9),
        column("coverage", lambda s: numbers.share(s.row.coverage), 17),
        column("valid", lambda s: numbers.score(s.row.valid_rmse), 16),
        column("fit", lambda s: numbers.duration(s.row.mean(lambda o: o.fit_seconds)), 5),
        column("predict", lambda s: numbers.duration(s.row.mean(lambda o: o.predict_seconds)), 13),
        column("memory", lambda s: numbers.megabytes(s.row.most("peak_memory")), 12),
        column("parameters", lambda s: numbers.count(s.row.most("parameters")), 8),
        column("config", lambda s: s.row.source, 7, right=False),
        column("settings", lambda s: differing.get(id(s.row), ""), 3, right=False),
        column("device", lambda s: s.row.devices, 10, right=False),
        column("seed", lambda s: ",".join(map(str, sorted(s.row.seeds))), 14, right=False),
        column("run", lambda s: s.row.last.run.rpartition("-")[2], 6, right=False),
        column("note", lambda s: s.row.note, 1, right=False),
    ]


def _gap(standing: RankedRow) -> str:
    if standing.place == 1 or standing.to_best is None:
        return ""
    return f"{'≈ ' if standing.tied else ''}{numbers.signed(standing.to_best.difference)}"


def _differing(rows: list[Row]) -> dict[int, str]:
    """What tells the configs of one plugin apart, by the row's identity."""
    of_plugin = defaultdict(list)
    for row in rows:
        of_plugin[row.plugin].append(row)
    told = {}
    for same in of_plugin.values():
        configs = [row.last.request.config for row in same]
        every = dict.fromkeys(name for config in configs for name in config)  # an older record may lack some
        names = [name for name in every if len({str(config.get(name)) for config in configs}) > 1]
        for row, config in zip(same, configs, strict=True):
            told[id(row)] = " ".join(f"{name}={numbers.hyper(config.get(name))}" for name in names)
    return told
