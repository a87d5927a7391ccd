"""`cfbench plot`: what the figures show is read back from them, and compared with what `compare` and the runs say."""

import json
import re
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest

CURVES = [[1.5, 0.9, 0.7, 0.8], [1.7, 1.1, 0.9, 0.6]]


@pytest.fixture
def board(planted_runs, terminal):
    """A terminal with three models: the best one has two seeds with curves, the second is hardly worse."""
    for seed, curve in enumerate(CURVES):
        planted_runs.add("good", 0.50, seed=seed, seconds=90.0, curve=curve, config={"k": 3})
    planted_runs.add("close", 0.505, seconds=20.0)
    planted_runs.add("poor", 0.9, seconds=0.2)
    return terminal


def rows_of(terminal, options=""):
    return json.loads(terminal(f"compare --json {options}").out)["rows"]


def test_the_board_shows_names_scores_and_intervals_of_compare(board, plot):
    figure, messages = plot("board")
    assert messages == "drew figure.svg\n"
    rows = rows_of(board)
    assert [text for text in figure.texts if text in {"good", "close", "poor"}] == ["good", "close", "poor"]
    assert [text for text in figure.texts if re.fullmatch(r"\d\.\d{4}", text)] == [f"{r['score']:.4f}" for r in rows]
    intervals = [(line[0][0], line[-1][0]) for line in figure.panel().lines("1.4")]
    for interval, row in zip(intervals, rows, strict=True):
        np.testing.assert_allclose(interval, (row["interval_low"], row["interval_high"]), atol=2e-4)
    words = shlex.split(figure.command)
    assert words == shlex.split("cfbench plot board --dataset tiny --split random90 --out figure.svg")
    assert set("".join(figure.texts)) <= figure.font
    before = figure.source
    assert board(" ".join(words[1:])).status == 0
    assert Path("figure.svg").read_text("utf-8") == before


def test_each_format_has_the_width_its_fonts_and_the_command(board, plot):
    files = "--out a.png --out b.pdf --out c.svg"
    result = board(f"plot board --width double {files}")
    assert (result.status, result.err) == (0, "drew a.png, b.pdf, c.svg\n")
    command = f"cfbench plot board --dataset tiny --split random90 --width double {files}"
    picture, document = Path("a.png").read_bytes(), Path("b.pdf").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", picture[16:20]) == (2100,)  # 7 inches of 300 dots
    assert command.encode() in picture
    assert command.encode() in document
    assert b"/FontFile2" in document  # TrueType, which publishers require
    assert b"/Type3" not in document
    assert float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", document)[1]) == pytest.approx(7 * 72)
    assert 'width="504pt"' in Path("c.svg").read_text("utf-8")
    assert plot("board --width 5.5")[0].root.get("width") == "396pt"


def test_curves_show_the_mean_of_the_seeds_and_their_band(board, plot):
    figure, messages = plot("curves")
    assert "drawn: 1 of 3 models; the others have no curve" in messages
    (line,) = figure.panel().lines("1.3")
    mean = np.mean(CURVES, axis=0)
    shown = list(zip([2, 3, 4], mean[1:], strict=True))  # the first epoch is far above the others
    np.testing.assert_allclose(line[1:], shown, atol=0.01)
    (band,) = figure.panel().bands()
    for epoch, seeds in list(enumerate(np.transpose(CURVES), 1))[1:]:
        values = [value for place, value in band if abs(place - epoch) < 0.01]
        np.testing.assert_allclose([min(values), max(values)], [seeds.min(), seeds.max()], atol=0.01)
    assert "good" in figure.texts


def test_runs_choose_what_is_drawn(board, plot):
    figure, _ = plot("board good-1 poor-0")
    rows = rows_of(board, "--all-runs")
    assert {"good", "poor"} <= set(figure.texts)
    assert "close" not in figure.texts
    assert figure.command == "cfbench plot board good-1 poor-0 --out figure.svg"
    assert f"{rows[0]['score']:.4f}" not in figure.texts  # that is the mean of both seeds
    (line,) = plot("curves good-1")[0].panel().lines("1.3")
    np.testing.assert_allclose([value for _, value in line[1:]], CURVES[1][1:], atol=0.01)


