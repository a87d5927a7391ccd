"""The order of the rows, and their scores, intervals and tests, compared with plain loops over the predictions."""

import numpy as np
import pytest

from cfbench import metrics
from cfbench.errors import SkippedRunsWarning, UsageError
from cfbench.leaderboard.columns import row_data
from cfbench.leaderboard.row import LOST


def test_the_pareto_front_has_the_rows_that_no_other_beats_in_score_and_time(runs):
    for rmse, seconds in [(0.9, 55), (0.9, 50), (0.91, 60), (0.92, 10), (0.92, 20), (0.95, 1), (0.99, 1)]:
        runs.add(rmse, run=f"r{rmse}{seconds}", config={"k": [rmse, seconds]}, seconds=seconds)
    assert [row.on_front for row in runs.rank()] == [False, True, False, True, False, True, False]


def test_an_ensemble_that_takes_longer_than_its_members_leaves_them_on_the_pareto_front(runs):
    runs.add(0.95, run="a", plugin="fast", seconds=1)
    runs.add(0.9, run="b", plugin="slow", seconds=60)
    runs.add(0.8, run="c", plugin="ensemble", config={"members": ["a", "b"]}, seconds=0.5)
    assert [(row.row.fit_seconds, row.on_front) for row in runs.rank()] == [(61.5, True), (60, True), (1, True)]


def test_an_ensemble_whose_member_is_missing_has_no_cost_and_says_why(runs):
    runs.add(0.95, run="a", seconds=1)
    runs.add(0.8, run="c", plugin="ensemble", config={"members": ["a", "b"]}, seconds=0.5)
    ensemble, _ = map(row_data, runs.rank())
    assert [ensemble[k] for k in ("fit_seconds", "parameters", "members", "pareto", "note")] == [
        None, None, 2, False, "one seed, cost unknown: 1 member missing",
    ]  # fmt: skip


def test_without_the_data_set_rows_have_their_stored_scores_and_no_statistics(runs):
    runs.add_configs(0.95, 0.9)
    rows = [row_data(row) for row in runs.rank(metric="mae")]
    assert [(row["place"], row["score"], row["interval_low"], row["p_value"]) for row in rows] == [
        (1, 0.9, None, None), (2, 0.95, None, None),
    ]  # fmt: skip


def test_a_metric_that_needs_the_data_set_says_how_to_download_it(runs):
    runs.add_configs(0.95, 0.9)
    with pytest.raises(UsageError, match="data set 'ml-100k' is not downloaded; `cfbench download ml-100k` gets it"):
        runs.rank(metric="user-rmse")


def test_every_number_of_a_row_equals_that_of_a_plain_loop_over_its_predictions(tiny):
    records = [tiny.add_noisy("bias", 0.8, seed=seed) for seed in (0, 1)]
    (row,) = (row_data(ranked) for ranked in tiny.rank())
    test = tiny.test_part()
    rmse, mae, user_rmse = [], [], []
    for record in records:
        predictions = tiny.predictions(record)
        errors = [float(p) - float(r) for p, r in zip(predictions, test.ratings, strict=True)]
        rmse.append((sum(e * e for e in errors) / len(errors)) ** 0.5)
        mae.append(sum(map(abs, errors)) / len(errors))
        errors_by_user = {}
        for user, error in zip(test.users.tolist(), errors, strict=True):
            errors_by_user.setdefault(user, []).append(error)
        user_rmse.append(np.mean([(sum(e * e for e in es) / len(es)) ** 0.5 for es in errors_by_user.values()]))
    for name, expected in (("rmse", rmse), ("score", rmse), ("mae", mae), ("user_rmse", user_rmse)):
        assert row[name] == pytest.approx(np.mean(expected), rel=1e-12)
    assert row["sd"] == pytest.approx(np.std(rmse, ddof=1))
    assert row["interval_low"] < row["rmse"] < row["interval_high"]


@pytest.mark.parametrize(("metric", "best"), [("rmse", "steady"), ("mae", "rare"), ("user-rmse", "rare")])
def test_rows_are_ranked_and_tested_by_the_chosen_metric(tiny, metric, best):
    ratings = tiny.test_part().ratings
    few_large_errors = np.where(np.arange(len(ratings)) % 8 == 0, 1.9, 0.0)  # better in MAE, worse in RMSE
    tiny.add("rare", ratings + few_large_errors)
    tiny.add("steady", ratings + 0.5)
    first, second = tiny.rank(metric=metric)
    assert first.row.plugin == best
    assert second.to_best.difference == pytest.approx(second.score - first.score)
    assert first.interval.low <= first.score <= first.interval.high


