"""The blend: planted predictors with known best weights, and stored runs as members."""

from pathlib import Path

import numpy as np
import pytest

from cfbench.contract import Config, Context, DivergedError, Plugin
from cfbench.data import card, store
from cfbench.data.split import Split
from cfbench.errors import RecordError, UnknownNameError, UsageError
from cfbench.metrics import rmse
from cfbench.plugins.ensemble import Ensemble, EnsembleConfig, blend
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import arrays, members, record, run
from cfbench.runs.results import Results

N = 50_000
SCALE = Scale(low=-100, high=100)


class Noisy:
    """Predictor the truth of every pair, plus an error of its own."""

    def __init__(self, truth, error):
        self.scores = (truth + error).astype(np.float32)

    def predict(self, pairs):
        return self.scores[pairs.users]


@pytest.fixture
def noisy():
    """Ratings with unit noise about a truth, N validation and N test pairs; predictors with errors of variance 1, 4."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2 * N) * 3
    codes = np.arange(2 * N, dtype=np.int32)
    table = Ratings(codes, np.zeros_like(codes), truth + rng.normal(size=2 * N), 2 * N, 1, SCALE)
    lent = {"good": Noisy(truth, rng.normal(size=2 * N)), "bad": Noisy(truth, 2 * rng.normal(size=2 * N))}
    return table.take(np.arange(N)), table.take(np.arange(N, 2 * N)), lent


def blended(valid, lent, **config):
    model = Ensemble(EnsembleConfig(members=tuple(lent), **config))
    model.fit(valid, valid, Context(member=lent.__getitem__))
    return model


def best_weights(signal, errors):
    """Of predictors t + e_m with independent errors, from the covariances: (v 11ᵀ + diag σ²)⁻¹ v 1."""
    return np.linalg.solve(signal + np.diag(errors), np.full(len(errors), signal))


def test_the_weights_of_two_noisy_predictors_are_the_best_there_are(noisy):
    valid, _, lent = noisy
    expected = best_weights(9.0, [1.0, 4.0])
    assert expected == pytest.approx([36 / 49, 9 / 49])
    state = blended(valid, lent, ridge=1e-6).state()
    assert state["weights"] == pytest.approx(expected, abs=0.01)
    assert state["constant"] == pytest.approx(0, abs=0.02)


def test_the_blend_is_better_than_its_best_member(noisy):
    valid, test, lent = noisy
    error = rmse(blended(valid, lent).predict(test.pairs), test.ratings)
    alone = [rmse(member.predict(test.pairs), test.ratings) for member in lent.values()]
    assert error == pytest.approx(np.sqrt(1 + 9 - 9 * (36 + 9) / 49), abs=0.02)
    assert error < 0.97 * min(alone)


def test_a_member_off_by_a_constant_and_a_factor_is_set_right(noisy):
    valid, test, lent = noisy
    crooked = {name: Noisy(2 * member.scores + 7, 0) for name, member in lent.items()}
    straight, bent = (blended(valid, them).predict(test.pairs) for them in (lent, crooked))
    assert bent == pytest.approx(straight, abs=0.01)
    without = blended(valid, crooked, intercept=False)
    assert without.state()["constant"] == 0
    assert without.parameters == 2


def test_a_great_ridge_gives_the_mean_of_the_members(noisy):
    valid, _, lent = noisy
    model = blended(valid, lent, ridge=1e9)
    assert model.state()["weights"] == pytest.approx([0.5, 0.5], abs=1e-6)


def test_the_validation_error_is_of_ratings_the_weights_were_not_fitted_to():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=120) * 3
    codes = np.arange(120, dtype=np.int32)
    lent = {f"m{k}": Noisy(truth, 3 * rng.normal(size=120)) for k in range(40)}
    valid = Ratings(codes, np.zeros_like(codes), truth + rng.normal(size=120), 120, 1, SCALE).take(np.arange(60))
    weak, strong = (blended(valid, lent, ridge=ridge) for ridge in (1e-9, 1.0))
    own = [rmse(model.predict(valid.pairs), valid.ratings) for model in (weak, strong)]
    assert own[0] < own[1]
    assert weak.valid_rmse > strong.valid_rmse  # 40 weights of 60 ratings
    assert weak.valid_rmse > 1.5 * own[0]


@pytest.mark.parametrize("intercept", [True, False])
def test_the_ridge_is_a_share_of_the_members_mean_variance(intercept):
    rng = np.random.default_rng(5)
    scores, ratings = rng.normal(3.5, 1, (50, 2)), rng.normal(3.5, 1, 50)
    weights, constant = blend(scores, ratings, EnsembleConfig(ridge=0.3, intercept=intercept))
    v = np.square(scores - scores.mean(0)).sum(0).mean()

    def objective(w, c):
        return np.square(ratings - c - scores @ w).sum() + 0.3 * v * np.square(w - 0.5).sum()

    least = objective(weights, constant)
    for step in (*np.eye(2), *-np.eye(2)):
        assert objective(weights + 1e-4 * step, constant) > least
    assert not intercept or objective(weights, constant + 1e-4) > least < objective(weights, constant - 1e-4)


def test_without_validation_ratings_the_blend_is_the_mean_of_the_members(noisy):
    valid, test, lent = noisy
    mean = np.mean([member.predict(test.pairs) for member in lent.values()], 0)
    assert blended(valid.take(np.arange(0)), lent).predict(test.pairs) == pytest.approx(mean, abs=1e-5)


def test_the_ridge_keeps_twins_apart_and_gives_them_the_same_weight(noisy):
    valid, _, lent = noisy
    good, twin, bad = blended(valid, {"good": lent["good"], "twin": lent["good"], "bad": lent["bad"]}).state()[
        "weights"
    ]
    assert good == pytest.approx(twin)
    assert 2 * good == pytest.approx(36 / 49, abs=0.02)
    assert bad == pytest.approx(9 / 49, abs=0.02)


def test_weights_can_be_kept_from_going_below_zero():
    rng = np.random.default_rng(1)
    truth, error = rng.normal(size=(2, N))
    scores = np.stack([truth + error, error + 0.1 * rng.normal(size=N)], 1)  # the second best serves to be subtracted
    free, bound = (blend(scores, truth, EnsembleConfig(nonnegative=flag))[0] for flag in (False, True))
    assert free == pytest.approx([1, -1], abs=0.05)
    assert bound[1] == 0
    alone = np.cov(truth, scores[:, 0])[0, 1] / scores[:, 0].var()
    assert bound[0] == pytest.approx(alone, abs=0.01)


def test_nonnegative_weights_are_the_free_ones_where_those_are_positive(noisy):
    valid, _, lent = noisy
    free, bound = (blended(valid, lent, nonnegative=flag).state()["weights"] for flag in (False, True))
    assert bound == pytest.approx(free, abs=1e-9)


def test_a_context_without_results_lends_no_member():
    with pytest.raises(UsageError, match="the model needs run 'a' as a member, but there are no results"):
        Context().member("a")


# --- stored runs


@pytest.fixture
def tiny(terminal):
    """The prepared tiny data set."""
    return store.open_dataset(card.load("tiny"))


def start(tiny, name, *, split="random90", seed=0, **flags):
    setup = run.configure(name, dataset="tiny", flags=flags, preset=None)
    return run.start(
        run.new_request(setup, tiny, tiny.split(split), seed), tiny, Results(Path("results")), run.SilentRunListener()
    )


def two_runs(tiny, **where):
    """A loose and a stiff baseline."""
    loose, _ = start(tiny, "bias", user_reg="1", item_reg="1", **where)
    stiff, _ = start(tiny, "bias", user_reg="500", item_reg="500", **where)
    return loose.run, stiff.run


def test_validation_predictions_are_stored_clipped_with_their_checksum_and_error(tiny):
    done, place = start(tiny, "bias")
    valid = tiny.split("random90").valid(tiny.ratings)
    kept = arrays.read_predictions(place, "valid")
    model, _ = run.reopen(done, place, Results(Path("results")), "auto")
    assert kept.tobytes() == tiny.ratings.scale.clip(model.predict(valid.pairs)).tobytes()
    assert "valid_predictions.parquet" in done.files
    assert done.outcome.valid_rmse == rmse(kept, valid.ratings)
    assert done.outcome.best_epoch is None


def test_the_record_holds_the_error_of_weights_that_have_not_met_the_rating(tiny):
    two_runs(tiny)
    done, place = start(tiny, "ensemble")
    valid = tiny.split("random90").valid(tiny.ratings)
    assert done.outcome.valid_rmse > rmse(arrays.read_predictions(place, "valid"), valid.ratings)


def test_members_are_stored_by_their_full_ids_and_the_weights_in_the_record(tiny):
    loose, stiff = two_runs(tiny)
    done, place = start(tiny, "ensemble", members=f"{loose[-4:]},{stiff[-4:]}")
    assert done.request.config["members"] == [loose, stiff]
    assert record.read_record(place / "record.json").request.config["members"] == [loose, stiff]
    weights = arrays.read_state(place)["weights"]
    assert f"{loose} × {weights[0]:.3f} + {stiff} × {weights[1]:.3f}" in done.outcome.message


def test_the_weights_are_those_of_least_squares_over_the_stored_validation_predictions(tiny):
    two = two_runs(tiny)
    _, place = start(tiny, "ensemble", members=",".join(two), ridge="1e-9")
    results = Results(Path("results"))
    scores = np.stack([arrays.read_predictions(results.find(name)[1], "valid") for name in two], 1).astype(float)
    valid = tiny.split("random90").valid(tiny.ratings)
    (constant, *weights), *_ = np.linalg.lstsq(np.column_stack([np.ones(len(scores)), scores]), valid.ratings)
    state = arrays.read_state(place)
    assert state["weights"] == pytest.approx(weights, rel=1e-4)
    assert state["constant"] == pytest.approx(constant, rel=1e-4)


def test_a_stored_ensemble_predicts_the_same_bits_again_from_stored_and_from_restored_members(tiny, monkeypatch):
    done, place = start(tiny, "ensemble", members=",".join(two_runs(tiny)))
    test = tiny.split("random90").test(tiny.ratings)
    again, _ = run.reopen(done, place, Results(Path("results")), "auto")
    stored = again.predict(test.pairs)
    monkeypatch.setattr(members.Member, "_stored_part", lambda *_: None)
    restored = run.reopen(done, place, Results(Path("results")), "auto")[0].predict(test.pairs)
    assert stored.tobytes() == restored.tobytes()
    assert tiny.ratings.scale.clip(stored).tobytes() == arrays.read_predictions(place).tobytes()


def test_a_member_is_restored_only_for_pairs_whose_predictions_are_not_stored(tiny, monkeypatch):
    done, place = start(tiny, "ensemble", members=",".join(two_runs(tiny)))
    restored, real = [], run.reopen
    model, _ = run.reopen(done, place, Results(Path("results")), "auto")
    monkeypatch.setattr(run, "reopen", lambda done, *rest: restored.append(done.run) or real(done, *rest))
    for part in ("valid", "test"):
        pairs = getattr(tiny.split("random90"), part)(tiny.ratings).pairs
        model.predict(pairs)
    assert restored == []
    model.predict(Pairs(pairs.users[::-1], pairs.items[::-1]))
    assert restored == list(done.request.config["members"])


def test_an_older_run_without_validation_predictions_is_restored_and_blended_the_same(tiny):
    two = two_runs(tiny)
    first, _ = start(tiny, "ensemble", members=",".join(two))
    for name in two:
        done, place = Results(Path("results")).find(name)
        (place / "valid_predictions.parquet").unlink()
        files = {k: v for k, v in done.files.items() if k != "valid_predictions.parquet"}
        (place / "record.json").write_text(done.model_copy(update={"files": files}).model_dump_json())
    second, _ = start(tiny, "ensemble", members=",".join(two))
    assert second.outcome.rmse == first.outcome.rmse
    assert second.outcome.message == first.outcome.message


def test_members_do_not_look_at_the_test_part_until_the_blend_is_fitted(tiny, monkeypatch):
    two = two_runs(tiny)
    order, cut, fit, read = [], Split.test, Ensemble.fit, arrays.read_predictions
    monkeypatch.setattr(Split, "test", lambda self, ratings: order.append("test") or cut(self, ratings))
    monkeypatch.setattr(members, "read_predictions", lambda f, part="test": order.append(part) or read(f, part))
    monkeypatch.setattr(Ensemble, "fit", lambda self, *given: fit(self, *given) or order.append("fitted"))
    start(tiny, "ensemble", members=",".join(two))
    assert order[: order.index("fitted")] == ["valid", "valid"]
    assert "test" in order[order.index("fitted") :]


def test_without_members_the_best_run_of_each_other_plugin_by_validation_is_taken(tiny):
    runs = [start(tiny, "bias", user_reg=reg, item_reg=reg)[0] for reg in ("500", "5", "100")]
    other, _ = start(tiny, "mean")
    start(tiny, "bias", split="random90@9")
    first, _ = start(tiny, "ensemble")
    best = min(runs, key=lambda done: done.outcome.valid_rmse).run
    assert set(first.request.config["members"]) == {best, other.run}
    again, _ = start(tiny, "ensemble")  # the ensemble of before is none of its members
    assert again.request.config["members"] == first.request.config["members"]


def test_a_blend_of_the_same_members_is_a_finished_twin_however_they_are_named(tiny):
    two = two_runs(tiny)
    start(tiny, "ensemble", members=",".join(two))
    setup = run.configure("ensemble", dataset="tiny", flags={"members": ",".join(n[-4:] for n in two)}, preset=None)
    asked = run.new_request(setup, tiny, tiny.split("random90"), 0)
    assert run.finished_run(asked, tiny, Results(Path("results"))) is not None
    assert run.ensure(asked, tiny, Results(Path("results")), run.SilentRunListener())[1]


def test_an_ensemble_can_be_a_member(tiny):
    two = two_runs(tiny)
    inner, _ = start(tiny, "ensemble", members=",".join(two))
    outer, place = start(tiny, "ensemble", members=f"{inner.run},{two[0]}")
    model, _ = run.reopen(outer, place, Results(Path("results")), "auto")
    pairs = np.array([0, 1], np.int32)
    assert np.isfinite(model.predict(Pairs(pairs, pairs))).all()


def refused(tiny, message, kind=RecordError, **asked):
    with pytest.raises(kind, match=message):
        start(tiny, "ensemble", **asked)
    assert list(Path("results").glob("tiny/*/ensemble/*")) == []


def test_a_member_on_another_split_is_refused_and_both_are_named(tiny):
    done, _ = start(tiny, "bias", split="random90@9")
    here, there = (tiny.split(name).fingerprint[:12] for name in ("random90", "random90@9"))
    message = (
        rf"^run {done.run} is on tiny, split random90@9 \({there}\), "
        rf"ensemble on tiny, split random90 \({here}\); a member must be on the same split$"
    )
    refused(tiny, message, members=done.run)


def test_a_member_on_the_same_cut_under_another_name_is_taken(tiny):
    assert tiny.split("random90").fingerprint == tiny.split("random90@1").fingerprint
    done, _ = start(tiny, "bias", split="random90@1")
    assert start(tiny, "ensemble", members=done.run)[0].request.config["members"] == [done.run]


def test_a_diverged_member_is_refused(tiny, register):
    class Diverging:
        def fit(self, train, valid, context):
            raise DivergedError("training RMSE became nan", usable=True)

        def predict(self, pairs):
            return np.full(len(pairs), 3.0, np.float32)

        def state(self):
            return {"three": np.array([3.0])}

        parameters = 1

    register("diverging", Plugin("t", "p", Config, lambda _: Diverging()))
    done, _ = start(tiny, "diverging")
    refused(tiny, f"^run {done.run} is diverged; a member must be finished$", members=done.run)


def test_a_split_without_a_validation_part_is_refused(tiny):
    cut = tiny.split("random90")
    setup = run.configure("ensemble", dataset="tiny", flags={}, preset=None)
    asked = run.new_request(setup, tiny, cut, 0)
    bare = asked.model_copy(update={"split": asked.split.model_copy(update={"report": cut.report | {"valid": 0}})})
    with pytest.raises(RecordError, match=r"^split random90 of tiny has no validation part to fit ensemble on; choose"):
        run.start(bare, tiny, Results(Path("results")), run.SilentRunListener())


def test_an_ensemble_of_nothing_and_of_unknown_runs_is_refused(tiny):
    refused(tiny, "^the results have no finished run with validation predictions on tiny, split random90 .*; run other")
    refused(tiny, "no run 'nope'; there are none yet", UnknownNameError, members="nope")


def test_a_damaged_file_of_a_member_is_noticed(tiny):
    two = two_runs(tiny)
    _, place = Results(Path("results")).find(two[0])
    (place / "valid_predictions.parquet").write_bytes(b"no parquet")
    with pytest.raises(RecordError, match=r"valid_predictions.parquet is damaged or missing; run the model again"):
        start(tiny, "ensemble", members=",".join(two))


def test_members_can_be_typed_in_a_terminal(tiny, terminal):
    two = two_runs(tiny)
    said = terminal(f"run ensemble --dataset tiny --members {two[0]},{two[1][-4:]} --json")
    assert said.status == 0, said.err
    assert f'"{two[1]}"' in said.out
    assert terminal("run ensemble --dataset tiny --members nope").status == 2
