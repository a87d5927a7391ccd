"""Checks of what a model says of users it has not met, if it offers to (`contract.FoldIn`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import FoldIn, Plugin
from cfbench.metrics import rmse
from cfbench.testing.planted import UnknownUsers, are_scores, fit, unknown_users

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OFFERS_NONE = "speaks of no user it has not met: has no fold_in"


def _offered(check: Callable[[FoldIn, UnknownUsers], None], seed: int) -> Callable[[Plugin[Any], Path], str | None]:
    def apply(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001 (nothing is written)
        data = unknown_users(seed=seed)
        model = fit(plugin, data.known)
        if not isinstance(model, FoldIn):
            return _OFFERS_NONE
        check(model, data)
        return ""

    return apply


def _any_item(model: FoldIn, data: UnknownUsers) -> None:
    everything = np.arange(data.known.train.n_items, dtype=np.int32)  # the last one is rated by nobody
    items, ratings, _ = next(iter(data))
    items, ratings = np.append(items, everything[-1]), np.append(ratings, ratings[:1])
    for m in (1, len(items)):
        are_scores(model.fold_in(items[-m:], ratings[-m:], everything), len(everything), "fold_in")
    for n in (0, 1):
        are_scores(model.fold_in(items, ratings, everything[:n]), n, "fold_in")


def _learns(model: FoldIn, data: UnknownUsers) -> None:
    scale, mean = data.known.train.scale, data.known.train.ratings.mean()
    truth = np.concatenate([asked.ratings for _, _, asked in data])
    scores = np.concatenate([model.fold_in(items, ratings, asked.items) for items, ratings, asked in data])
    error, of_mean = rmse(scale.clip(scores), truth), rmse(np.full_like(truth, mean), truth)
    assert error < of_mean, f"RMSE over users folded in {error:.4f} is not below the mean's {of_mean:.4f}"


def _order(model: FoldIn, data: UnknownUsers) -> None:
    items, ratings, asked = next(iter(data))
    scores = model.fold_in(items.copy(), ratings.copy(), asked.items.copy())
    again = model.fold_in(items[::-1].copy(), ratings[::-1].copy(), asked.items[::-1].copy())
    gap = np.abs(scores - again[::-1]).max()
    assert gap < 1e-4, f"the same ratings in another order give predictions up to {gap:.3g} apart"


def _leaves_alone(model: Any, data: UnknownUsers) -> None:
    test = data.known.test
    before = model.predict(test.pairs)
    items, ratings, asked = next(iter(data))
    given = items.copy(), ratings.copy(), asked.items.copy()
    model.fold_in(*given)
    same = all(np.array_equal(was, now) for was, now in zip((items, ratings, asked.items), given, strict=True))
    assert same, "fold_in changed the arrays it was given"
    gap = np.abs(before - model.predict(test.pairs)).max()
    assert gap == 0, f"once a user is folded in, predictions for others move by up to {gap:.3g}"


CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    "folds in any new user, with items nobody has rated too": _offered(_any_item, 23),
    "folds in new users better than the mean": _offered(_learns, 24),
    "folds in the same whatever the order of ratings and items": _offered(_order, 25),
    "folds in a user without a trace": _offered(_leaves_alone, 26),
}