def test_the_front_goes_through_the_models_that_none_beats(board, plot):
    figure, _ = plot("pareto")
    rows = [row for row in rows_of(board) if row["pareto"]]
    heights = {round(y, 2) for _, y in figure.panel().lines("1.2")[0]}
    assert heights == {round(row["score"], 2) for row in rows}
    assert {"good", "close", "poor", "RMSE", "Pareto front", "95 % interval"} <= set(figure.texts)


def test_slices_show_the_errors_and_intervals_of_each_slice(board, plot):
    figure, _ = plot("slices --by rating")
    rows = rows_of(board, "--by rating")
    assert [t for t in figure.texts if t in {p["label"] for p in rows[0]["slices"]}][: len(rows[0]["slices"])] == [
        part["label"] for part in rows[0]["slices"]
    ]
    panel = figure.panel()
    lines = panel.lines("1.2")[::-1]  # the best model is on top
    for line, row in zip(lines, rows, strict=True):
        np.testing.assert_allclose([y for _, y in line], [part["rmse"] for part in row["slices"]], atol=0.01)
    scores = {round(x, 3): score for line in lines for x, score in line}
    intervals = panel.lines("0.8")
    assert len(intervals) == 3 * sum(part["ratings"] > 1 for part in rows[0]["slices"])  # one rating has no interval
    for (place, low), (_, high) in intervals:
        assert min(low, high) < scores[round(place, 3)] < max(low, high)
    texts = plot("slices --width double")[0].texts
    assert {"training ratings of the user", "training ratings of the item", "rating that the user gave"} <= set(texts)


@pytest.mark.slow
def test_a_study_shows_its_trials_and_the_most_important_values(plot, plant_study):
    plant_study("mine", "tiny", 12)
    figure, _ = plot("study mine")
    (best,) = figure.panel().lines("1.5")[:1]
    assert sorted({round(y, 2) for _, y in best}) == sorted({round(0.9 + (11 - n) / 12, 2) for n in range(12)})
    assert figure.texts.index("rate") < figure.texts.index("none")
    assert {"trial", "validation RMSE", "0.0001", "0.01", "8", "4,2"} <= set(figure.texts)
    assert figure.command == "cfbench plot study mine --out figure.svg"


REFUSALS = {
    "plot board --out x.jpg": "x.jpg must end in .png, .svg or .pdf, which chooses the format; such as --out x.svg",
    "plot board --out x.svg --width 1": "expected single, double or inches from 2 to 20, such as 5.5, got '1'",
    "plot board --out x.svg --width nan": "expected single, double or inches from 2 to 20, such as 5.5, got 'nan'",
    "plot board good-0 --plugin good --out x.svg": "the runs say what is drawn; leave out --dataset, --split, ",
    "plot curves close-0 --out x.svg": "none of these models has a learning curve",
    "plot board nobody --out x.svg": "no run 'nobody'",
    "plot board --split time90 --out x.svg": "no run of tiny, split time90, in results has a score; `cfbench run ",
    "plot study mine --out x.svg": "no study 'mine'",
}


def test_what_cannot_be_drawn_is_one_line(board):
    for line, message in REFUSALS.items():
        result = board(line)
        assert (result.status, result.out) == (2, ""), line
        assert message in result.err
        assert len(result.err.splitlines()) == 1
        assert not Path("x.svg").exists()


def test_runs_of_two_splits_are_not_one_figure(terminal):
    terminal("run mean")
    terminal("run mean --split time90")
    first, second = sorted(path.parent.name for path in Path("results").glob("*/*/*/*/record.json"))
    result = terminal(f"plot board {first} {second} --out x.svg")
    assert result.status == 2
    assert f"one figure needs runs on one split, but {first} is on tiny, " in result.err


def test_without_ratings_there_are_scores_and_no_intervals(board, plot, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(board.folder / "elsewhere"))
    figure, messages = plot("board --dataset tiny")
    assert "data set tiny is not downloaded: the figure has no intervals" in messages
    assert figure.panel().lines("1.4") == []
    assert "RMSE" in figure.texts
