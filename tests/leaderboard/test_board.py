"""Which runs share a row, which row represents a plugin, in which order rows stand, and which published scores join."""

import numpy as np
import pytest

from cfbench.data import card
from cfbench.data.card import Published
from cfbench.errors import UnknownNameError
from cfbench.leaderboard.board import build_board, published
from cfbench.report import numbers
from cfbench.runs.record import Tuned


def run_ids(board):
    """The ids of each row's runs."""
    return [[record.run for record in row.shown_records] for row in board.rows]


def test_runs_are_ranked_by_rmse_and_runs_without_a_score_come_last(runs):
    runs.add_configs(0.95, 0.9, 0.99)
    runs.add(None, run="x", status="diverged")
    board = runs.board()
    assert run_ids(board) == [["b"], ["a"], ["c"], ["x"]]
    assert [row.note for row in board.rows] == ["", "", "", "diverged"]


def test_only_runs_of_the_same_fingerprint_are_ranked_and_the_others_are_counted(runs):
    runs.add(0.95, run="a")
    runs.add(0.5, run="b", fingerprint="0" * 64)
    assert run_ids(runs.board()) == [["a"]]
    assert runs.board().left_out == 1


def test_without_the_data_set_the_newest_run_decides_the_fingerprint(runs):
    runs.add(0.95, run="b")
    runs.add(0.5, run="a", fingerprint="0" * 64)
    board = build_board(runs.card, "random90", runs.results)
    assert run_ids(board) == [["a"]]
    assert board.left_out == 1


def test_each_split_has_its_own_leaderboard(runs):
    runs.add(0.95, run="a")
    runs.add(0.5, run="b", split="u1")
    assert run_ids(runs.board("u1")) == [["b"]]


def test_seeds_of_one_config_are_one_row_with_mean_and_standard_deviation(runs):
    for seed, rmse in enumerate([0.9, 0.92, 0.97]):
        runs.add(rmse, run=f"r{seed}", seed=seed)
    (row,) = runs.board().rows
    assert row.rmse == pytest.approx(0.93)
    assert row.sd == pytest.approx(np.std([0.9, 0.92, 0.97], ddof=1))
    assert sorted(row.seeds) == [0, 1, 2]


def test_the_newest_scored_run_of_a_seed_counts(runs):
    runs.add(0.9, run="b")
    runs.add(0.8, run="a")
    runs.add(None, run="c", status="failed")
    (row,) = runs.board().rows
    assert (row.rmse, row.sd, run_ids(runs.board())) == (0.8, None, [["a"]])


def test_a_failed_seed_is_noted_beside_the_mean_of_the_others(runs):
    runs.add(0.9, run="a")
    runs.add(None, run="b", seed=1, status="failed")
    (row,) = runs.board().rows
    assert (row.rmse, row.note) == (0.9, "1 more seed not complete")


def test_several_failed_seeds_are_counted_in_the_note(runs):
    runs.add(0.9, run="a", status="diverged")
    for seed in (1, 2):
        runs.add(None, run=f"b{seed}", seed=seed, status="failed")
    (row,) = runs.board().rows
    assert row.note == "diverged, 2 more seeds not complete"


def test_five_folds_are_one_row_ranked_by_their_mean(runs):
    for fold in range(1, 6):
        runs.add(0.9 + fold / 100, run=f"b{fold}", split=f"5fold-{fold}")
    for fold in (1, 3, 4):
        runs.add(0.1, run=f"a{fold}", split=f"5fold-{fold}", plugin="deepae")
    complete, incomplete = runs.board("5fold").rows
    assert complete.rmse == pytest.approx(0.93)
    assert [record.request.split.name for record in complete.records] == [f"5fold-{k}" for k in range(1, 6)]
    assert (incomplete.rmse, incomplete.ranked, incomplete.note) == (None, False, "3 of 5 folds")


def test_folds_without_a_score_are_not_counted(runs):
    runs.add(None, run="a", split="5fold-1", status="failed")
    (row,) = runs.board("5fold").rows
    assert row.note == "0 of 5 folds"


def test_folds_of_two_seeds_are_averaged_within_a_seed_first(runs):
    for seed in (0, 1):
        for fold in range(1, 6):
            runs.add(0.9 + fold / 100 + seed, run=f"s{seed}{fold}", seed=seed, split=f"5fold-{fold}")
    (row,) = runs.board("5fold").rows
    assert row.rmse == pytest.approx(1.43)
    assert row.sd == pytest.approx(2**-0.5)


