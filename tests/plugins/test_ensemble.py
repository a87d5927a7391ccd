"""The ensemble: planted predictors whose best weights are known, and stored runs as members."""

import json
from pathlib import Path

import numpy as np
import pytest

from cfbench.contract import Config, Context, DivergedError, Plugin
from cfbench.data import card, store
from cfbench.data.split import Split
from cfbench.errors import RecordError, UnknownNameError, UsageError
from cfbench.metrics import rmse
from cfbench.plugins.ensemble import Ensemble, EnsembleConfig, blend, moments, starting_weights
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import arrays, job, members, record, run
from cfbench.runs.interruption import InterruptedRunError
from cfbench.runs.job import reopen
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request

N = 50_000
SCALE = Scale(low=-100, high=100)


class Noisy:
    """A predictor of the truth plus an error."""

    def __init__(self, truth, error):
        self.scores = (truth + error).astype(np.float32)

    def predict(self, pairs):
        return self.scores[pairs.users]


@pytest.fixture
def noisy():
    """N validation ratings, N test ratings and two predictors.

    The truth has variance 9 and the ratings have noise of variance 1. The errors of the predictors, `good` and `bad`,
    have variances 1 and 4.
    """
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2 * N) * 3
    codes = np.arange(2 * N, dtype=np.int32)
    table = Ratings(codes, np.zeros_like(codes), truth + rng.normal(size=2 * N), 2 * N, 1, SCALE)
    predictors = {"good": Noisy(truth, rng.normal(size=2 * N)), "bad": Noisy(truth, 2 * rng.normal(size=2 * N))}
    return table.take(np.arange(N)), table.take(np.arange(N, 2 * N)), predictors


def fit_ensemble(valid, predictors, **config):
    model = Ensemble(EnsembleConfig(members=tuple(predictors), **config))
    model.fit(valid, valid, Context(member=predictors.__getitem__))
    return model


def best_weights(variance, error_variances):
    """The best weights (m,) of predictors t + e_m with independent errors: (v 11ᵀ + diag σ²)⁻¹ v 1."""
    return np.linalg.solve(variance + np.diag(error_variances), np.full(len(error_variances), variance))


def test_the_weights_of_two_noisy_predictors_are_the_best_possible(noisy):
    valid, _, predictors = noisy
    expected = best_weights(9.0, [1.0, 4.0])
    assert expected == pytest.approx([36 / 49, 9 / 49])
    state = fit_ensemble(valid, predictors, ridge=1e-6).state()
    assert state["weights"] == pytest.approx(expected, abs=0.01)
    assert state["constant"] == pytest.approx(0, abs=0.02)


def test_the_blend_is_better_than_its_best_member(noisy):
    valid, test, predictors = noisy
    error = rmse(fit_ensemble(valid, predictors).predict(test.pairs), test.ratings)
    member_errors = [rmse(predictor.predict(test.pairs), test.ratings) for predictor in predictors.values()]
    assert error == pytest.approx(np.sqrt(1 + 9 - 9 * (36 + 9) / 49), abs=0.02)
    assert error < 0.97 * min(member_errors)


def test_a_constant_and_a_factor_in_the_members_predictions_are_corrected(noisy):
    valid, test, predictors = noisy
    distorted = {name: Noisy(2 * predictor.scores + 7, 0) for name, predictor in predictors.items()}
    expected = fit_ensemble(valid, predictors).predict(test.pairs)
    assert fit_ensemble(valid, distorted).predict(test.pairs) == pytest.approx(expected, abs=0.01)


def test_without_an_intercept_the_constant_is_0_and_not_a_parameter(noisy):
    valid, _, predictors = noisy
    model = fit_ensemble(valid, predictors, intercept=False)
    assert model.state()["constant"] == 0
    assert model.parameters == 2


def blend_all(predictions, ratings, **config):
    """The constant and the weights of a blend of all predictions."""
    center = ratings.mean() if config.get("intercept", True) else 0.0
    return blend(moments(predictions, ratings, center), center, EnsembleConfig(**config))


def test_a_strong_ridge_gives_weights_by_the_square_root_of_the_likelihood():
    rng = np.random.default_rng(7)
    ratings = rng.normal(3.5, 1, 30)
    predictions = ratings[:, None] + rng.normal(size=(30, 3)) * [0.9, 1.0, 1.1]
    constant, weights = blend_all(predictions, ratings, ridge=1e12)
    likelihoods = np.square(predictions - ratings[:, None]).mean(0) ** (-30 / 2)
    assert weights == pytest.approx(np.sqrt(likelihoods) / np.sqrt(likelihoods).sum(), abs=1e-9)
    assert constant == pytest.approx(0, abs=1e-8)


