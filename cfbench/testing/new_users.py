"""Checks of predictions for users who were not in training, for a model with `fold_in` (`contract.FoldIn`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import FoldIn, Plugin
from cfbench.metrics import rmse
from cfbench.runs.promises import check_scores
from cfbench.testing.planted import UnknownUsers, fit, unknown_users

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NO_FOLD_IN = "has no fold_in"


def _if_it_folds_in(
    check: Callable[[FoldIn, UnknownUsers], None], seed: int
) -> Callable[[Plugin[Any], Path], str | None]:
    def apply(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001 (it writes no file)
        data = unknown_users(seed=seed)
        model = fit(plugin, data.known)
        if not isinstance(model, FoldIn):
            return _NO_FOLD_IN
        check(model, data)
        return ""

    return apply


def _any_item(model: FoldIn, data: UnknownUsers) -> None:
    everything = np.arange(data.known.train.n_items, dtype=np.int32)  # nobody rated the last one
    items, ratings, _ = next(iter(data))
    items, ratings = np.append(items, everything[-1]), np.append(ratings, ratings[:1])
    for m in (1, len(items)):
        check_scores(model.fold_in(items[-m:], ratings[-m:], everything), len(everything), "fold_in")
    for n in (0, 1):
        check_scores(model.fold_in(items, ratings, everything[:n]), n, "fold_in")


def _learns(model: FoldIn, data: UnknownUsers) -> None:
    scale, mean = data.known.train.scale, data.known.train.ratings.mean()
    truth = np.concatenate([others.ratings for _, _, others in data])
    scores = np.concatenate([model.fold_in(items, ratings, others.items) for items, ratings, others in data])
    error, mean_error = rmse(scale.clip(scores), truth), rmse(np.full_like(truth, mean), truth)
    assert error < mean_error, f"RMSE for folded-in users {error:.4f} is not below {mean_error:.4f}, that of the mean"


def _order(model: FoldIn, data: UnknownUsers) -> None:
    items, ratings, others = next(iter(data))
    scores = model.fold_in(items.copy(), ratings.copy(), others.items.copy())
    again = model.fold_in(items[::-1].copy(), ratings[::-1].copy(), others.items[::-1].copy())
    gap = np.abs(scores - again[::-1]).max()
    assert gap < 1e-4, f"predictions from the same ratings in another order differ by up to {gap:.3g}"


def _changes_nothing(model: Any, data: UnknownUsers) -> None:
    test = data.known.test
    before = model.predict(test.pairs)
    items, ratings, others = next(iter(data))
    arguments = items.copy(), ratings.copy(), others.items.copy()
    model.fold_in(*arguments)
    same = all(map(np.array_equal, (items, ratings, others.items), arguments))
    assert same, "fold_in changed the arrays it was given"
    gap = np.abs(before - model.predict(test.pairs)).max()
    assert gap == 0, f"after a user was folded in, predictions for other users differ by up to {gap:.3g}"


CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    "folds in any new user, also with items that nobody rated": _if_it_folds_in(_any_item, 23),
    "folds in new users better than the mean": _if_it_folds_in(_learns, 24),
    "folds in the same in any order of ratings and items": _if_it_folds_in(_order, 25),
    "is not changed by folding in a user": _if_it_folds_in(_changes_nothing, 26),
}
