"""What a person types, and what they read: commands, exit codes, messages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfbench.cli import app, options
from cfbench.data import store
from cfbench.files import data_home

SMALL = "--hidden 16 --epochs 3 --batch-size 16"


def python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | env
    ).stdout


def test_importing_cfbench_and_its_command_line_loads_nothing_heavy():
    code = "import sys, cfbench, cfbench.cli; print([m for m in {heavy} if m in sys.modules])"
    heavy = ["torch", "optuna", "pandas", "polars", "numpy", "pydantic", "requests", "implicit", "surprise"]
    assert python(code.format(heavy=heavy)).strip() == "[]"


def test_help_of_the_whole_and_of_run_loads_no_torch():
    code = (
        "import sys\nfrom cfbench.cli import main\ntry: main({line})\nexcept SystemExit: print('torch' in sys.modules)"
    )
    for line in (["--help"], ["run", "--help"], ["compare", "--help"]):
        assert python(code.format(line=line)).strip().endswith("False")


@pytest.mark.parametrize("command", [[], *([name] for name in app.ORDER), ["run", "bias"], ["run", "deepae"]])
def test_every_command_and_every_option_has_help(command, empty_terminal):
    import typer

    said = empty_terminal(" ".join([*command, "--help"]))
    assert said.status == 0
    assert "Usage: cfbench" in said.out
    at = typer.main.get_command(app.app)
    context = at.make_context("cfbench", [], resilient_parsing=True)
    for name in command:
        _, at, _ = at.resolve_command(context, [name])
    assert at.help
    for parameter in at.params:
        assert getattr(parameter, "help", ""), f"{command}: {parameter.name} has no help"


def test_the_help_of_a_plugin_lists_its_options_with_ranges_and_defaults(empty_terminal):
    words = " ".join(empty_terminal("run deepae --help").out.replace("│", " ").split())
    for flag in ("--hidden", "--refeed", "--weight-decay", "--tied", "--no-tied", "--device", "--seed"):
        assert flag in words
    assert "rate on the code (≥ 0; < 1; tuned over 0–0.9; default: 0.8)" in words
    assert "selu|elu|relu" in words
    assert "--refeed" not in empty_terminal("run bias --help").out


def test_bare_commands_show_their_help(empty_terminal):
    for line in ("", "run"):
        said = empty_terminal(line)
        assert said.status == 0
        assert "Usage:" in said.out


def test_the_version_is_said(empty_terminal):
    assert empty_terminal("--version").out == "cfbench 0.1.0\n"


def test_download_shows_the_terms_once_and_makes_the_set_current(empty_terminal):
    first = empty_terminal("download tiny --from-file tiny.zip")
    assert first.status == 0
    assert "Do what you like with tiny." in first.err
    assert "now the current data set" in first.err
    assert store.current() == "tiny"
    again = empty_terminal("download tiny --again --from-file tiny.zip")
    assert again.status == 0
    assert "Do what you like" not in again.err


def test_run_fetches_what_is_not_there(empty_terminal, monkeypatch):

    monkeypatch.setattr(options, "DEFAULT_DATASET", "tiny")
    monkeypatch.setattr(store, "fetch", lambda card, folder, **_: (Path("tiny.zip"), card.sources[0]))
    said = empty_terminal("run bias")
    assert said.status == 0
    assert "test RMSE" in said.out
    assert "bias on tiny, split random90" in said.err


def test_a_preset_on_another_split_than_it_was_chosen_on_is_said_to_have_met_some_of_its_test_ratings(terminal):
    own = data_home() / "presets" / "bias.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[tiny]\nuser_reg = 2\n")
    said = "preset tiny was chosen by random90's validation ratings, and some of them are test ratings of"
    assert said not in terminal("run bias").err
    assert f"{said} random80; --no-preset leaves it out" in terminal("run bias --split random80").err
    assert f"{said} 5fold;" in terminal("run bias --split 5fold").err
    assert said not in terminal("run bias --split random80 --no-preset").err


def test_a_run_says_data_set_split_preset_seed_and_device_and_its_scores(terminal):
    said = terminal(f"run deepae {SMALL} --seed 4")
    assert said.status == 0
    assert "deepae on tiny, split random90 (" in said.err
    assert "no preset, seed 4, cpu" in said.err
    assert "chosen by validation RMSE" in said.out
    assert said.out.count("\n") == 1


def test_a_run_of_epochs_without_a_validation_part_says_nothing_of_validation(terminal):
    said = terminal("run autorec --dataset tiny --split 5fold-1 --epochs 2 --hidden 4")
    assert said.status == 0
    assert "test RMSE" in said.out
    assert "validation" not in said.out


def test_run_as_json_is_the_record(terminal):
    said = terminal("run bias --json")
    record = json.loads(said.out)
    assert record["outcome"]["status"] == "finished"
    assert json.loads(terminal("show last --json").out)["outcome"] == record["outcome"]


def test_skip_finished_does_nothing_the_second_time(terminal):
    assert "test RMSE" in terminal("run bias --skip-finished").out
    second = terminal("run bias --skip-finished")
    assert second.status == 0
    assert second.out == ""
    assert "already there: run" in second.err
    told = terminal("run bias --skip-finished --json")
    assert json.loads(told.out) == json.loads(terminal("run bias --skip-finished --json").out)
    assert json.loads(told.out)["request"]["run"] in second.err
    assert "test RMSE" in terminal("run bias --skip-finished --seed 1").out


def test_a_split_that_is_not_known_fetches_nothing(empty_terminal):
    said = empty_terminal("run bias --dataset tiny --split nosuch")
    assert said.status == 2
    assert said.err.startswith("error: no split 'nosuch'")
    assert said.err.count("\n") == 1


def test_compare_ranks_runs_and_shows_published_scores_apart(terminal):
    terminal("run bias")
    terminal(f"run deepae {SMALL}")
    said = terminal("compare")
    lines = [line.split() for line in said.out.splitlines() if line.strip()]
    assert "tiny" not in lines[1]
    assert [line[0] for line in lines if line[1:2] in (["bias"], ["deepae"])] == ["1", "2"]
    assert said.out.index("Published, measured elsewhere") > said.out.index("deepae")
    assert "Oracle" in said.out
    assert "Stranger" not in said.out
    data = json.loads(terminal("compare --json").out)
    assert [row["rmse"] for row in data["rows"]] == sorted(row["rmse"] for row in data["rows"])
    assert {"rmse", "mae", "fit_seconds", "parameters", "device", "seeds"} <= set(data["rows"][0])


def test_the_leaderboard_fits_80_columns(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    terminal("run bias")
    terminal(f"run deepae {SMALL}")
    said = terminal("compare")
    assert max(map(len, said.out.splitlines())) <= 80
    assert "…" not in said.out


def test_compare_without_runs_says_how_to_make_one(terminal):
    said = terminal("compare")
    assert said.status == 0
    assert "no runs of tiny, split random90, in results; `cfbench run deepae` makes one" in said.err


def test_a_diverged_run_is_listed_with_its_status(terminal):
    assert terminal(f"run deepae {SMALL} --lr 1e6").status == 0
    assert "diverged" in terminal("compare").out


def test_show_tells_all_and_where_values_came_from(terminal):
    terminal(f"run deepae {SMALL}")
    said = terminal("show last")
    for text in ("hidden", "16 (flag)", "1 (default)", "test RMSE", "peak memory", "versions", "random90"):
        assert text in said.out


def test_predict_answers_pairs_files_and_json(terminal):
    terminal("run bias")
    piped = terminal("predict last u1,i2 u3,i4")
    assert piped.out.splitlines()[0] == "user,item,prediction,title"
    assert piped.out.splitlines()[1].startswith("u1,i2,")
    assert '"Film 2, The"' in piped.out
    Path("pairs.csv").write_text("user,item\nu1,i2\n\nu3,i4\n")
    assert terminal("predict last --file pairs.csv").out == piped.out
    Path("pairs.tsv").write_text("u1\ti2\nu3\ti4\n")
    assert terminal("predict last --file pairs.tsv").out == piped.out
    Path("marked.csv").write_text("user,item\nu1,i2\nu3,i4\n", encoding="utf-8-sig")  # as spreadsheets do
    assert terminal("predict last --file marked.csv").out == piped.out
    rows = json.loads(terminal("predict last u1,i2 --json").out)
    assert 1 <= rows[0]["prediction"] <= 5
    assert rows[0]["title"] == "Film 2, The"
    terminal("predict last u1,i2 u3,i4 --output there.csv")
    assert Path("there.csv").read_text() == piped.out


def test_datasets_plugins_and_doctor_report_in_tables_and_json(terminal):
    assert "current" in terminal("datasets").out
    assert json.loads(terminal("datasets --json").out)[0]["downloaded"] is True
    assert "Kuchaiev" in terminal("plugins").out
    assert {row["name"] for row in json.loads(terminal("plugins --json").out)} >= {"bias", "deepae"}
    facts = json.loads(terminal("doctor --json").out)
    assert {"python", "torch", "devices", "data folder", "results folder"} <= set(facts)
    assert "CFBENCH_DATA" in terminal("doctor").out


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("download tiyn", 2, "no data set 'tiyn'; did you mean 'tiny'?; see `cfbench datasets`"),
        ("run deepea", 2, "no plugin 'deepea'; did you mean 'deepae'?; see `cfbench plugins`"),
        ("run deepae --refed 1", 2, "No such option: --refed"),
        ("run deepae --dropout 2", 2, "--dropout: should be less than 1, got '2'"),
        ("run deepae --preset papr-full", 2, "no preset 'papr-full'; did you mean 'paper-full'?; plugin deepae"),
        ("run bias --split randm90", 2, "no split 'randm90'; did you mean 'random90'?; data set tiny"),
        ("run bias --split random90@x", 2, "no split 'random90@x'"),
        ("run bias --device cuda", 1, "bias computes on the CPU only"),
        ("run --resume nope", 2, "no interrupted run 'nope'; there are none yet"),
        ("run --resume nope bias", 2, "--resume takes no plugin"),
        ("show nope", 2, "no run 'nope'; there are none yet"),
        ("show", 2, "Missing argument 'RUN'; see `cfbench show --help`"),
        ("predict last", 2, "nothing to predict: give USER,ITEM pairs or --file PATH"),
        ("predict last 5", 2, "argument '5': expected USER,ITEM, such as 196,242"),
        ("predict last --file nowhere.csv", 2, "cannot read nowhere.csv"),
        ("comper", 2, "No such command 'comper'. Did you mean 'compare'?"),
        ("download tiny --again --from-file other.zip", 1, "other.zip"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_so(line, status, message, terminal):
    said = terminal(line)
    assert said.status == status
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: ")
    assert said.out == ""


def test_every_wrong_hyper_parameter_is_told_at_once(terminal):
    said = terminal("run deepae --dropout 2 --lr -1 --hidden x")
    assert said.status == 2
    assert len(said.err.splitlines()) == 3


def test_unknown_ids_are_named(terminal):
    terminal("run bias")
    assert "no user 'u999'" in terminal("predict last u999,i1").err
    assert "no item 'i999'" in terminal("predict last u1,i999").err


def test_ctrl_c_says_how_to_go_on_and_ends_with_130(terminal, monkeypatch):
    from cfbench.cli import console

    def interrupt(self, epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(console.RunProgress, "epoch", interrupt)
        said = terminal(f"run deepae {SMALL}")
    assert said.status == 130
    line = next(line for line in said.err.splitlines() if line.startswith("stopped after epoch 2; go on with: "))
    assert "interrupted: " in terminal("compare").err
    command = line.partition("go on with: cfbench ")[2]
    resumed = terminal(command)
    assert resumed.status == 0
    assert "test RMSE" in resumed.out
    assert "interrupted: " not in terminal("compare").err


def test_compare_tells_of_interrupted_runs_of_its_own_split_alone(terminal, monkeypatch):
    from cfbench.cli import console

    def interrupt(self, run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(console.RunProgress, "begin", interrupt)
        terminal("run bias --split 5fold-2")
    assert "interrupted: " not in terminal("compare").err
    for split in ("5fold-2", "5fold"):
        assert terminal(f"compare --split {split}").err.count("interrupted: ") == 1


def test_ctrl_c_elsewhere_ends_quietly_with_130(terminal, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "open_dataset", interrupt)
    said = terminal("compare")
    assert (said.status, said.err) == (130, "")


def test_ctrl_c_before_the_command_is_read_ends_quietly_with_130(terminal, monkeypatch):
    import typer

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.main, "get_command", interrupt)
    said = terminal("compare")
    assert (said.status, said.out, said.err) == (130, "", "")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system where no folder can be made")
def test_a_place_where_no_folder_can_be_made_is_one_line(terminal):
    said = terminal("run bias --results /proc/x")
    assert said.status == 1
    assert "error: cannot write /proc/x" in said.err
    assert "none can be made there; choose another folder with --results or CFBENCH_RESULTS" in said.err
    assert "Traceback" not in said.err


def test_piped_output_has_no_colours_and_no_bars(terminal):
    terminal("run bias")
    said = terminal("compare")
    assert "\x1b" not in said.out + said.err


def test_no_color_is_honoured_on_a_terminal():
    code = "from cfbench.cli.console import out; out().print('[bold red]x[/]')"
    assert "\x1b[1;31m" in python(code, FORCE_COLOR="1", TERM="xterm")
    assert "31m" not in python(code, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm")


def test_a_reader_that_goes_away_is_no_error(terminal):
    terminal("run bias")
    driver = "import sys\nfrom cfbench import cli\nfrom cfbench.data import card\nfrom pathlib import Path\ncard._FOLDER = Path('cards').absolute()\ncli.main(sys.argv[1:])"  # noqa: E501
    command = subprocess.Popen(
        [sys.executable, "-c", driver, "show", "last"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    command.stdout.close()
    err = command.stderr.read()
    command.stderr.close()
    command.wait(60)
    assert err == b""


def test_the_split_that_commands_use_is_the_default_one():
    from cfbench.data import split

    assert options.DEFAULT_SPLIT == split.DEFAULT_SPLIT


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_list_keeps_names_and_counts_whole_at_any_width(width, tmp_path, monkeypatch):
    (tmp_path / "current").write_text("ml-100k\n")
    monkeypatch.setenv("CFBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", str(width))
    code = "from cfbench import cli; cli.main(['datasets'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert max(map(len, said.splitlines())) <= width
    assert "…" not in said
    assert "ml-latest-small" in said
    assert ("100,480,507" in said) == (width > 40)
    assert ("CC BY-SA" in said) == (width == 200)