def test_starting_weights_go_from_equal_ones_to_the_best_member_as_ratings_become_more():
    rng = np.random.default_rng(8)
    shares = []
    for n in (0, 10, 100, 10_000):
        ratings = rng.normal(size=n)
        predictions = ratings[:, None] + rng.normal(size=(n, 2)) * [1.0, 1.3]
        shares.append(starting_weights(moments(predictions, ratings, 0.0).sum(0))[0])
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.5, 1.0)


def test_the_validation_error_uses_weights_that_were_fitted_without_the_rating():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=120) * 3
    codes = np.arange(120, dtype=np.int32)
    predictors = {f"m{k}": Noisy(truth, 3 * rng.normal(size=120)) for k in range(40)}
    table = Ratings(codes, np.zeros_like(codes), truth + rng.normal(size=120), 120, 1, SCALE)
    valid = table.take(np.arange(60))  # 60 ratings for 40 weights
    weak, strong = (fit_ensemble(valid, predictors, ridge=ridge) for ridge in (1e-9, 1.0))
    fitted_errors = [rmse(model.predict(valid.pairs), valid.ratings) for model in (weak, strong)]
    assert fitted_errors[0] < fitted_errors[1]
    assert weak.valid_rmse > strong.valid_rmse
    assert weak.valid_rmse > 1.5 * fitted_errors[0]


def blend_random_predictions(**config):
    """The constant and the weights of a blend, and the function of both that they should minimise."""
    rng = np.random.default_rng(5)
    predictions, ratings = rng.normal(3.5, 1, (50, 2)), rng.normal(3.5, 1, 50)
    start = starting_weights(moments(predictions, ratings, 0.0).sum(0))
    center = ratings.mean() if config.get("intercept", True) else 0.0

    def objective(weights, constant):
        errors = ratings - constant - predictions @ weights
        shift = constant - center * (1 - weights.sum())
        pull = np.square(shift) + predictions.var(0).mean() * np.square(weights - start).sum()
        return np.square(errors).sum() + 20 * pull

    constant, weights = blend_all(predictions, ratings, ridge=20, **config)
    return weights, constant, objective


@pytest.mark.parametrize("intercept", [True, False])
def test_the_weights_minimise_the_squared_errors_plus_the_ridge(intercept):
    weights, constant, objective = blend_random_predictions(intercept=intercept)
    for step in (*np.eye(2), *-np.eye(2)):
        assert objective(weights + 1e-4 * step, constant) > objective(weights, constant)


@pytest.mark.parametrize("step", [1e-4, -1e-4])
def test_the_constant_minimises_the_squared_errors_plus_the_ridge(step):
    weights, constant, objective = blend_random_predictions()
    assert objective(weights, constant + step) > objective(weights, constant)


def test_another_scale_of_the_ratings_gives_the_same_weights():
    rng = np.random.default_rng(6)
    ratings = rng.normal(3, 1, 400)
    predictions = 0.5 * ratings[:, None] + rng.normal(1.5, 0.7, (400, 4))
    constant, weights = blend_all(predictions, ratings)
    other_constant, other_weights = blend_all(20 * predictions - 10, 20 * ratings - 10)
    assert other_weights == pytest.approx(weights, abs=1e-9)
    assert other_constant == pytest.approx(20 * constant + 10 * (weights.sum() - 1), abs=1e-8)


def planted_members(world, n, rng):
    """The predictions of 12 members and n ratings; the members' errors have a common part, of which `world` says more.

    They are followed by the best member and its risk, and the function that computes the risk of a blend exactly.
    """
    spread, common = {"alike": (0.0, 0.5), "spread": (0.4, 0.5), "independent": (0.2, 0.0), "twins": (0.0, 0.97)}[world]
    sizes = 0.45 + spread * np.linspace(-0.5, 0.5, 12)
    covariance = common * np.outer(sizes, sizes) + (1 - common) * np.diag(sizes**2)
    truth = rng.normal(0, 0.6, n)
    predictions = 3.5 + truth[:, None] + rng.normal(size=(n, 12)) @ np.linalg.cholesky(covariance).T
    ratings = 3.5 + truth + rng.normal(0, 0.7, n)

    def risk(constant, weights):
        shift = constant - 3.5 * (1 - weights.sum())
        return np.sqrt(0.49 + 0.36 * (1 - weights.sum()) ** 2 + weights @ covariance @ weights + shift**2)

    return predictions, ratings, risk


