"""MEMBERS: finished runs, lent to a run that is made of them.

A member answers for the validation and the test pairs of its split from what it predicted then, and is restored for any
others. Only finished runs can be named, so no run is made of itself.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cfbench.errors import RecordError
from cfbench.runs import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.contract import Predictor
    from cfbench.data.split import Split
    from cfbench.ratings import Pairs, Ratings, Scores
    from cfbench.runs.record import Record, Request, Results


class HeldOutParts:
    """The held-out parts of a split, cut when first asked for."""

    def __init__(self, split: Split, ratings: Ratings) -> None:
        self._split, self.ratings = split, ratings

    @cached_property
    def valid(self) -> Ratings:
        """What a blend is fitted on."""
        return self._split.valid(self.ratings)

    @cached_property
    def test(self) -> Ratings:
        """What nothing is fitted on."""
        return self._split.test(self.ratings)


class Member:
    """A run as a model. Predictions are those it was scored by: clipped to the scale."""

    def __init__(
        self, done: Record, folder: Path, parts: HeldOutParts, reopen: Callable[[Record, Path], Predictor]
    ) -> None:
        self._done, self._folder, self._parts, self._reopen = done, folder, parts, reopen

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions; raises `RecordError`."""
        part = self._stored(pairs)
        if part is not None:
            return record.read_predictions(self._folder, part)
        return self._parts.ratings.scale.clip(self._model.predict(pairs))

    def _stored(self, pairs: Pairs) -> record.Part | None:
        """The part whose pairs these are, if its predictions are kept; the test part is not touched for another."""
        for part in ("valid", "test"):
            held_out = getattr(self._parts, part)
            if np.array_equal(pairs.users, held_out.users) and np.array_equal(pairs.items, held_out.items):
                return part if record.PREDICTIONS[part] in self._done.files else None
        return None

    @cached_property
    def _model(self) -> Predictor:
        return self._reopen(self._done, self._folder)


def choose(asked: Request, results: Results, names: tuple[str, ...]) -> tuple[str, ...]:
    """Full ids of the runs named, each once; of none, the best by validation RMSE of each other plugin.

    Raises `RecordError` when the split has no validation part, or a run cannot be a member; `UnknownNameError`.
    """
    if not asked.split.report["valid"]:
        raise RecordError(
            f"split {asked.split.name} of {asked.dataset.name} has no validation part to fit {asked.plugin.name} on; "
            "choose another with --split"
        )
    if names:
        return tuple(dict.fromkeys(find(asked, results, name)[0].run for name in names))
    best = _best(asked, results)
    if not best:
        raise RecordError(
            f"no finished run with validation predictions on {_cut(asked)} is among the results; "
            "run other plugins there first"
        )
    return best


def _best(asked: Request, results: Results) -> tuple[str, ...]:
    best: dict[str, tuple[float, str]] = {}
    for done in results.records(asked.dataset.name, asked.split.name):
        plugin, error = done.request.plugin.name, done.outcome.valid_rmse
        kept = record.PREDICTIONS["valid"] in done.files
        if plugin != asked.plugin.name and _fits(asked, done) and kept and error is not None:
            best[plugin] = min(best.get(plugin, (error, done.run)), (error, done.run))
    return tuple(run for _, run in sorted(best.values()))


def lend(
    asked: Request, results: Results, parts: HeldOutParts, reopen: Callable[[Record, Path], Predictor], name: str
) -> Member:
    """The run of that name, for a run `asked` for; raises `RecordError`, `UnknownNameError`."""
    return Member(*find(asked, results, name), parts, reopen)


def find(asked: Request, results: Results, name: str) -> tuple[Record, Path]:
    """A run by its id or a part of it, if it can be a member; raises `RecordError`, `UnknownNameError`."""
    done, folder = results.find(name)
    if done.request.split.fingerprint != asked.split.fingerprint:
        raise RecordError(
            f"run {done.run} is on {_cut(done.request)}, {asked.plugin.name} on {_cut(asked)}; "
            "members are of the same split"
        )
    if done.outcome.status != "finished":
        raise RecordError(f"run {done.run} is {done.outcome.status}; a member has to be finished")
    return done, folder


def _fits(asked: Request, done: Record) -> bool:
    return done.outcome.status == "finished" and done.request.split.fingerprint == asked.split.fingerprint


def _cut(asked: Request) -> str:
    return f"{asked.dataset.name}, split {asked.split.name} ({asked.split.fingerprint[:12]})"
