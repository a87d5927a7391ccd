"""What `cfbench compare` prints: tables in the width of the terminal, CSV, JSON, Markdown and LaTeX."""

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from cfbench.cli import console
from cfbench.cli.view import tables
from cfbench.leaderboard.columns import row_data


@pytest.fixture
def ranked(tiny, terminal):
    """A terminal with three plugins: one with an underscore and two configs, one with two seeds, one that diverged."""
    for seed in (0, 1):
        tiny.add_noisy("bias", 0.8, seed=seed)
    tiny.add_noisy("autorec", 0.81, config={"a_b": "50 %|x"})
    tiny.add_noisy("autorec", 0.9, config={"a_b": "#2"})
    tiny.store(tiny.record(None, status="diverged", plugin="deepae"))
    return terminal


def test_json_loads_back_to_the_same_numbers(ranked, tiny):
    expected = json.loads(json.dumps([row_data(row) for row in tiny.rank()]))
    assert json.loads(ranked("compare --all-runs --json").out)["rows"] == expected
    assert ranked("compare --all-runs --format json").out == ranked("compare --all-runs --json").out


def as_csv(value):
    """A JSON value as it stands in a CSV file."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def test_csv_holds_the_values_of_the_json_rows_in_full(ranked):
    expected = json.loads(ranked("compare --all-runs --json").out)["rows"]
    lines = list(csv.DictReader(io.StringIO(ranked("compare --all-runs --format csv").out)))
    assert lines == [{name: as_csv(value) for name, value in row.items()} for row in expected]


def test_csv_of_slices_has_a_line_for_each_model_and_slice(ranked):
    lines = list(csv.DictReader(io.StringIO(ranked("compare --by rating --format csv").out)))
    assert {line["plugin"] for line in lines} == {"bias", "autorec"}
    assert len({(line["plugin"], line["label"]) for line in lines}) == len(lines)


def test_markdown_has_the_same_number_of_cells_in_every_line(ranked):
    lines = ranked("compare --all-runs --format md").out.splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {lines[0].count("|")}
    assert len(lines) == 2 + 4
    assert "50 %\\|x" in "".join(lines)


def test_latex_is_a_complete_tabular_with_special_characters_escaped(ranked):
    text = ranked("compare --all-runs --format latex").out
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])[1]
    assert [lines[1], lines[3], *lines[-2:]] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    for line in [lines[2], *lines[4:-2]]:
        assert line.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
        assert not re.search(r"(?<!\\)[%#_]", line)
    assert r"a\_b=50 \%\textbar{}x" in text
    assert r"a\_b=\#2" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_compiles(ranked, tmp_path):
    characters = "".join(sorted(tables.LATEX_ESCAPES))
    escapes = tables.latex([tables.Column("a", [characters]), tables.Column("b", ["ä–é…"])])
    boards = [ranked(f"compare {flags} --format latex").out for flags in ("", "--all-runs", "--pareto")]
    assert r"$\bullet$" in boards[2]
    body = "\n\n".join([escapes, *boards])
    (tmp_path / "board.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}", encoding="utf-8"
    )
    process = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"],
        cwd=tmp_path, capture_output=True, text=True, encoding="latin-1", check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    assert "Missing character" not in (tmp_path / "board.log").read_text(encoding="latin-1")


@pytest.mark.parametrize(
    ("width", "shows_mae", "shows_device"),
    [(60, False, False), (80, False, False), (120, True, False), (200, True, True)],
)
def test_the_table_fits_the_terminal_and_uses_its_width(ranked, width, shows_mae, shows_device, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    out = ranked("compare --all-runs").out
    table = out[: out.index("95 %, to best")].splitlines()
    heading = next(line for line in table if "plugin" in line)
    assert max(len(line) for line in table if ": one seed" not in line) <= width
    assert "RMSE" in heading
    assert "…" not in heading
    assert "diverged" in out
    assert ("MAE" in heading) == shows_mae
    assert ("device" in heading) == shows_device


def test_the_least_important_columns_are_dropped_first_and_empty_ones_always():
    columns = [
        tables.Column("a", ["1"]),
        tables.Column("b", ["2"], priority=5),
        tables.Column("c", ["3"], priority=3),
        tables.Column("d", ["–"]),
    ]
    assert [column.heading for column in tables.fit_width(columns, 80)] == ["a", "b", "c"]
    assert [column.heading for column in tables.fit_width(columns, 8)] == ["a", "c"]
    assert [column.heading for column in tables.fit_width(columns, 1)] == ["a"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_column_is_shown_or_named_below_the_table_and_the_run_is_always_shown(ranked, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    every = set(re.split(" {3,}", ranked("compare --all-runs").out.splitlines()[2].strip())) - {"note"}
    console.out.cache_clear()
    monkeypatch.setenv("COLUMNS", str(width))
    out = ranked("compare --all-runs").out
    shown = re.split(" {3,}", next(line for line in out.splitlines() if "plugin" in line).strip())
    named = " ".join(out[out.index("no room for: ") :].split()).partition("; --columns")[0]
    assert every == {*shown, *named.removeprefix("no room for: ").split(", ")} - {"note"}
    assert "run" in shown or width < 80
    assert {"device", "MAE"} <= every


def test_named_columns_are_shown_in_their_order_at_any_width(ranked, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    out = ranked("compare --columns run,plugin,95,to-best,fit,valid_rmse,device").out
    table = [line for line in out.splitlines() if "autorec" in line or "plugin" in line]
    assert table[0].split() == ["run", "plugin", "95", "%", "to", "best", "fit", "valid", "device"]
    assert "…" not in out
    assert "cpu" in table[1]
    assert "no room" not in out
    markdown = ranked("compare --columns plugin,RMSE --format md").out
    assert markdown.startswith("| plugin | RMSE |\n")


def test_an_unknown_column_is_a_one_line_error_and_nothing_is_printed(ranked):
    for options in ("--columns plugin,vaild", "--columns bias,vaild --by rating", "--columns vaild --format md"):
        result = ranked(f"compare {options}")
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
        assert "no column 'vaild'" in result.err
    assert "--columns chooses columns of tables" in ranked("compare --columns plugin --format csv").err


def test_marks_are_explained_where_they_are_used(ranked):
    assert "≈ does not differ significantly from the best" in ranked("compare").out
    assert "●" in ranked("compare --pareto").out


@pytest.mark.parametrize(
    ("clusters", "words"),
    [
        ("user", "other users like these, the same items"),
        ("item", "other items like these, the same users"),
        ("both", "other users and items like these"),
    ],
)
def test_the_legend_says_for_what_the_intervals_hold(ranked, clusters, words):
    out = ranked(f"compare --clusters {clusters}").out
    assert f"95 %, to best, places: for {words}" in out
    assert "± seeds: the spread over seeds, which 95 %, to best and places include" in out
    assert json.loads(ranked(f"compare --clusters {clusters} --json").out)["clusters"] == clusters


def test_one_seed_of_a_random_plugin_is_marked_and_the_mark_is_explained(tiny, terminal):
    tiny.add_noisy("bias", 0.8)  # it draws no random numbers
    assert "one seed" not in terminal("compare").out
    assert "± seeds:" not in terminal("compare").out
    tiny.add_noisy("svd", 0.8)
    assert "one seed: the numbers hold for this seed" in terminal("compare").out
    rows = json.loads(terminal("compare --json").out)["rows"]
    assert {row["plugin"]: row["one_seed"] for row in rows} == {"bias": False, "svd": True}


def test_the_number_of_configs_that_are_not_shown_is_printed(ranked):
    assert "configs not shown: 1; each plugin is shown with its best in validation" in ranked("compare").err


def test_a_plugin_that_knows_the_date_is_noted_and_the_note_is_explained(tiny, terminal):
    tiny.add_noisy("bias", 0.8)
    tiny.add_noisy("timed", 0.3, uses_times=True)
    assert "knows the date: the model is given the time of each rating that it predicts" in terminal("compare").out
    rows = json.loads(terminal("compare --json").out)["rows"]
    assert [(row["plugin"], row["uses_times"], row["note"]) for row in rows] == [
        ("timed", True, "one seed, knows the date"), ("bias", False, ""),
    ]  # fmt: skip


def test_notes_move_below_a_table_that_is_too_narrow_for_them(tiny, terminal, monkeypatch):
    tiny.add_noisy("bias", 0.8)
    tiny.add_noisy("timed", 0.3, uses_times=True)
    monkeypatch.setenv("COLUMNS", "70")
    narrow = terminal("compare").out
    assert "95 %" in narrow.splitlines()[2]
    assert "\ntimed: one seed, knows the date\n" in narrow


def test_a_wide_table_has_the_notes_in_a_column(tiny, terminal, monkeypatch):
    tiny.add_noisy("timed", 0.3, uses_times=True)
    monkeypatch.setenv("COLUMNS", "250")
    wide = terminal("compare").out
    assert "note" in wide.splitlines()[2]
    assert "timed: one seed" not in wide


def test_a_table_without_such_plugins_does_not_explain_it(ranked):
    assert "knows the date" not in ranked("compare").out


def test_rows_can_be_sorted_by_another_column_and_keep_their_places(ranked):
    rows = json.loads(ranked("compare --all-runs --sort plugin --json").out)["rows"]
    assert [row["plugin"] for row in rows] == sorted(row["plugin"] for row in rows)
    assert sorted(row["place"] or 9 for row in rows) == [1, 2, 3, 9]


def test_rows_whose_value_is_unknown_are_sorted_last(ranked):
    rows = json.loads(ranked("compare --all-runs --sort mae --json").out)["rows"]
    scores = [row["mae"] for row in rows]
    assert scores == [*sorted(scores[:3]), None]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("by", ["user-activity", "item-popularity", "rating"])
def test_slices_are_printed_with_bars_for_every_model(ranked, by, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    text = ranked(f"compare --by {by}").out
    assert max(map(len, text.splitlines())) <= width
    assert "autorec" in text
    assert "bias" in text
    assert "█" in text


@pytest.mark.parametrize("by", ["user-activity", "item-popularity", "rating"])
def test_slices_on_a_narrow_terminal_have_no_bars(ranked, by, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = ranked(f"compare --by {by}").out
    assert max(map(len, text.splitlines())) <= 40
    assert "autorec" in text
    assert "█" not in text


@pytest.mark.parametrize("by", ["user-activity", "item-popularity", "rating"])
@pytest.mark.parametrize("width", [20, 40, 80])
def test_slices_of_many_models_are_transposed_and_none_is_hidden(tiny, terminal, by, width, monkeypatch):
    models = [f"model-{index}" for index in range(9)]
    for index, model in enumerate(models):
        tiny.add_noisy(model, 0.3 + index / 10)
    slices = json.loads(terminal(f"compare --by {by} --json").out)["rows"]
    monkeypatch.setenv("COLUMNS", str(width))
    rows = {}
    for line in terminal(f"compare --by {by}").out.splitlines():
        name, *cells = line.split() or [""]
        rows.setdefault(name, []).extend(cells)
    for row in slices:
        assert rows[row["plugin"]] == [f"{part['rmse']:.4f}" for part in row["slices"]]
    assert rows["tested"] == [f"{part['ratings']:,}" for part in slices[0]["slices"]]


def test_compare_without_the_data_set_says_so_and_downloads_nothing(ranked, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(ranked.folder / "elsewhere"))
    compared = ranked("compare --dataset tiny")
    assert compared.status == 0
    assert "95 %" not in compared.out
    assert "data set tiny is not downloaded: the scores come from the records, without intervals" in compared.err
    assert not (ranked.folder / "elsewhere" / "datasets").exists()


def test_slices_need_the_data_set(ranked, monkeypatch):
    monkeypatch.setenv("CFBENCH_DATA", str(ranked.folder / "elsewhere"))
    refused = ranked("compare --dataset tiny --by rating")
    assert refused.status == 2
    assert "--by is computed from the ratings, and data set 'tiny' is not downloaded" in refused.err