@pytest.mark.parametrize("world", ["alike", "spread", "independent", "twins"])
@pytest.mark.parametrize("n", [50, 240, 1000, 5000])
def test_a_blend_does_not_lose_to_its_best_member_however_few_the_ratings(world, n):
    losses_to_best, losses_to_chosen, gains = [], [], []
    for seed in range(12):
        predictions, ratings, risk = planted_members(world, n, np.random.default_rng([seed, n]))
        members = [risk(0.0, unit) for unit in np.eye(12)]
        chosen = members[np.square(predictions - ratings[:, None]).sum(0).argmin()]
        error = risk(*blend_all(predictions, ratings))
        losses_to_best.append(error - min(members))
        losses_to_chosen.append(error - chosen)
        gains.append(risk(*blend_all(predictions, ratings, ridge=1e-3 * n)) - error)
    assert np.mean(losses_to_best) < (0.015 if n == 50 else 0)  # 50 ratings cannot say which of 12 members is best
    assert np.mean(losses_to_chosen) < 0
    assert np.mean(gains) > (0.02 if n == 50 else -0.01)  # a ridge that does not know how many ratings there are


def test_without_validation_ratings_the_blend_is_the_mean_of_the_members(noisy):
    valid, test, predictors = noisy
    model = fit_ensemble(valid.take(np.arange(0)), predictors)
    mean = np.mean([predictor.predict(test.pairs) for predictor in predictors.values()], 0)
    assert model.predict(test.pairs) == pytest.approx(mean, abs=1e-5)
    assert model.valid_rmse is None


def test_two_identical_members_share_their_weight(noisy):
    valid, _, predictors = noisy
    members = {"good": predictors["good"], "twin": predictors["good"], "bad": predictors["bad"]}
    good, twin, bad = fit_ensemble(valid, members).state()["weights"]
    assert good == pytest.approx(twin)
    assert 2 * good == pytest.approx(36 / 49, abs=0.02)
    assert bad == pytest.approx(9 / 49, abs=0.02)


def test_nonnegative_weights_are_not_below_zero():
    rng = np.random.default_rng(1)
    truth, error = rng.normal(size=(2, N))
    # the second member predicts the error of the first, so its best weight is negative
    predictions = np.stack([truth + error, error + 0.1 * rng.normal(size=N)], 1)
    free, nonnegative = (blend_all(predictions, truth, nonnegative=flag)[1] for flag in (False, True))
    assert free == pytest.approx([1, -1], abs=0.05)
    assert nonnegative[1] == 0
    weight_without_second = np.cov(truth, predictions[:, 0])[0, 1] / predictions[:, 0].var()
    assert nonnegative[0] == pytest.approx(weight_without_second, abs=0.01)


def test_the_nonnegative_option_does_not_change_positive_weights(noisy):
    valid, _, predictors = noisy
    free, nonnegative = (fit_ensemble(valid, predictors, nonnegative=flag).state()["weights"] for flag in (False, True))
    assert nonnegative == pytest.approx(free, abs=1e-9)


def test_a_context_without_results_has_no_members():
    with pytest.raises(UsageError, match="the model needs run 'a' as a member, but there are no results"):
        Context().member("a")


# Stored runs as members


@pytest.fixture
def tiny(terminal):
    """The tiny data set, downloaded."""
    return store.open_dataset(card.load("tiny"))


def start(tiny, name, *, split="random90", seed=0, **flags):
    """Run a plugin on the tiny data set; return the record and the folder of the run."""
    setup = configure(name, dataset="tiny", flags=flags, preset=None)
    request = new_request(setup, tiny, tiny.split(split), seed)
    return run.start(request, tiny, Results(Path("results")), run.SilentRunListener())


def start_two_runs(tiny, **where):
    """The ids of a run with a weak and a run with a strong penalty."""
    weak, _ = start(tiny, "bias", user_reg="1", item_reg="1", **where)
    strong, _ = start(tiny, "bias", user_reg="500", item_reg="500", **where)
    return weak.run, strong.run


def remove_predictions(run_id, file_name):
    """Make a run look like one of an older version, which did not store these predictions."""
    done, folder = Results(Path("results")).find(run_id)
    (folder / file_name).unlink()
    files = {name: checksum for name, checksum in done.files.items() if name != file_name}
    (folder / "record.json").write_text(done.model_copy(update={"files": files}).model_dump_json())


