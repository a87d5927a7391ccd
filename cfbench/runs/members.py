"""Finished runs as members of a run that blends them.

A member predicts the validation and the test pairs of its split from its stored predictions; for other pairs its model
is restored. Only finished runs can be members, so no run can be a member of itself.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cfbench.errors import RecordError
from cfbench.runs.arrays import PREDICTIONS, read_predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cfbench.contract import Predictor
    from cfbench.data.split import Split
    from cfbench.ratings import Pairs, Ratings, Scores
    from cfbench.runs.arrays import Part
    from cfbench.runs.record import Record, Request
    from cfbench.runs.results import Results


class HeldOutParts:
    """The held-out parts of a split; each is cut out when it is first needed."""

    def __init__(self, split: Split, ratings: Ratings) -> None:
        self._split, self.ratings = split, ratings

    @cached_property
    def valid(self) -> Ratings:
        """The validation part, on which a blend is fitted."""
        return self._split.valid(self.ratings)

    @cached_property
    def test(self) -> Ratings:
        """The test part, on which nothing is fitted."""
        return self._split.test(self.ratings)


class Member:
    """A finished run as a predictor. Its predictions are clipped to the scale, as its scores are."""

    def __init__(
        self, record: Record, folder: Path, parts: HeldOutParts, reopen: Callable[[Record, Path], Predictor]
    ) -> None:
        self._record, self._folder, self._parts, self._reopen = record, folder, parts, reopen

    def predict(self, pairs: Pairs) -> Scores:
        """(n,) predictions; raises `RecordError`."""
        part = self._stored_part(pairs)
        if part is not None:
            return read_predictions(self._folder, part)
        return self._parts.ratings.scale.clip(self._model.predict(pairs))

    def _stored_part(self, pairs: Pairs) -> Part | None:
        """Return the part that consists of these pairs if its predictions are stored.

        The validation part is compared first: then a blend's fit never cuts out the test part.
        """
        parts: tuple[Part, ...] = ("valid", "test")
        for part in parts:
            held_out = self._parts.valid if part == "valid" else self._parts.test
            if np.array_equal(pairs.users, held_out.users) and np.array_equal(pairs.items, held_out.items):
                return part if PREDICTIONS[part] in self._record.files else None
        return None

    @cached_property
    def _model(self) -> Predictor:
        return self._reopen(self._record, self._folder)


def choose(request: Request, results: Results, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the full ids of the members named, each once; without names the best run of each other plugin.

    The best run of a plugin has the lowest validation RMSE. A model that predicts one number for all ratings, or that
    knew the dates of the ratings, is a member only if it is named. Raises `RecordError` if the split has no validation
    part, or a run cannot be a member, and `UnknownNameError`.
    """
    if not request.split.report["valid"]:
        raise RecordError(
            f"split {request.split.name} of {request.dataset.name} has no validation part to fit "
            f"{request.plugin.name} on; choose another with --split"
        )
    if names:
        return tuple(dict.fromkeys(find(request, results, name)[0].run for name in names))
    best = _best_runs(request, results)
    if not best:
        raise RecordError(
            f"the results have no finished run with validation predictions on {_describe_split(request)}, "
            "except of models that predict one number for all ratings or knew the dates; run other plugins there first"
        )
    return best


def _best_runs(request: Request, results: Results) -> tuple[str, ...]:
    """Return the best possible member of each other plugin, best first."""
    best: dict[str, tuple[float, str]] = {}
    for record in results.records(request.dataset.name, request.split.name):
        plugin, error = record.request.plugin.name, record.outcome.valid_rmse
        if record.request.plugin.uses_times and not request.plugin.uses_times:
            continue
        if plugin != request.plugin.name and error is not None and _can_be_member(record, request):
            best[plugin] = min(best.get(plugin, (error, record.run)), (error, record.run))
    runs = [results.find(run) for _, run in sorted(best.values())]
    return tuple(record.run for record, folder in runs if not _predicts_one_number(folder))


def know_dates(results: Results, runs: Iterable[str]) -> bool:
    """Return whether any of these runs knew the dates of the ratings that it predicted: so does a blend of them."""
    return any(results.find(run)[0].request.plugin.uses_times for run in runs)


def _predicts_one_number(folder: Path) -> bool:
    """Return whether a run predicts the same for all validation ratings: it adds nothing to a blend with a constant."""
    predictions = read_predictions(folder, "valid")
    return len(predictions) > 1 and bool(np.ptp(predictions) == 0)


def _can_be_member(record: Record, request: Request) -> bool:
    return (
        record.outcome.status == "finished"
        and not record.request.refit
        and record.request.split.fingerprint == request.split.fingerprint
        and PREDICTIONS["valid"] in record.files
    )


def open_member(
    request: Request, results: Results, parts: HeldOutParts, reopen: Callable[[Record, Path], Predictor], name: str
) -> Member:
    """Return the run `name` as a member for the run of `request`; raises `RecordError`, `UnknownNameError`."""
    return Member(*find(request, results, name), parts, reopen)


def find(request: Request, results: Results, name: str) -> tuple[Record, Path]:
    """Return a run, by its id or a part of it, if it can be a member; raises `RecordError`, `UnknownNameError`."""
    record, folder = results.find(name)
    if record.request.split.fingerprint != request.split.fingerprint:
        raise RecordError(
            f"run {record.run} is on {_describe_split(record.request)}, {request.plugin.name} on "
            f"{_describe_split(request)}; a member must be on the same split"
        )
    if record.outcome.status != "finished":
        raise RecordError(f"run {record.run} is {record.outcome.status}; a member must be finished")
    if record.request.refit:
        raise RecordError(
            f"the model of run {record.run} has learned the validation ratings (--refit), and {request.plugin.name} is "
            f"fitted to them; a member must be a run without --refit"
        )
    return record, folder


def _describe_split(request: Request) -> str:
    return f"{request.dataset.name}, split {request.split.name} ({request.split.fingerprint[:12]})"