def test_a_family_of_folds_is_named_without_its_number():
    ml_100k = card.load("ml-100k")
    assert ml_100k.expand_split("5fold") == [f"5fold-{k}" for k in range(1, 6)]
    assert ml_100k.expand_split("5fold@7") == [f"5fold-{k}@7" for k in range(1, 6)]
    assert ml_100k.expand_split("5fold@1") == ml_100k.expand_split("5fold")
    assert ml_100k.expand_split("5fold-2") == ["5fold-2"]
    assert ml_100k.expand_split("u1") == ["u1"]


@pytest.mark.parametrize("name", ["5fodl", "5fold@x", "random"])
def test_an_unknown_family_of_splits_is_named(name):
    with pytest.raises(UnknownNameError, match=f"no split '{name}|no split '5fold-1@x"):
        card.load("ml-100k").expand_split(name)


def test_the_best_validation_rmse_chooses_the_row_of_a_plugin_and_the_test_part_never_does(runs):
    runs.add(0.8, run="a", config={"k": 1}, valid=0.95)
    runs.add(0.9, run="b", config={"k": 2}, valid=0.91)
    runs.add(0.7, run="c", config={"k": 3})
    runs.add(0.99, run="d", plugin="deepae")
    board = runs.board(all_runs=False)
    assert run_ids(board) == [["b"], ["d"]]
    assert board.hidden == 2


def test_the_newest_row_represents_a_plugin_without_validation_scores(runs):
    runs.add_configs(0.8, 0.9)
    assert run_ids(runs.board(all_runs=False)) == [["b"]]


FLAGS, PRESET, TUNING = {"k": "flag"}, {"k": "preset"}, {"k": "tuning"}


@pytest.mark.parametrize(
    ("origins", "chosen"),
    [
        ([TUNING, FLAGS, {}], 0),
        ([PRESET, {}, FLAGS], 0),
        ([{}, FLAGS, FLAGS], 0),
        ([TUNING, {}, PRESET], 2),
        ([PRESET | {"l": "flag"}, {}, PRESET | {"l": "flag"}], 1),
    ],
)
def test_where_nothing_validates_a_deliberate_config_represents_a_plugin_and_not_the_newest(runs, origins, chosen):
    for number, origin in enumerate(origins):
        for fold in range(1, 6):
            runs.add(0.9, run=f"r{number}-{fold}", split=f"5fold-{fold}", config={"k": number}, origins=origin)
    (row,) = runs.board("5fold", all_runs=False).rows
    assert row.config == {"k": chosen}


def test_a_row_without_a_score_does_not_represent_a_plugin_that_has_one(runs):
    runs.add(0.9, run="a", config={"k": 1})
    runs.add(None, run="b", config={"k": 2}, status="failed")
    assert run_ids(runs.board(all_runs=False)) == [["a"]]


def test_a_leaderboard_can_show_some_plugins_only(runs):
    runs.add(0.9, run="a")
    runs.add(0.8, run="b", plugin="deepae")
    assert run_ids(runs.board(plugins=["bias"])) == [["a"]]


def test_an_unknown_plugin_is_named(runs):
    runs.add(0.8, run="b", plugin="deepae")
    with pytest.raises(UnknownNameError, match="no plugin 'deepea'; did you mean 'deepae'"):
        runs.board(plugins=["deepea"])


def test_versions_of_a_plugins_package_have_separate_rows(runs):
    runs.add(0.9, run="a")
    runs.add(0.8, run="b", seed=1, package="p 2")
    assert [(sorted(row.seeds), row.rmse) for row in runs.board().rows] == [([1], 0.8), ([0], 0.9)]


def test_seeds_of_different_code_are_separate_rows_that_name_their_code(runs):
    runs.add(0.90, run="a", seed=0, source="1234567890")
    runs.add(0.91, run="b", seed=1, source="abcdefghij")
    runs.add(0.92, run="c", seed=2, source="abcdefghij")
    rows = runs.board().rows
    assert [(sorted(row.seeds), row.settings) for row in rows] == [([0], "code=1234567"), ([1, 2], "code=abcdefg")]


def test_records_that_are_older_than_the_hash_of_the_source_stay_together(runs):
    for seed in (0, 1):
        runs.add(0.9, run=f"a{seed}", seed=seed)
    runs.add(0.91, run="b", seed=2, source="abcdefghij")
    rows = runs.board().rows
    assert [(sorted(row.seeds), row.settings) for row in rows] == [([0, 1], "code=unknown"), ([2], "code=abcdefg")]