def test_validation_predictions_are_stored_clipped_with_their_checksum_and_error(tiny):
    done, folder = start(tiny, "bias")
    valid = tiny.split("random90").valid(tiny.ratings)
    stored = arrays.read_predictions(folder, "valid")
    model, _ = reopen(done, folder, Results(Path("results")), "auto")
    assert stored.tobytes() == tiny.ratings.scale.clip(model.predict(valid.pairs)).tobytes()
    assert "valid_predictions.parquet" in done.files
    assert done.outcome.valid_rmse == rmse(stored, valid.ratings)
    assert done.outcome.best_epoch is None


def test_the_recorded_validation_error_is_that_of_weights_fitted_without_the_rating(tiny):
    start_two_runs(tiny)
    done, folder = start(tiny, "ensemble", ridge="1")
    valid = tiny.split("random90").valid(tiny.ratings)
    assert done.outcome.valid_rmse > rmse(arrays.read_predictions(folder, "valid"), valid.ratings)


def test_the_record_holds_the_full_ids_of_the_members_and_their_weights(tiny):
    first, second = start_two_runs(tiny)
    done, folder = start(tiny, "ensemble", members=f"{first[-4:]},{second[-4:]}")
    assert done.request.config["members"] == [first, second]
    assert record.read_record(folder / "record.json").request.config["members"] == [first, second]
    weights = arrays.read_state(folder)["weights"]
    assert f"{first} × {weights[0]:.3f} + {second} × {weights[1]:.3f}" in done.outcome.message


def test_the_weights_are_the_least_squares_solution_for_the_stored_validation_predictions(tiny):
    run_ids = start_two_runs(tiny)
    _, folder = start(tiny, "ensemble", members=",".join(run_ids), ridge="1e-9")
    results = Results(Path("results"))
    stored = [arrays.read_predictions(results.find(run_id)[1], "valid") for run_id in run_ids]
    columns = np.column_stack([np.ones(len(stored[0])), *stored]).astype(float)
    valid = tiny.split("random90").valid(tiny.ratings)
    constant, *weights = np.linalg.lstsq(columns, valid.ratings)[0]
    state = arrays.read_state(folder)
    assert state["weights"] == pytest.approx(weights, rel=1e-4)
    assert state["constant"] == pytest.approx(constant, rel=1e-4)


def test_a_reopened_ensemble_predicts_the_same_bits_from_stored_predictions_and_from_restored_members(tiny):
    run_ids = start_two_runs(tiny)
    done, folder = start(tiny, "ensemble", members=",".join(run_ids))
    test = tiny.split("random90").test(tiny.ratings)
    from_stored = reopen(done, folder, Results(Path("results")), "auto")[0].predict(test.pairs)
    for run_id in run_ids:
        remove_predictions(run_id, "predictions.parquet")
    from_restored = reopen(done, folder, Results(Path("results")), "auto")[0].predict(test.pairs)
    assert from_stored.tobytes() == from_restored.tobytes()
    assert tiny.ratings.scale.clip(from_stored).tobytes() == arrays.read_predictions(folder).tobytes()


def test_a_member_is_restored_only_for_pairs_whose_predictions_are_not_stored(tiny, monkeypatch):
    done, folder = start(tiny, "ensemble", members=",".join(start_two_runs(tiny)))
    restored = []
    model, _ = reopen(done, folder, Results(Path("results")), "auto")
    monkeypatch.setattr(job, "reopen", lambda done, *rest: restored.append(done.run) or reopen(done, *rest))
    split = tiny.split("random90")
    test_pairs = split.test(tiny.ratings).pairs
    model.predict(split.valid(tiny.ratings).pairs)
    model.predict(test_pairs)
    assert restored == []
    model.predict(Pairs(test_pairs.users[::-1], test_pairs.items[::-1]))
    assert restored == list(done.request.config["members"])


def test_an_older_run_without_validation_predictions_is_restored_and_blended_the_same(tiny):
    run_ids = start_two_runs(tiny)
    first, _ = start(tiny, "ensemble", members=",".join(run_ids))
    for run_id in run_ids:
        remove_predictions(run_id, "valid_predictions.parquet")
    second, _ = start(tiny, "ensemble", members=",".join(run_ids))
    assert second.outcome.rmse == first.outcome.rmse
    assert second.outcome.message == first.outcome.message


