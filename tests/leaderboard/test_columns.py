"""The declaration of the columns: what scripts get, and what tables get."""

import pytest

from cfbench.cli.view.board_columns import format_columns
from cfbench.leaderboard.columns import COLUMNS, row_data, table_columns

CSV_COLUMNS = [
    "place", "plugin", "config_source", "score", "interval_low", "interval_high", "seeds", "sd", "difference",
    "difference_low", "difference_high", "p_value", "tied", "rmse", "mae", "user_rmse", "new_user_rmse",
    "new_item_rmse", "coverage", "valid_rmse", "fit_seconds", "predict_seconds", "peak_memory", "peak_device_memory",
    "parameters", "device", "pareto", "note", "preset", "config", "runs",
]  # fmt: skip


def headings(columns):
    return [column.heading for column in columns]


def test_scripts_find_the_columns_of_the_first_version_at_their_positions(runs):
    runs.add(0.9, run="a")
    (row,) = runs.rank()
    assert list(row_data(row))[: len(CSV_COLUMNS)] == CSV_COLUMNS


def test_every_key_and_every_heading_is_declared_once():
    keys = [column.key for column in COLUMNS if column.key is not None]
    assert len(set(keys)) == len(keys)
    shown = [column.heading for column in COLUMNS if column.heading is not None]
    assert len(set(shown)) == len(shown)
    assert all(column.key is not None or column.heading is not None for column in COLUMNS)


@pytest.mark.parametrize(
    ("metric", "scores"),
    [
        ("rmse", ["RMSE", "MAE", "user RMSE"]),
        ("mae", ["MAE", "RMSE", "user RMSE"]),
        ("user-rmse", ["user RMSE", "RMSE", "MAE"]),
    ],
)
def test_a_table_shows_the_metric_that_ranks_first_and_each_metric_once(metric, scores):
    shown = headings(table_columns(metric))
    assert [heading for heading in shown if heading in scores] == scores
    assert shown[:3] == ["", "plugin", scores[0]]


def test_the_mark_of_the_pareto_front_is_shown_on_request():
    assert "front" not in headings(table_columns("rmse"))
    assert headings(table_columns("rmse", pareto=True))[:3] == ["", "front", "plugin"]


def test_cells_show_values_a_dash_for_unknown_ones_and_nothing_where_there_is_nothing_to_say(runs):
    for seed in (0, 1):
        runs.add(0.9 + seed, run=f"a-{seed}", seed=seed, valid=0.8, seconds=75.0, report={"test": 8, "cold_ratings": 1})
    runs.add(None, run="b-2", plugin="lost", status="failed", seconds=None)
    columns = format_columns(table_columns("rmse", pareto=True), runs.rank())
    cells = {column.heading: column.cells for column in columns}
    expected = {
        "": ["1", ""], "front": ["●", ""], "plugin": ["bias", "lost"], "RMSE": ["1.4000", "–"], "95 %": ["–", "–"],
        "to best": ["", ""], "p": ["", "–"], "± seeds": ["0.7071 (2)", ""], "MAE": ["1.4000", "–"],
        "user RMSE": ["–", "–"], "new users": ["–", "–"], "new items": ["–", "–"], "coverage": ["87.50%", "–"],
        "valid": ["0.8000", "–"], "fit": ["1 m 15 s", "–"], "predict": ["–", "–"], "memory": ["–", "–"],
        "parameters": ["7", "7"], "config": ["default", "default"], "settings": ["", ""], "device": ["cpu", "cpu"],
        "seed": ["0,1", ""], "run": ["1", "2"], "note": ["", "failed"],
    }  # fmt: skip
    assert {heading: cells[heading] for heading in expected} == expected


def test_texts_and_marks_are_aligned_to_the_left_and_numbers_to_the_right(runs):
    columns = format_columns(table_columns("rmse", pareto=True), runs.rank())
    left = {column.heading for column in columns if not column.right}
    assert {"", "front", "plugin", "config", "settings", "device", "seed", "run", "note"} <= left
    assert left.isdisjoint({"RMSE", "95 %", "to best", "p", "± seeds", "coverage", "fit", "memory", "parameters"})
