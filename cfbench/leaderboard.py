"""LEADERBOARD: the runs of a data set and split, best first, and what was published under the same protocol, apart.

Runs are ranked together only when they share the split's fingerprint: the same ratings, cut the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfbench.card import Card, Published
    from cfbench.record import Record, Results


@dataclass(frozen=True)
class Leaderboard:
    """Ranked runs of one split."""

    dataset: str
    split: str
    protocol: str
    fingerprint: str
    rows: list[Record]
    """Scored runs, smallest RMSE first; then those without a score."""
    published: list[Published]
    others: int
    """Runs under the same names but of another fingerprint: left out."""

    def as_json(self) -> dict[str, Any]:
        """The board as plain data, for scripts."""
        return {
            "dataset": self.dataset, "split": self.split, "protocol": self.protocol, "fingerprint": self.fingerprint,
            "runs": [_row(record) for record in self.rows],
            "published": [score.model_dump(mode="json") for score in self.published],
            "left_out": self.others,
        }  # fmt: skip


def _row(record: Record) -> dict[str, Any]:
    asked = record.request
    facts = {
        "run": record.run, "plugin": asked.plugin.name, "preset": asked.preset, "seed": asked.seed,
        "device": asked.device, "config": asked.config,
    }  # fmt: skip
    return facts | record.outcome.model_dump(mode="json")


def build(card: Card, split: str, fingerprint: str, results: Results) -> Leaderboard:
    """The leaderboard of a split; raises `RecordError` when a run cannot be read, `UnknownNameError` for the split."""
    records = results.records(card.name, split)
    mine = [record for record in records if record.request.split.fingerprint == fingerprint]
    mine.sort(key=lambda r: (not r.scored, r.outcome.rmse or 0.0, r.run))
    protocol = card.split(split).protocol
    return Leaderboard(
        card.name, split, protocol, fingerprint, mine, published(card, protocol), others=len(records) - len(mine)
    )


def published(card: Card, protocol: str) -> list[Published]:
    """Scores published under a protocol ("random 90/10" also finds "random 90/10, mean of 5"), best first."""
    same = [s for s in card.published if protocol and (s.protocol == protocol or s.protocol.startswith(f"{protocol},"))]
    return sorted(same, key=lambda score: score.rmse)
