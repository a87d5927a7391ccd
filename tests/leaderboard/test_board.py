"""Ranking runs of one cut, by rows of seeds and folds; how sure a score is; and published scores apart."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cfbench import metrics
from cfbench.cli.view import numbers, tables
from cfbench.data import card, store
from cfbench.data.card import Published
from cfbench.data.split import make_split
from cfbench.data.split_definitions import RandomHoldout
from cfbench.errors import RecordError, UnknownNameError, UsageError
from cfbench.leaderboard import scoring
from cfbench.leaderboard.board import build_board, published
from cfbench.leaderboard.ranking import _new, rank_rows
from cfbench.ratings import Ratings, Scale
from cfbench.runs.arrays import RunArrays, write_arrays
from cfbench.runs.machine import Machine
from cfbench.runs.record import DatasetFacts, Outcome, PluginFacts, Record, Request, SplitFacts, Tuned
from cfbench.runs.results import Results

CLOCK = count()


def made(rmse, *, run, split="random90", fingerprint="f" * 64, status="finished", plugin="bias", seed=0, config=None,
         valid=None, seconds=1.0, dataset="ml-100k"):  # fmt: skip
    request = Request(
        run=run, started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(CLOCK)),
        plugin=PluginFacts(name=plugin, title="t", package="p"),
        dataset=DatasetFacts(name=dataset, card_version=1, fingerprint="d", users=1, items=1, ratings=1),
        split=SplitFacts(name=split, protocol="", definition={}, fingerprint=fingerprint, report={}),
        preset=None, config=config or {}, origins={}, seed=seed, device="cpu",
    )  # fmt: skip
    machine = Machine(system="s", processor="p", cores=1, threads=None, python="3", libraries={})
    outcome = Outcome(status=status, rmse=rmse, mae=rmse, valid_rmse=valid, fit_seconds=seconds, parameters=7)
    return Record(request=request, outcome=outcome, machine=machine)


@pytest.fixture
def results(tmp_path):
    kept = Results(tmp_path / "results")

    def add(*records):
        for record in records:
            kept.publish(kept.create(record.request), record)
        return kept

    return add


def board(kept, split="random90", *, all_runs=True, plugins=()):
    prints = dict.fromkeys(card.load("ml-100k").expand_split(split), "f" * 64)
    return build_board(card.load("ml-100k"), split, kept, prints, all_runs=all_runs, plugins=plugins)


def runs(of):
    return [[record.run for record in row.records or row.others] for row in of.rows]


def configs(*scores, **facts):
    """Runs a, b, … with a config each."""
    return [made(rmse, run=name, config={"k": name}, **facts) for rmse, name in zip(scores, "abcdef", strict=False)]


def test_runs_are_ranked_by_rmse_and_those_without_a_score_come_last(results):
    kept = results(*configs(0.95, 0.9, 0.99), made(None, run="x", status="diverged"))
    assert runs(board(kept)) == [["b"], ["a"], ["c"], ["x"]]
    assert [row.note for row in board(kept).rows] == ["", "", "", "diverged"]


def test_only_runs_of_the_same_fingerprint_are_ranked_and_others_are_counted(results):
    kept = results(made(0.95, run="a"), made(0.5, run="b", fingerprint="0" * 64))
    assert runs(board(kept)) == [["a"]]
    assert board(kept).left_out == 1


def test_without_the_data_the_fingerprint_of_the_newest_run_holds(results):
    kept = results(made(0.95, run="b"), made(0.5, run="a", fingerprint="0" * 64))
    found = build_board(card.load("ml-100k"), "random90", kept)
    assert runs(found) == [["a"]]
    assert found.left_out == 1


def test_another_split_has_another_board(results):
    kept = results(made(0.95, run="a"), made(0.5, run="b", split="u1"))
    assert runs(board(kept, "u1")) == [["b"]]


def test_seeds_of_one_config_are_one_row_with_mean_and_deviation(results):
    kept = results(*(made(rmse, run=f"r{seed}", seed=seed) for seed, rmse in enumerate([0.9, 0.92, 0.97])))
    (row,) = board(kept).rows
    assert row.rmse == pytest.approx(0.93)
    assert row.sd == pytest.approx(np.std([0.9, 0.92, 0.97], ddof=1))
    assert sorted(row.seeds) == [0, 1, 2]


def test_a_run_repeated_with_the_same_seed_counts_once_the_newest(results):
    kept = results(made(0.9, run="b"), made(0.8, run="a"), made(None, run="c", status="failed"))
    (row,) = board(kept).rows
    assert (row.rmse, row.sd, runs(board(kept))) == (0.8, None, [["a"]])


def test_a_seed_that_failed_is_told_beside_the_mean_of_the_others(results):
    (row,) = board(results(made(0.9, run="a"), made(None, run="b", seed=1, status="failed"))).rows
    assert (row.rmse, row.note) == (0.9, "1 more seed not complete")


def test_five_folds_are_one_row_ranked_by_their_mean(results):
    folds = [made(0.9 + k / 100, run=f"b{k}", split=f"5fold-{k}") for k in range(1, 6)]
    some = [made(0.1, run=f"a{k}", split=f"5fold-{k}", plugin="deepae") for k in (1, 3, 4)]
    first, second = board(results(*folds, *some), "5fold").rows
    assert first.rmse == pytest.approx(0.93)
    assert [record.request.split.name for record in first.records] == [f"5fold-{k}" for k in range(1, 6)]
    assert (second.rmse, second.ranked, second.note) == (None, False, "3 of 5 folds")


def test_folds_of_two_seeds_are_averaged_within_a_seed_first(results):
    folds = [made(0.9 + k / 100 + seed, run=f"s{seed}{k}", seed=seed, split=f"5fold-{k}")
             for seed in (0, 1) for k in range(1, 6)]  # fmt: skip
    (row,) = board(results(*folds), "5fold").rows
    assert row.rmse == pytest.approx(1.43)
    assert row.sd == pytest.approx(2**-0.5)


def test_a_family_of_folds_is_named_without_its_number():
    one = card.load("ml-100k")
    assert one.expand_split("5fold") == [f"5fold-{k}" for k in range(1, 6)]
    assert one.expand_split("5fold@7") == [f"5fold-{k}@7" for k in range(1, 6)]
    assert one.expand_split("5fold@1") == one.expand_split("5fold")
    assert one.expand_split("5fold-2") == ["5fold-2"]
    assert one.expand_split("u1") == ["u1"]
    for name in ("5fodl", "5fold@x", "random"):
        with pytest.raises(UnknownNameError, match=f"no split '{name}|no split '5fold-1@x"):
            one.expand_split(name)


def test_validation_chooses_the_row_of_a_plugin_and_the_test_part_never_does(results):
    kept = results(made(0.8, run="a", config={"k": 1}, valid=0.95), made(0.9, run="b", config={"k": 2}, valid=0.91),
                   made(0.7, run="c", config={"k": 3}), made(0.99, run="d", plugin="deepae"))  # fmt: skip
    shown = board(kept, all_runs=False)
    assert runs(shown) == [["b"], ["d"]]
    assert shown.hidden == 2


def test_where_validation_is_not_known_the_latest_row_stands_for_a_plugin(results):
    assert runs(board(results(*configs(0.8, 0.9)), all_runs=False)) == [["b"]]


def test_a_row_without_a_score_does_not_take_the_place_of_one_with(results):
    kept = results(made(0.9, run="a", config={"k": 1}), made(None, run="b", config={"k": 2}, status="failed"))
    assert runs(board(kept, all_runs=False)) == [["a"]]


def test_a_board_can_be_of_some_plugins_and_an_unknown_one_is_named(results):
    kept = results(made(0.9, run="a"), made(0.8, run="b", plugin="deepae"))
    assert runs(board(kept, plugins=["bias"])) == [["a"]]
    with pytest.raises(UnknownNameError, match="no plugin 'deepea'; did you mean 'deepae'"):
        board(kept, plugins=["deepea"])


def test_published_scores_are_those_of_the_same_protocol_best_first(results):
    scores = board(results()).published
    assert [(s.method, s.rmse) for s in scores] == [
        ("NNMF 4HL", 0.903), ("NNMF 3HL", 0.907), ("BiasedMF", 0.911), ("PMF", 0.952),
    ]  # fmt: skip
    assert {s.protocol for s in board(results(), "u1").published} == {"official fold u1"}
    assert {s.protocol for s in board(results(), "5fold").published} == {"5-fold cross-validation"}
    assert board(results(), "last1").published == []


def test_a_protocol_is_matched_whole_not_by_its_beginning():
    score = Published(protocol="random 90/100", method="m", rmse=1, source="s")
    one = card.load("ml-100k").model_copy(update={"published": (score,)})
    assert published(one, "random 90/10") == []
    assert published(one, "") == []


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1}'])
def test_a_record_that_cannot_be_read_is_named_in_one_line(results, text):
    kept = results(made(0.9, run="a"))
    file = Path(kept.root / "ml-100k/random90/bias/a/record.json")
    file.write_text(text)
    with pytest.raises(RecordError, match=r"record\.json is not a run record of schema 1: ") as fault:
        board(kept)
    assert "\n" not in str(fault.value)


def test_the_pareto_front_is_what_no_other_beats_in_score_and_time(results):
    kept = results(
        *(made(rmse, run=f"r{rmse}{s}", config={"k": [rmse, s]}, seconds=s)
          for rmse, s in [(0.9, 55), (0.9, 50), (0.91, 60), (0.92, 10), (0.92, 20), (0.95, 1), (0.99, 1)])
    )  # fmt: skip
    front = [s.on_front for s in rank_rows(board(kept), kept, None)]
    assert front == [False, True, False, True, False, True, False]


def test_coverage_is_the_share_of_the_test_ratings_whose_user_and_item_training_met(results):
    one, two = made(0.9, run="a"), made(0.9, run="b", seed=1)
    for run, cold in ((one, 3), (two, 3)):
        run.request.split.report.update(test=200, cold_ratings=cold)
    kept = results(one, two)
    (told,) = rank_rows(board(kept), kept, None)
    assert told.as_dict()["coverage"] == pytest.approx(0.985)
    assert numbers.share(told.row.coverage) == "98.50%"


def test_versions_of_a_plugins_package_are_rows_of_their_own(results):
    newer = made(0.8, run="b", seed=1)
    newer = newer.model_copy(
        update={"request": newer.request.model_copy(
            update={"plugin": newer.request.plugin.model_copy(update={"package": "p 2"})})}
    )  # fmt: skip
    rows = board(results(made(0.9, run="a"), newer), all_runs=True).rows
    assert [(sorted(row.seeds), row.rmse) for row in rows] == [([1], 0.8), ([0], 0.9)]


def test_what_was_tuned_is_said_so_even_if_the_config_it_started_from_was_the_best(results):
    tuned = Tuned(study="s", dataset="d", split="random90", trials=9, seconds=1.0, seed=0, valid_rmse=0.9)
    found = made(0.9, run="a")
    found = found.model_copy(update={"request": found.request.model_copy(update={"tuned": tuned})})
    (row,) = board(results(found, made(0.9, run="b"))).rows
    assert row.source == "tuned"


def test_without_the_data_stored_scores_are_shown_and_nothing_is_made_up(results):
    kept = results(*configs(0.95, 0.9))
    told = [s.as_dict() for s in rank_rows(board(kept), kept, None, metric="mae")]
    assert [(row["place"], row["score"], row["interval_low"], row["p_value"]) for row in told] == [
        (1, 0.9, None, None), (2, 0.95, None, None),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="data set 'ml-100k' is not here; `cfbench download ml-100k` gets it"):
        rank_rows(board(kept), kept, None, metric="user-rmse")


# ---- against predictions on tiny


class Tiny:
    """Runs of made-up predictions on the tiny data set, and the truth of its splits."""

    def __init__(self, root):
        self.card, self.kept = card.load("tiny"), Results(root)
        self.data = store.open_dataset(self.card)

    def test(self, split="random90"):
        return self.data.split(split).test(self.data.ratings)

    def add(self, plugin, predictions, *, split="random90", run=None, **facts):
        cut, test = self.data.split(split), self.test(split)
        predictions = np.asarray(predictions, np.float32)
        record = made(metrics.rmse(predictions, test.ratings), run=run or f"{plugin}-{next(CLOCK)}", plugin=plugin,
                      split=split, fingerprint=cut.fingerprint, dataset="tiny", **facts)  # fmt: skip
        record = record.model_copy(
            update={"outcome": record.outcome.model_copy(update={"mae": metrics.mae(predictions, test.ratings)})}
        )
        folder = self.kept.create(record.request)
        write_arrays(folder, RunArrays(test=predictions))
        self.kept.publish(folder, record)
        return record

    def noisy(self, plugin, noise, *, seed=0, split="random90", **facts):
        test = self.test(split)
        errors = noise * np.random.default_rng([seed, len(plugin)]).normal(size=len(test))
        return self.add(plugin, test.ratings + errors, split=split, seed=seed, **facts)

    def rank_rows(self, split="random90", **how):
        prints = {name: self.data.split(name).fingerprint for name in self.card.expand_split(split)}
        found = build_board(self.card, split, self.kept, prints, all_runs=True)
        return rank_rows(found, self.kept, self.data, **how)


@pytest.fixture
def tiny(terminal):
    return Tiny(terminal.folder / "results")


def stored(tiny, record):
    place = tiny.kept.place(record.request)
    return pl.read_parquet(place / "predictions.parquet")["prediction"].to_numpy().astype(np.float64)


def test_every_number_of_a_row_is_that_of_a_plain_loop_over_its_predictions(tiny):
    records = [tiny.noisy("bias", 0.8, seed=seed) for seed in (0, 1)]
    (row,) = (s.as_dict() for s in tiny.rank_rows())
    test = tiny.test()
    rmse, mae, user_rmse = [], [], []
    for record in records:
        errors = [float(p) - float(r) for p, r in zip(stored(tiny, record), test.ratings, strict=True)]
        rmse.append((sum(e * e for e in errors) / len(errors)) ** 0.5)
        mae.append(sum(map(abs, errors)) / len(errors))
        of_user = {}
        for user, error in zip(test.users.tolist(), errors, strict=True):
            of_user.setdefault(user, []).append(error)
        user_rmse.append(np.mean([(sum(e * e for e in es) / len(es)) ** 0.5 for es in of_user.values()]))
    for name, expected in (("rmse", rmse), ("score", rmse), ("mae", mae), ("user_rmse", user_rmse)):
        assert row[name] == pytest.approx(np.mean(expected), rel=1e-12)
    assert row["sd"] == pytest.approx(np.std(rmse, ddof=1))
    assert row["interval_low"] < row["rmse"] < row["interval_high"]


@pytest.mark.parametrize("metric", ["rmse", "mae", "user-rmse"])
def test_the_board_ranks_and_tests_by_the_metric_asked_for(tiny, metric):
    test = tiny.test()
    often = np.where(np.arange(len(test)) % 8 == 0, 1.9, 0.0)  # few large errors: better in MAE, worse in RMSE
    tiny.add("rare", test.ratings + often)
    tiny.add("steady", test.ratings + 0.5)
    first, second = tiny.rank_rows(metric=metric)
    assert first.row.plugin == ("steady" if metric == "rmse" else "rare")
    assert second.to_best.difference == pytest.approx(second.score - first.score)
    assert first.interval.low <= first.score <= first.interval.high


def test_models_of_the_same_error_are_tied_and_a_much_worse_one_is_not(tiny):
    tiny.noisy("bias", 0.80)
    tiny.noisy("autorec", 0.81)
    tiny.noisy("worst", 1.6)
    assert [(s.row.plugin == "worst", s.tied) for s in tiny.rank_rows()] == [
        (False, False),
        (False, True),
        (True, False),
    ]


def test_slices_split_the_test_ratings_and_their_squares_add_up(tiny):
    record, test = tiny.noisy("bias", 0.7), tiny.test()
    cut = tiny.data.split("random90")
    met = {"user-activity": Counter(cut.train(tiny.data.ratings).users.tolist()),
           "item-popularity": Counter(cut.train(tiny.data.ratings).items.tolist())}  # fmt: skip
    errors = stored(tiny, record) - test.ratings
    for by in ("user-activity", "item-popularity", "rating"):
        ((only,),) = [[s.slices for s in tiny.rank_rows(by=by)]]
        assert sum(part.ratings for part in only) == len(test)
        total = sum(part.ratings * part.rmse**2 for part in only)
        assert total == pytest.approx(float(np.sum(errors**2)))
        for part in only:
            if by == "rating":
                mine = test.ratings == float(part.label)
            else:
                low, _, high = part.label.partition("–")
                codes = test.users if by == "user-activity" else test.items
                mine = np.array([int(low) <= met[by][code] <= int(high) for code in codes.tolist()])
            assert mine.sum() == part.ratings
            assert part.rmse == pytest.approx(float(np.sqrt(np.mean(errors[mine] ** 2))))


def test_new_users_and_items_have_a_score_of_their_own_where_there_are_any(tiny):
    tiny.noisy("bias", 0.7)
    (standing,) = tiny.rank_rows()
    assert (standing.new_users, standing.new_items) == (None, None)


def test_the_score_over_new_users_and_items_is_that_of_what_training_never_met():
    users, items = np.divmod(np.arange(400, dtype=np.int32), 20)
    alone = np.append(users, 20).astype(np.int32), np.append(items, 20).astype(np.int32)  # one user, one item, once
    table = Ratings(*alone, np.full(401, 3, np.float32), 21, 21, Scale(low=1, high=5, step=1))
    seeds = (make_split("s", RandomHoldout(seed=seed), table) for seed in range(100))
    cut = next(cut for cut in seeds if cut.report["cold_ratings"])
    truth = scoring.truth(table, cut)
    off = np.where(truth.test.users == 20, 2.0, 0.5)
    runs = [scoring.RunErrors(truth, off), scoring.RunErrors(truth, 2 * off)]
    assert _new(runs, "user-activity") == _new(runs, "item-popularity") == pytest.approx((2.5 * 4) ** 0.5)


def test_folds_are_scored_each_on_its_own_part_and_averaged(tiny):
    records = [tiny.noisy("bias", 0.5 + k / 10, split=f"5fold-{k}", seed=0) for k in range(1, 6)]
    (standing,) = tiny.rank_rows("5fold")
    expected = [metrics.rmse(stored(tiny, r), tiny.test(r.request.split.name).ratings) for r in records]
    assert standing.score == pytest.approx(np.mean(expected), rel=1e-12)
    assert standing.interval.low < standing.score < standing.interval.high
    assert sum(part.ratings for part in tiny.rank_rows("5fold", by="rating")[0].slices) == len(tiny.data.ratings)


def test_damaged_or_foreign_predictions_are_named(tiny):
    record = tiny.noisy("bias", 0.5)
    file = tiny.kept.place(record.request) / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RecordError, match="damaged or missing; run the model again anew"):
        tiny.rank_rows()


def test_predictions_of_another_length_are_named(tiny):
    record = made(0.9, run="short", fingerprint=tiny.data.split("random90").fingerprint, dataset="tiny")
    folder = tiny.kept.create(record.request)
    write_arrays(folder, RunArrays(test=np.ones(3, np.float32)))
    tiny.kept.publish(folder, record)
    with pytest.raises(RecordError, match=rf"holds 3 predictions, expected {len(tiny.test())}, one a test rating"):
        tiny.rank_rows()


# ---- as it is printed


@pytest.fixture
def ranked(tiny, terminal):
    """Three plugins, one with an underscore and two seeds, one that diverged."""
    for seed in (0, 1):
        tiny.noisy("bias", 0.8, seed=seed)
    tiny.noisy("autorec", 0.81, config={"a_b": "50 %|x"})
    tiny.noisy("autorec", 0.9, config={"a_b": "#2"})
    record = made(None, run="lost", status="diverged", plugin="deepae", dataset="tiny",
                  fingerprint=tiny.data.split("random90").fingerprint)  # fmt: skip
    tiny.kept.publish(tiny.kept.create(record.request), record)
    return terminal


def test_csv_and_json_load_back_to_the_same_numbers(ranked, tiny):
    expected = json.loads(json.dumps([s.as_dict() for s in tiny.rank_rows()]))
    assert json.loads(ranked("compare --all-runs --json").out)["rows"] == expected
    assert ranked("compare --all-runs --format json").out == ranked("compare --all-runs --json").out
    rows = list(csv.DictReader(io.StringIO(ranked("compare --all-runs --format csv").out)))
    for row, told in zip(rows, expected, strict=True):
        for name, value in told.items():
            if isinstance(value, float | int) and not isinstance(value, bool):
                assert float(row[name]) == value
            elif isinstance(value, list | dict):
                assert json.loads(row[name]) == value
            else:
                assert row[name] == ("" if value is None else str(value))


def test_markdown_has_as_many_cells_in_every_line(ranked):
    lines = ranked("compare --all-runs --format md").out.splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {lines[0].count("|")}
    assert len(lines) == 2 + 4
    assert "50 %\\|x" in "".join(lines)


def test_latex_is_a_whole_tabular_with_everything_escaped(ranked):
    said = ranked("compare --all-runs --format latex").out
    lines = [line for line in said.splitlines() if not line.startswith("%")]
    columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])[1]
    assert [lines[1], lines[3], *lines[-2:]] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    for line in [lines[2], *lines[4:-2]]:
        assert line.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
        assert not re.search(r"(?<!\\)[%#_]", line)
    assert r"a\_b=50 \%\textbar{}x" in said
    assert r"a\_b=\#2" in said


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_compiles(ranked, tmp_path):
    every = tables.latex([tables.Column("a", ["".join(sorted(tables._LATEX))]), tables.Column("b", ["ä–é…"])])
    boards = [ranked(f"compare {flags} --format latex").out for flags in ("", "--all-runs", "--pareto")]
    assert r"$\bullet$" in boards[2]
    body = "\n\n".join([every, *boards])
    (tmp_path / "board.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}", encoding="utf-8"
    )
    said = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"],
        cwd=tmp_path, capture_output=True, text=True, encoding="latin-1", check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout
    assert "Missing character" not in (tmp_path / "board.log").read_text(encoding="latin-1")


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_board_fits_the_terminal_and_uses_what_room_there_is(ranked, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = [line for line in ranked("compare --all-runs").out.splitlines() if line[:1] != "≈"]
    assert max(map(len, lines)) <= width
    heading = next(line for line in lines if "plugin" in line)
    assert "RMSE" in heading
    assert "…" not in heading
    assert "note" in heading
    assert ("MAE" in heading) == (width >= 120)
    assert ("device" in heading) == (width >= 200)


def test_the_least_important_columns_give_way_first_and_empty_ones_always():
    columns = [
        tables.Column("a", ["1"]),
        tables.Column("b", ["2"], 5),
        tables.Column("c", ["3"], 3),
        tables.Column("d", ["–"]),
    ]
    assert [c.heading for c in tables.fitting(columns, 80)] == ["a", "b", "c"]
    assert [c.heading for c in tables.fitting(columns, 8)] == ["a", "c"]
    assert [c.heading for c in tables.fitting(columns, 1)] == ["a"]


def test_marks_are_explained_where_they_are_used(ranked):
    assert "≈ cannot be told from the best" in ranked("compare").out
    assert "●" in ranked("compare --pareto").out
    assert "1 more configurations" in ranked("compare").err


def test_rows_can_be_sorted_by_cost_and_keep_their_places(ranked):
    rows = json.loads(ranked("compare --all-runs --sort plugin --json").out)["rows"]
    assert [row["plugin"] for row in rows] == sorted(row["plugin"] for row in rows)
    assert sorted(row["place"] or 9 for row in rows) == [1, 2, 3, 9]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("by", ["user-activity", "item-popularity", "rating"])
def test_slices_are_printed_with_bars_for_every_model_there_is_room_for(ranked, by, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    said = ranked(f"compare --by {by}").out
    assert max(map(len, said.splitlines())) <= width
    assert "autorec" in said
    assert ("█" in said, "bias" in said) == (width > 40, width > 40 or "bias" in said)


def test_slices_as_csv_are_a_line_a_model_and_slice(ranked):
    rows = list(csv.DictReader(io.StringIO(ranked("compare --by rating --format csv").out)))
    assert {row["plugin"] for row in rows} == {"bias", "autorec"}
    assert len({(row["plugin"], row["label"]) for row in rows}) == len(rows)


def test_compare_without_the_data_says_so_and_fetches_nothing(ranked, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(ranked.folder / "elsewhere"))
    said = ranked("compare --dataset tiny")
    assert said.status == 0
    assert "95 %" not in said.out
    assert "data set tiny is not here: scores are as the records say, without intervals and tests" in said.err
    assert not (ranked.folder / "elsewhere" / "datasets").exists()
    refused = ranked("compare --dataset tiny --by rating")
    assert refused.status == 2
    assert "--by is computed from the ratings, and data set 'tiny' is not here" in refused.err
