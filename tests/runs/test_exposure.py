"""A preset that was chosen on one split has seen test ratings of another: who says so, and with which numbers."""

import json
from pathlib import Path

import pytest

from cfbench.data import card, store
from cfbench.files import data_home
from cfbench.runs.exposure import describe_exposures, find_exposure
from cfbench.runs.record import Exposure
from cfbench.runs.results import Results


@pytest.fixture
def tiny(terminal):
    """The tiny data set, and presets of `bias` that were chosen on random90 and on random90@7."""
    own = data_home() / "presets" / "bias.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[tiny]\nuser_reg = 2\n["tiny-random90@7"]\nuser_reg = 3\n[other]\nuser_reg = 4\n')
    return store.open_dataset(card.load("tiny"))


def pairs(part):
    return set(zip(part.users.tolist(), part.items.tolist(), strict=True))


@pytest.mark.parametrize(
    ("preset", "chosen_on", "split"),
    [
        ("tiny", "random90", "random80"),
        ("tiny", "random90", "random90@7"),
        ("tiny", "random90", "5fold-2"),
        ("tiny-random90@7", "random90@7", "random90"),
        ("tiny-last1", "last1", "random90"),
    ],
)
def test_the_counts_are_those_of_the_parts(tiny, preset, chosen_on, split):
    here, there = tiny.split(split), tiny.split(chosen_on)
    test = pairs(here.test(tiny.ratings))
    validated, trained = (test & pairs(part(tiny.ratings)) for part in (there.valid, there.train))
    expected = Exposure(
        preset=preset, split=chosen_on, test=len(test), validated=len(validated), trained=len(trained)
    )  # fmt: skip
    assert find_exposure(preset, tiny, here) == expected
    assert len(validated) > 0
    assert expected.share == len(validated | trained) / len(test)


@pytest.mark.parametrize(
    ("preset", "split"),
    [
        ("tiny", "random90"), ("tiny", "random90@1"), ("tiny-random90@7", "random90@7"), (None, "random80"),
        ("other", "random80"), ("tiny-of-mine", "random80"),
    ],
)  # fmt: skip
def test_a_preset_of_the_same_split_or_of_unknown_origin_has_no_counts(tiny, preset, split):
    assert find_exposure(preset, tiny, tiny.split(split)) is None


def test_the_folds_of_a_cross_validation_are_described_once():
    folds = [("a", Exposure(preset="p", split="s", test=1000, validated=40, trained=900)),
             ("b", Exposure(preset="p", split="s", test=1000, validated=60, trained=800)), ("c", None)]  # fmt: skip
    (line,) = describe_exposures(folds)
    assert line == (
        "preset p was chosen on s, where 1,800 of the 2,000 test ratings of a, b were validation (100) or training "
        "ratings (1,700); --no-preset, or preset = false in a sweep, leaves the preset out"
    )
    assert describe_exposures([("c", None)]) == []


WARNING = "preset tiny was chosen on random90, where "


def test_run_says_it_once_and_keeps_it_in_the_record(tiny, terminal):
    assert WARNING not in terminal("run bias").err
    result = terminal("run bias --split random80 --json")
    assert result.err.count(WARNING) == 1
    request = json.loads(result.out)["request"]
    stored = Exposure(**request["exposure"])
    assert stored == find_exposure("tiny", tiny, tiny.split("random80"))
    page = " ".join(terminal(f"show {request['run']}").out.split())
    assert f"has seen {stored.validated + stored.trained:,} of {stored.test:,}" in page
    assert terminal("run bias --split 5fold").err.count(WARNING) == 1
    assert WARNING not in terminal("run bias --split random80 --no-preset").err


@pytest.mark.slow
def test_tune_and_its_runs_and_a_sweep_say_it_once(tiny, terminal):
    result = terminal("tune bias --split random90@7 --trials 2 --then-run --seeds 2 --json")
    assert result.err.count(WARNING) == 1
    assert all(each["request"]["exposure"]["split"] == "random90" for each in json.loads(result.out)["runs"])
    assert WARNING not in terminal("tune bias --trials 2").err
    Path("s.toml").write_text(
        'datasets = ["tiny"]\nsplits = ["5fold", "random90"]\nseeds = [0, 1]\n[[plugins]]\nname = "bias"\n'
    )
    assert terminal("sweep s.toml").err.count(WARNING) == 1


def test_a_preset_that_tune_saved_is_known_by_its_split(terminal):
    assert terminal("tune bias --split random90@7 --trials 2 --save-preset").status == 0
    err = terminal("run bias --preset tiny-random90@7").err
    assert err.count("preset tiny-random90@7 was chosen on random90@7, where ") == 1
    assert "was chosen on" not in terminal("run bias --preset tiny-random90@7 --split random90@7").err


def test_compare_marks_the_row_and_explains_the_mark(tiny, terminal):
    terminal("run bias --split random80")
    terminal("run mean --split random80")
    rows = json.loads(terminal("compare --split random80 --json").out)["rows"]
    exposure = find_exposure("tiny", tiny, tiny.split("random80"))
    assert {row["plugin"]: (row["preset_met_test"], row["test_share_met"], row["note"]) for row in rows} == {
        "bias": (True, exposure.share, "preset met test ratings"), "mean": (False, None, ""),
    }  # fmt: skip
    board = " ".join(terminal("compare --split random80").out.split())
    assert f"where {exposure.share:.0%} of the test ratings of this one were training or validation ratings" in board
    assert "met test" not in terminal("compare").out


def test_an_older_record_without_counts_is_marked_by_the_name_of_its_preset(tiny, terminal):
    terminal("run bias --split random80")
    _, folder = Results(Path("results")).find("last")
    old = json.loads((folder / "record.json").read_text())
    del old["request"]["exposure"]
    (folder / "record.json").write_text(json.dumps(old))
    board = " ".join(terminal("compare --split random80").out.split())
    assert "the preset was chosen on another split, where some test ratings of this one were" in board
