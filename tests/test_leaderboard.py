"""Ranking runs of one cut, and published scores apart."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cfbench import card, leaderboard
from cfbench.card import Published
from cfbench.errors import RecordError
from cfbench.record import DatasetFacts, Machine, Outcome, PluginFacts, Record, Request, Results, SplitFacts


def made(rmse, *, run, split="random90", fingerprint="f" * 64, status="finished"):
    request = Request(
        run=run, started=datetime(2026, 1, 1, tzinfo=UTC), plugin=PluginFacts(name="bias", title="t", package="p"),
        dataset=DatasetFacts(name="ml-100k", card_version=1, fingerprint="d", users=1, items=1, ratings=1),
        split=SplitFacts(name=split, protocol="", definition={}, fingerprint=fingerprint, report={}),
        preset=None, config={}, origins={}, seed=0, device="cpu",
    )  # fmt: skip
    machine = Machine(system="s", processor="p", cores=1, threads=None, python="3", libraries={})
    return Record(request=request, outcome=Outcome(status=status, rmse=rmse, mae=rmse), machine=machine)


@pytest.fixture
def results(tmp_path):
    kept = Results(tmp_path)

    def add(*records):
        for record in records:
            kept.finish(kept.begin(record.request), record)
        return kept

    return add


def board(kept, split="random90"):
    return leaderboard.build(card.load("ml-100k"), split, "f" * 64, kept)


def test_runs_are_ranked_by_rmse_and_those_without_a_score_come_last(results):
    kept = results(made(0.95, run="a"), made(None, run="b", status="diverged"), made(0.9, run="c"), made(0.99, run="d"))
    assert [record.run for record in board(kept).rows] == ["c", "a", "d", "b"]


def test_equal_scores_keep_the_order_of_time(results):
    assert [r.run for r in board(results(made(0.9, run="b"), made(0.9, run="a"))).rows] == ["a", "b"]


def test_only_runs_of_the_same_fingerprint_are_ranked_and_others_are_counted(results):
    kept = results(made(0.95, run="a"), made(0.5, run="b", fingerprint="0" * 64))
    assert [record.run for record in board(kept).rows] == ["a"]
    assert board(kept).others == 1


def test_another_split_has_another_board(results):
    kept = results(made(0.95, run="a"), made(0.5, run="b", split="u1"))
    assert [record.run for record in board(kept, "u1").rows] == ["b"]


def test_published_scores_are_those_of_the_same_protocol_best_first(results):
    scores = board(results()).published
    assert [(s.method, s.rmse) for s in scores] == [
        ("NNMF 4HL", 0.903), ("NNMF 3HL", 0.907), ("BiasedMF", 0.911), ("PMF", 0.952),
    ]  # fmt: skip
    assert {s.protocol for s in board(results(), "u1").published} == {"official fold u1"}
    assert board(results(), "last1").published == []


def test_a_protocol_is_matched_whole_not_by_its_beginning():
    score = Published(protocol="random 90/100", method="m", rmse=1, source="s")
    one = card.load("ml-100k").model_copy(update={"published": (score,)})
    assert leaderboard.published(one, "random 90/10") == []
    assert leaderboard.published(one, "") == []


def test_the_board_as_json_holds_the_same_numbers(results):
    kept = results(made(1 / 3, run="a"))
    data = json.loads(json.dumps(board(kept).as_json()))
    assert data["runs"][0]["rmse"] == 1 / 3
    assert data["runs"][0]["run"] == "a"
    assert data["fingerprint"] == "f" * 64
    assert data["published"][0]["method"] == "NNMF 4HL"


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1}'])
def test_a_record_that_cannot_be_read_is_named_in_one_line(results, text):
    kept = results(made(0.9, run="a"))
    file = Path(kept.root / "ml-100k/random90/bias/a/record.json")
    file.write_text(text)
    with pytest.raises(RecordError, match=r"record\.json is not a run record of schema 1: ") as fault:
        board(kept)
    assert "\n" not in str(fault.value)