def test_the_test_part_is_not_read_before_the_blend_is_fitted(tiny, monkeypatch):
    run_ids = start_two_runs(tiny)
    events, cut_test, fit, read_predictions = [], Split.test, Ensemble.fit, arrays.read_predictions

    def record_cut(split, ratings):
        events.append("test")
        return cut_test(split, ratings)

    def record_read(folder, part="test"):
        events.append(part)
        return read_predictions(folder, part)

    def record_fit(model, *arguments):
        fit(model, *arguments)
        events.append("fitted")

    monkeypatch.setattr(Split, "test", record_cut)
    monkeypatch.setattr(members, "read_predictions", record_read)
    monkeypatch.setattr(Ensemble, "fit", record_fit)
    start(tiny, "ensemble", members=",".join(run_ids))
    assert events[: events.index("fitted")] == ["valid", "valid"]
    assert "test" in events[events.index("fitted") :]


def test_without_members_the_best_run_of_each_other_plugin_by_validation_error_is_a_member(tiny):
    runs = [start(tiny, "bias", user_reg=reg, item_reg=reg)[0] for reg in ("500", "5", "100")]
    start(tiny, "mean")
    start(tiny, "bias", split="random90@9")
    first, _ = start(tiny, "ensemble")
    best = min(runs, key=lambda done: done.outcome.valid_rmse).run
    assert first.request.config["members"] == [best]
    second, _ = start(tiny, "ensemble")  # the first ensemble is not one of its members
    assert second.request.config["members"] == first.request.config["members"]


def test_a_model_that_predicts_one_number_is_a_member_only_if_it_is_named(tiny):
    mean, _ = start(tiny, "mean")
    message = "with validation predictions on tiny, split random90 .*, except of models that predict one number for all"
    assert_refused(tiny, message)
    assert start(tiny, "ensemble", members=mean.run)[0].request.members == (mean.run,)


def test_a_model_that_knew_the_dates_is_a_member_only_if_it_is_named_and_the_blend_says_so(tiny, terminal):
    bias, _ = start(tiny, "bias")
    dated, _ = start(tiny, "timesvdpp", factors="2", epochs="2")
    assert dated.request.plugin.uses_times
    blind, _ = start(tiny, "ensemble")
    assert (blind.request.members, blind.request.plugin.uses_times) == ((bias.run,), False)
    blend, _ = start(tiny, "ensemble", members=f"{bias.run},{dated.run}")
    assert blend.request.plugin.uses_times
    outer, _ = start(tiny, "ensemble", members=f"{bias.run},{blend.run}")
    assert outer.request.plugin.uses_times
    rows = json.loads(terminal("compare --all-runs --json").out)["rows"]
    assert {row["runs"][0] for row in rows if row["uses_times"]} == {dated.run, blend.run, outer.run}


def test_a_blend_of_the_same_members_is_already_finished_however_they_are_named(tiny):
    run_ids = start_two_runs(tiny)
    start(tiny, "ensemble", members=",".join(run_ids))
    short_ids = ",".join(run_id[-4:] for run_id in run_ids)
    setup = configure("ensemble", dataset="tiny", flags={"members": short_ids}, preset=None)
    request = new_request(setup, tiny, tiny.split("random90"), 0)
    assert run.finished_run(request, tiny, Results(Path("results"))) is not None
    assert run.ensure(request, tiny, Results(Path("results")), run.SilentRunListener())[1]


def test_the_record_and_the_leaderboard_count_the_members_through_ensembles(tiny, terminal):
    run_ids = start_two_runs(tiny)
    inner, _ = start(tiny, "ensemble", members=",".join(run_ids))
    outer, _ = start(tiny, "ensemble", members=f"{inner.run},{run_ids[0]}")
    assert (inner.request.members, outer.request.members) == (run_ids, (inner.run, run_ids[0]))
    (row,) = [r for r in json.loads(terminal("compare --all-runs --json").out)["rows"] if r["runs"] == [outer.run]]
    records = [Results(Path("results")).find(name)[0] for name in (*run_ids, inner.run, outer.run)]
    for name in ("fit_seconds", "predict_seconds", "parameters"):
        assert row[name] == pytest.approx(sum(getattr(r.outcome, name) for r in records))
    assert row["peak_memory"] == max(r.outcome.peak_memory for r in records)
    assert row["members"] == 3
    assert (
        "ensemble: its cost and its parameters include those of its members (3)" in terminal("compare --all-runs").out
    )


