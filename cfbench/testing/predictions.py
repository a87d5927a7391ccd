"""Checks of the predictions of a fitted model."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cfbench.contract import Context, DivergedError, Model, Plugin
from cfbench.ratings import Pairs, Scale, blocks
from cfbench.runs.loan import unchanged
from cfbench.runs.plugin_calls import contained, stdout_into
from cfbench.runs.promises import check_scores
from cfbench.testing.planted import fit, member_opener, planted, rmse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _learns(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001 (it writes no file)
    data = planted(seed=7)
    error = rmse(fit(plugin, data).predict(data.test.pairs), data.test)
    mean_error = data.mean_error
    assert error < 0.95 * mean_error, f"test RMSE {error:.4f} is not well below {mean_error:.4f}, that of the mean"


def _any_pair(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=8)
    model = fit(plugin, data)
    users, items = (codes.ravel().astype(np.int32) for codes in np.indices((data.train.n_users, data.train.n_items)))
    cold = data.train.unseen(users, items)
    scores = model.predict(Pairs(users, items))
    check_scores(scores, len(users))
    worst = np.abs(scores[cold] - data.train.ratings.mean()).max()
    width = data.train.scale.high - data.train.scale.low
    assert worst < width, f"the prediction of a pair with an unknown user or item is {worst:.3g} away from the mean"
    check_scores(model.predict(Pairs(users[:0], items[:0])), 0)
    check_scores(model.predict(Pairs(users[:1], items[:1])), 1)


def _order(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=9)
    model = fit(plugin, data)
    shuffled = np.random.default_rng(0).permutation(len(data.test))
    scores = model.predict(data.test.pairs)
    again = model.predict(Pairs(data.test.users[shuffled], data.test.items[shuffled]))
    gap = np.abs(scores[shuffled] - again).max()
    assert gap < 1e-4, f"predictions of the same pairs in another order differ by up to {gap:.3g}"


def _pieces(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=16)
    model = fit(plugin, data)
    users, items = data.test.users, data.test.items
    pieces = np.concatenate([model.predict(Pairs(users[rows], items[rows])) for rows in blocks(len(users), 7)])
    gap = np.abs(model.predict(Pairs(users, items)) - pieces).max()
    # bf16 is as coarse as 0.02
    assert gap < 0.02, f"predictions of the same pairs, seven at a time, differ by up to {gap:.3g}"


def _changes_no_input(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data, config = planted(seed=17), plugin.config(**plugin.quick)
    model: Model = plugin.build(config)
    context = Context(seed=1, member=member_opener(data))
    with contained("fit"), unchanged(data.train, data.valid, context, config):
        model.fit(data.train, data.valid, context)
    users, items = data.test.users.copy(), data.test.items.copy()
    model.predict(Pairs(users, items))
    same = np.array_equal(users, data.test.users) and np.array_equal(items, data.test.items)
    assert same, "predict changed the codes it was given"


def _prints_nothing(plugin: Plugin[Any], folder: Path) -> None:
    data = planted(seed=28)
    with (folder / "output").open("w+", encoding="utf-8") as file:
        with stdout_into(file, file.fileno()):
            model: Model = plugin.build(plugin.config(**plugin.quick))
            model.fit(data.train, data.valid, Context(seed=1, member=member_opener(data)))
            model.predict(data.test.pairs)
        file.seek(0)
        output = file.read()
    assert not output, f"it printed {output.strip().partition(chr(10))[0]!r}; use context.note, or the module `logging`"


def _same_seed(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=10)
    _seed_global_generators(1)
    first = fit(plugin, data).predict(data.test.pairs)
    _seed_global_generators(2)
    second = fit(plugin, data).predict(data.test.pairs)
    gap = np.abs(first - second).max()
    assert first.tobytes() == second.tobytes(), f"two fits with the same seed predict up to {gap:.3g} apart"


def _seed_global_generators(seed: int) -> None:
    """Seed every global generator: a model that draws from one of them then differs between two fits."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (this check is about the global generator)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def _any_seed(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    if plugin.random:
        return "depends on the seed"
    data = planted(seed=12)
    first, second = (fit(plugin, data, Context(seed=seed)).predict(data.test.pairs) for seed in (1, 2))
    gap = np.abs(first - second).max()
    assert first.tobytes() == second.tobytes(), (
        f"PLUGIN.random is False, but predictions with two seeds differ by up to {gap:.3g}; leave random out"
    )
    return ""


def _independent(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=18)
    model = fit(plugin, data)
    before = model.predict(data.test.pairs)
    fit(plugin, planted(seed=19))
    after = model.predict(data.test.pairs)
    gap = np.abs(before - after).max()
    assert before.tobytes() == after.tobytes(), f"after another model was fitted, predictions differ by up to {gap:.3g}"


def _no_validation(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=11)
    model = fit(plugin, replace(data, valid=data.valid.take(np.arange(0))))
    assert np.isfinite(model.predict(data.test.pairs)).all(), "a prediction is not finite"


def _other_scales(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    for scale in (Scale(low=0, high=4, step=1), Scale(low=-10, high=10), Scale(low=0.5, high=5, step=0.5)):
        _learns_on(scale, plugin)


def _hundreds(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    try:
        _learns_on(Scale(low=0, high=1000), plugin)
    except DivergedError as fault:
        return f"diverges there with its quick hyper-parameters, and reports it: {fault}"
    return ""


def _learns_on(scale: Scale, plugin: Plugin[Any]) -> None:
    data = planted(seed=12, scale=scale)
    error = rmse(fit(plugin, data).predict(data.test.pairs), data.test)
    assert error < data.mean_error, (
        f"scale {scale}: test RMSE {error:.4f} is not below {data.mean_error:.4f}, that of the mean"
    )


def _one_rating(plugin: Plugin[Any], folder: Path) -> None:  # noqa: ARG001
    data = planted(seed=13)
    model = fit(plugin, replace(data, train=data.train.take(np.arange(1))))
    assert np.isfinite(model.predict(data.test.pairs)).all(), "a prediction is not finite"


def _times(plugin: Plugin[Any], folder: Path) -> str:  # noqa: ARG001
    if not plugin.uses_times:
        return "does not use times"
    data = planted(seed=26, times=True)
    dated = fit(plugin, data)
    check_scores(dated.predict(data.test.pairs), len(data.test))
    check_scores(dated.predict(Pairs(data.test.users, data.test.items)), len(data.test))
    undated = fit(plugin, planted(seed=26))
    check_scores(undated.predict(Pairs(data.test.users, data.test.items)), len(data.test))
    return ""


CHECKS: dict[str, Callable[[Plugin[Any], Path], str | None]] = {
    "learns planted structure better than the mean": _learns,
    "predicts any pair, also of users and items without training ratings": _any_pair,
    "predicts the same in any order of the pairs": _order,
    "predicts the same for pairs together and in pieces": _pieces,
    "does not change its inputs": _changes_no_input,
    "prints nothing on standard output": _prints_nothing,
    "gives the same bits for the same seed, and uses no other randomness": _same_seed,
    "gives the same bits for any seed, if it declares that nothing is random": _any_seed,
    "is not changed by the fit of another model": _independent,
    "works without validation ratings": _no_validation,
    "works on scales with zero, negatives and halves": _other_scales,
    "works on a scale of hundreds, or reports that it diverged": _hundreds,
    "works with a single training rating": _one_rating,
    "predicts with and without times, if it uses them": _times,
}
