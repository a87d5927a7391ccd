"""The published leaderboards: their runs are complete and small, and docs/results.md shows the same numbers."""

import subprocess
from pathlib import Path

import pytest

from cfbench.data import card
from cfbench.leaderboard.board import build_board
from cfbench.leaderboard.ranking import rank_rows
from cfbench.runs import arrays, record
from cfbench.runs.results import Results

ROOT = Path(__file__).parents[1]


def published():
    """The files of results/ that are in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "results"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a clone")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_the_published_results_are_small_and_hold_no_model_and_no_rating():
    files = published()
    assert sum(file.stat().st_size for file in files) <= 25_000_000
    assert {file.name for file in files} == {
        "README.md", "record.json", "predictions.parquet", "valid_predictions.parquet", "curve.parquet",
    }  # fmt: skip


def test_every_published_run_is_finished_and_its_predictions_are_those_it_was_scored_by():
    folders = [file.parent for file in published() if file.name == "record.json"]
    assert len(folders) > 50
    for folder in folders:
        stored = record.read_record(folder / "record.json")
        assert stored.outcome.status == "finished"
        assert len(arrays.read_predictions(folder)) == stored.request.split.report["test"]
        assert str(Path.home()) not in (folder / "record.json").read_text()


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory):
    """A copy of the published runs. A developer has other runs in the same folder."""
    folder = tmp_path_factory.mktemp("published")
    for file in published():
        copy = folder / file.relative_to(ROOT / "results")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("dataset", ["ml-100k", "ml-1m"])
def test_the_page_shows_the_published_leaderboard(dataset, published_folder):
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    table = text.partition(f"`{dataset}`, split `random90`")[2].partition("\n\n|")[2].partition("\n\n")[0]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    results = Results(published_folder)
    board = build_board(card.load(dataset), "random90", results)
    rows = [ranked_row.row for ranked_row in rank_rows(board, results, None)]
    assert [(cells[1], cells[2]) for cells in shown] == [(row.plugin, f"{row.rmse:.4f}") for row in rows]
    seeds = [f"{row.sd:.4f} ({len(row.seeds)})" if row.sd is not None else "" for row in rows]
    assert [cells[4] for cells in shown] == seeds
    for cells in shown:
        low, high = map(float, cells[3].split("–"))
        assert low < float(cells[2]) < high


@pytest.mark.slow
@pytest.mark.online
@pytest.mark.parametrize("dataset", ["ml-100k", "ml-1m"])
def test_the_published_scores_and_intervals_come_out_of_the_ratings_again(dataset, published_folder, movielens):
    data, results = movielens(dataset), Results(published_folder)
    cut = data.split("random90")
    board = build_board(data.card, "random90", results, {"random90": cut.fingerprint})
    assert board.left_out == 0
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    for ranked_row in rank_rows(board, results, data):
        assert ranked_row.score == pytest.approx(ranked_row.row.rmse, abs=1e-6)
        assert f"| {ranked_row.interval.low:.4f}–{ranked_row.interval.high:.4f} |" in text