def test_a_model_that_blends_runs_under_another_name_records_its_members(tiny, register):
    class Config(EnsembleConfig):
        def with_members(self, resolve):
            return self.model_copy(update={"members": resolve(())})

    first, second = start_two_runs(tiny)
    register("blender", Plugin("t", "p", Config, Ensemble))
    assert start(tiny, "blender")[0].request.members in {(first,), (second,)}


def test_an_ensemble_can_be_a_member(tiny):
    run_ids = start_two_runs(tiny)
    inner, _ = start(tiny, "ensemble", members=",".join(run_ids))
    outer, folder = start(tiny, "ensemble", members=f"{inner.run},{run_ids[0]}")
    model, _ = reopen(outer, folder, Results(Path("results")), "auto")
    codes = np.array([0, 1], np.int32)
    assert np.isfinite(model.predict(Pairs(codes, codes))).all()


def assert_refused(tiny, message, error=RecordError, **flags):
    """An ensemble with these flags raises the error, and leaves no folder."""
    with pytest.raises(error, match=message):
        start(tiny, "ensemble", **flags)
    assert list(Path("results").glob("tiny/*/ensemble/*")) == []


def test_a_member_on_another_split_is_refused_with_the_names_of_both_splits(tiny):
    done, _ = start(tiny, "bias", split="random90@9")
    own, other = (tiny.split(name).fingerprint[:12] for name in ("random90", "random90@9"))
    message = (
        rf"^run {done.run} is on tiny, split random90@9 \({other}\), "
        rf"ensemble on tiny, split random90 \({own}\); a member must be on the same split$"
    )
    assert_refused(tiny, message, members=done.run)


def test_a_member_on_the_same_split_under_another_name_is_accepted(tiny):
    assert tiny.split("random90").fingerprint == tiny.split("random90@1").fingerprint
    done, _ = start(tiny, "bias", split="random90@1")
    assert start(tiny, "ensemble", members=done.run)[0].request.config["members"] == [done.run]


def test_a_diverged_member_is_refused(tiny, register):
    class Diverging:
        parameters = 1

        def fit(self, train, valid, context):
            raise DivergedError("training RMSE became nan", usable=True)

        def predict(self, pairs):
            return np.full(len(pairs), 3.0, np.float32)

        def state(self):
            return {"three": np.array([3.0])}

    register("diverging", Plugin("t", "p", Config, lambda _: Diverging()))
    done, _ = start(tiny, "diverging")
    assert_refused(tiny, f"^run {done.run} is diverged; a member must be finished$", members=done.run)


def test_a_split_without_a_validation_part_is_refused(tiny):
    split = tiny.split("random90")
    setup = configure("ensemble", dataset="tiny", flags={}, preset=None)
    request = new_request(setup, tiny, split, 0)
    without_valid = request.split.model_copy(update={"report": split.report | {"valid": 0}})
    message = r"^split random90 of tiny has no validation part to fit ensemble on; choose"
    with pytest.raises(RecordError, match=message):
        run.start(
            request.model_copy(update={"split": without_valid}), tiny, Results(Path("results")), run.SilentRunListener()
        )


def test_an_ensemble_without_finished_runs_is_refused(tiny):
    message = "^the results have no finished run with validation predictions on tiny, split random90 .*; run other"
    assert_refused(tiny, message)


def test_an_unknown_member_is_refused(tiny):
    assert_refused(tiny, "no run 'nope'; there are none yet", UnknownNameError, members="nope")


def test_a_damaged_file_of_a_member_is_an_error(tiny):
    run_ids = start_two_runs(tiny)
    _, folder = Results(Path("results")).find(run_ids[0])
    (folder / "valid_predictions.parquet").write_bytes(b"no parquet")
    with pytest.raises(InterruptedRunError, match=r"valid_predictions.parquet is damaged or missing; run the model"):
        start(tiny, "ensemble", members=",".join(run_ids))


def test_members_can_be_given_on_the_command_line(tiny, terminal):
    first, second = start_two_runs(tiny)
    shown = terminal(f"run ensemble --dataset tiny --members {first},{second[-4:]} --json")
    assert shown.status == 0, shown.err
    assert f'"{second}"' in shown.out


def test_an_unknown_member_on_the_command_line_is_a_usage_error(tiny, terminal):
    start_two_runs(tiny)
    assert terminal("run ensemble --dataset tiny --members nope").status == 2