def test_a_model_of_the_same_error_is_tied_with_the_best_and_a_much_worse_one_is_not(tiny):
    tiny.add_noisy("bias", 0.80)
    tiny.add_noisy("autorec", 0.81)
    tiny.add_noisy("worst", 1.6)
    best, equal, worst = tiny.rank()
    assert worst.row.plugin == "worst"
    assert (best.tied, equal.tied, worst.tied) == (False, True, False)


def test_each_fold_is_scored_on_its_own_test_part_and_the_scores_are_averaged(tiny):
    records = [tiny.add_noisy("bias", 0.5 + k / 10, split=f"5fold-{k}", seed=0) for k in range(1, 6)]
    (row,) = tiny.rank("5fold")
    expected = [
        metrics.rmse(tiny.predictions(record), tiny.test_part(record.request.split.name).ratings) for record in records
    ]
    assert row.score == pytest.approx(np.mean(expected), rel=1e-12)
    assert row.interval.low < row.score < row.interval.high
    (sliced,) = tiny.rank("5fold", by=("rating",))
    assert sum(part.ratings for part in sliced.slices["rating"]) == len(tiny.dataset.ratings)


def test_intervals_over_users_and_items_are_wider_and_items_have_their_own(tiny):
    tiny.add_noisy("bias", 0.8)
    widths = {}
    for clusters in ("user", "item", "both"):
        (row,) = tiny.rank(clusters=clusters)
        widths[clusters] = row.interval.high - row.interval.low
    assert widths["user"] != widths["item"]
    assert widths["both"] >= max(widths["user"], widths["item"])


def test_a_row_with_three_seeds_that_differ_has_a_wider_interval_than_one_seed_of_it(tiny):
    for seed, noise in enumerate((0.6, 0.8, 1.0)):
        tiny.add_noisy("svd", noise, seed=seed)
        tiny.add_noisy("bias", 0.8, seed=seed)
    widths = {row.row.plugin: row.interval.high - row.interval.low for row in tiny.rank()}
    assert widths["svd"] > 2 * widths["bias"]


def damage(tiny, record):
    """Cut the last byte off the predictions of a run."""
    file = tiny.results.place(record.request) / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:-1])


def test_damaged_predictions_are_named_and_only_their_row_loses_its_place(tiny):
    tiny.add_noisy("knn", 0.6)
    damage(tiny, tiny.add_noisy("bias", 0.5))
    with pytest.warns(SkippedRunsWarning, match=r"skipped 1 run:\n.*bias.*damaged or missing; run the model again"):
        rows = tiny.rank()
    assert [(row.place, row.row.plugin, row.row.note) for row in rows] == [(1, "knn", ""), (None, "bias", LOST)]


def test_a_seed_with_damaged_predictions_leaves_the_mean_of_the_others(tiny):
    stored = tiny.add_noisy("bias", 0.6, seed=0)
    damage(tiny, tiny.add_noisy("bias", 0.5, seed=1))
    with pytest.warns(SkippedRunsWarning, match="skipped 1 run:"):
        (row,) = tiny.rank()
    assert row.score == pytest.approx(stored.outcome.rmse)
    assert (list(row.row.seeds), row.row.note) == ([0], "1 more seed not complete")


def test_a_fold_with_damaged_predictions_takes_its_seed_off_the_board(tiny):
    records = [tiny.add_noisy("bias", 0.5, split=f"5fold-{k}", seed=0) for k in range(1, 6)]
    damage(tiny, records[2])
    with pytest.warns(SkippedRunsWarning, match="skipped 1 run:"):
        (row,) = tiny.rank("5fold")
    assert (row.place, row.row.note) == (None, LOST)


def test_predictions_of_another_length_are_named(tiny):
    tiny.store(tiny.record(0.9, plugin="short"), np.ones(3, np.float32))
    expected = len(tiny.test_part())
    message = f"holds 3 predictions, expected {expected}, one for each test rating of random90; run the model again"
    with pytest.warns(SkippedRunsWarning, match=message):
        tiny.rank()