def test_a_row_shows_the_settings_that_differ_between_the_configs_of_its_plugin(runs):
    runs.add(0.7, run="a", config={"lr": 0.1, "hidden": [16, 8]})
    runs.add(0.8, run="b", config={"lr": 0.1, "hidden": [16], "new": True})
    runs.add(0.9, run="c", config={"lr": 0.3}, plugin="deepae")
    assert [row.settings for row in runs.board().rows] == ["hidden=16,8", "hidden=16 new=True", ""]


def test_an_older_record_has_the_default_of_a_hyper_parameter_that_it_lacks(runs):
    runs.add(0.7, run="a", config={"lr": 0.1})
    runs.add(0.8, run="b", config={"lr": 0.2, "new": True, "newer": 1}, origins={"new": "default", "newer": "flag"})
    assert [row.settings for row in runs.board().rows] == ["lr=0.1", "lr=0.2 newer=1"]


def test_a_tuned_config_is_called_tuned_even_if_the_search_started_from_it(runs):
    tuned = Tuned(study="s", dataset="d", split="random90", trials=10, seconds=1.0, seed=0, valid_rmse=0.9)
    runs.add(0.9, run="a", tuned=tuned)
    runs.add(0.9, run="b")
    (row,) = runs.board().rows
    assert row.source == "tuned (10 trials)"
    assert tuned.model_copy(update={"trials": 9}).label == "searched (9 trials)"
    assert tuned.model_copy(update={"trials": 1}).label == "searched (1 trial)"


def test_coverage_is_the_share_of_test_ratings_whose_user_and_item_have_training_ratings(runs):
    for seed in (0, 1):
        runs.add(0.9, run=f"r{seed}", seed=seed, report={"test": 200, "cold_ratings": 3})
    (row,) = runs.board().rows
    assert row.coverage == pytest.approx(0.985)
    assert numbers.share(row.coverage) == "98.50%"


def test_published_scores_are_those_of_the_same_protocol_best_first(runs):
    assert [(s.method, s.rmse) for s in runs.board().published] == [
        ("NNMF 4HL", 0.903), ("NNMF 3HL", 0.907), ("BiasedMF", 0.911), ("PMF", 0.952),
    ]  # fmt: skip
    assert {s.protocol for s in runs.board("u1").published} == {"official fold u1"}
    assert {s.protocol for s in runs.board("5fold").published} == {"5-fold cross-validation"}
    assert runs.board("last1").published == []


def test_a_protocol_is_matched_as_a_whole_not_by_its_beginning():
    score = Published(protocol="random 90/100", method="m", rmse=1, source="s")
    ml_100k = card.load("ml-100k").model_copy(update={"published": (score,)})
    assert published(ml_100k, "random 90/10") == []
    assert published(ml_100k, "") == []


def test_runs_with_refit_have_rows_of_their_own_with_representatives_of_their_own(runs):
    better, worse = {"k": 1}, {"k": 2}
    runs.add(0.90, run="a", config=better, valid=0.80)
    runs.add(0.91, run="b", config=better, valid=0.80, seed=1)
    runs.add(0.88, run="c", config=better, valid=0.80, refit=True)
    runs.add(0.87, run="d", config=worse, valid=0.70, refit=True, seed=1)
    assert [(row.refit, sorted(row.seeds)) for row in runs.board().rows] == [(True, [1]), (True, [0]), (False, [0, 1])]
    chosen = runs.board(all_runs=False).rows
    assert [(row.newest.run, row.refit, row.note) for row in chosen] == [("d", True, "refit"), ("b", False, "")]


@pytest.mark.parametrize(
    ("plugin", "declared", "note"),
    [
        ("bias", None, ""),  # the installed plugin answers for records that do not say it
        ("bias", True, "one seed"),
        ("svd", None, "one seed"),
        ("svd", False, ""),
        ("no-longer-installed", None, "one seed"),
    ],
)
def test_a_score_of_one_seed_is_marked_where_another_seed_can_give_another(runs, plugin, declared, note):
    runs.add(0.9, run="a", plugin=plugin, random=declared)
    (row,) = runs.board().rows
    assert row.note == note
    runs.add(0.9, run="b", plugin=plugin, random=declared, seed=1)
    (row,) = runs.board().rows
    assert row.note == ""


def test_the_note_says_that_the_plugin_knows_the_date(runs):
    runs.add(0.9, run="a", status="diverged", uses_times=True)
    runs.add(None, run="b", seed=1, status="failed", uses_times=True)
    runs.add(None, run="c", plugin="lost", status="failed", uses_times=True)
    notes = [row.note for row in runs.board().rows]
    assert notes == ["diverged, 1 more seed not complete, knows the date", "failed, knows the date"]
