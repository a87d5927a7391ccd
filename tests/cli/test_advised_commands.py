"""Every command that a message advises is typed in another folder, without CFBENCH_RESULTS, and works."""

import ast
import contextlib
import re
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from cfbench import advice
from cfbench.cli import app, progress
from cfbench.cli.tune import command as tune_command
from cfbench.contract import Config, Context, Plugin
from cfbench.data import card
from cfbench.errors import RecordError, UsageError
from cfbench.plugins import bias
from cfbench.runs import inventory
from cfbench.runs.results import Results
from cfbench.testing import declaration

ROOT = Path(__file__).parents[2]
NAME = Path("my runs")
"""The results folder of these tests: not the default one, and to be quoted."""
EXPERIMENT = """
name = "own"
title = "t"
setup = "s"
claims = [{ text = "c", kind = "order", measure = "test", order = [["biases"], ["mean"]] }]
arms = [{ label = "mean", plugin = "mean" }, { label = "biases", plugin = "bias" }]
scales.tiny.seeds = 1
"""
WRITES_DOCUMENTS = {"cli/view/experiment_document.py"}
"""Modules that write documents; test_docs.py types the commands in them."""
STARTS_COMMANDS = {"cli/board/app.py", "cli/board/launcher.py"}
"""Modules that start command lines themselves; tests/cli/board starts them."""
MENTIONS = ("option of `cfbench run`", "options of `cfbench run`", "`cfbench run --refit` refuses it", "written by `",
            "cfbench bench times deepae")  # fmt: skip
"""What names a command without the advice to type it."""


def interrupted(terminal, line):
    """Run a command line that Ctrl-C ends when a run begins."""

    def stop(self, run):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.RunProgress, "begin", stop)
        assert terminal(line).status == 130


def last_run():
    return Results(NAME).find("last")


def keep_download(terminal):
    """Put the archive of tiny among the downloads, so that nothing needs the network."""
    (terminal.folder / "home" / "downloads").mkdir(exist_ok=True)
    shutil.copy(terminal.archive, terminal.folder / "home" / "downloads" / "tiny.zip")


def remove_data(terminal):
    shutil.rmtree(terminal.folder / "home" / "datasets" / "tiny")
    keep_download(terminal)


def list_data_sets(terminal):
    assert "removes a data set" in terminal("datasets").err


def remove_a_data_set(terminal):
    terminal("datasets rm tiny --yes")
    keep_download(terminal)


def remove_no_data_set(terminal):
    terminal("datasets rm nope")


def ask_for_a_member(_):
    with pytest.raises(UsageError):
        Context().member("a run")


def search_at_an_edge(terminal):
    terminal("tune bias --trials 1 --range user_reg=1:2 --fix item_reg=10 --no-preset --save-preset")


def list_no_studies(terminal):
    terminal("studies")


def import_predictions_of_others(terminal):
    terminal("export split --part test --out theirs.csv")
    table = pl.read_csv("theirs.csv").select("user", "item", prediction=pl.lit(3.0))
    table.write_csv("theirs.csv")
    terminal("import-predictions theirs.csv --plugin-name theirs")


def import_too_few_predictions(terminal):
    import_predictions_of_others(terminal)
    pl.read_csv("theirs.csv").head(3).write_csv("theirs.csv")
    assert "has no prediction for" in terminal("import-predictions theirs.csv --plugin-name theirs").err


def compare_nothing_then_without_data(terminal):
    terminal("compare")
    interrupted(terminal, "run bias --seed 3")
    terminal("run bias")
    terminal("compare")
    remove_data(terminal)
    assert "is not downloaded" in terminal("compare").err


def open_the_board_without_a_terminal(terminal):
    assert terminal("board").status == 2


def export_predictions_of_no_run(terminal):
    terminal("run bias")
    terminal("export predictions --out r.csv")


def import_ratings(terminal):
    terminal("export ratings --out r.csv --no-titles")
    terminal("import r.csv --name mine")


def list_runs(terminal):
    terminal("runs")
    terminal("run bias")
    terminal("runs --plugin mean")


def list_an_interrupted_run(terminal):
    interrupted(terminal, "run bias")
    terminal("runs")


def discard_no_run(terminal):
    terminal("runs discard")


def interrupt_a_run(terminal):
    def stop(self, epoch):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.RunProgress, "epoch", stop)
        terminal("run deepae --no-preset --epochs 2 --hidden 4")


def predict_with_a_stopped_run(terminal):
    interrupt_a_run(terminal)
    (run,) = Results(NAME).unfinished()
    assert "is stopped and has no model yet" in terminal(f"predict {run} u1,i1").err


def predict_without_the_model(terminal):
    terminal("run bias --user-reg 7")
    _, folder = last_run()
    (folder / "model.safetensors").unlink()
    terminal("predict last u1,i1")


def compare_a_preset_of_another_split(terminal):
    terminal("tune bias --trials 1 --save-preset")
    terminal("run bias --split random80 --preset tiny")
    assert "the record of a run counts them" in terminal("compare --split random80").out


def interrupt_a_sweep(terminal):
    Path("a night.toml").write_text('datasets = ["tiny"]\n[[plugins]]\nname = "bias"\n', encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.RunProgress, "begin", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(SystemExit) as exit_info:
            app.main(["sweep", "a night.toml"])
    assert exit_info.value.code == 130


def synthesize(terminal):
    shutil.copy(ROOT / "datasets" / "netflix-twin.toml", terminal.folder / "cards")
    assert terminal("synth netflix --scale 0.0001 --out synthetic.tar.gz").status == 0


def run_a_plugin(terminal):
    terminal("run mean")


def leave_out_an_argument(terminal):
    assert terminal("show").status == 2
    assert terminal("runs rm").status == 2


def lose_the_data(terminal):
    terminal("run bias")
    remove_data(terminal)
    terminal("show last --by item-popularity")
    terminal("predict last u1,i1")


def name_no_data_set(terminal):
    terminal("datasets nope")


def export_a_part_that_no_model_predicted(terminal):
    terminal("run mean --split 5fold-1")
    terminal("export predictions last --part valid --out v.csv")


def resume_a_finished_run(terminal):
    terminal("run bias")
    terminal(f"run --resume {last_run()[0].run}")


def name_no_plugin(terminal):
    terminal("run nope")


def remove_as_the_other_kind(terminal):
    terminal("run bias")
    terminal(f"runs discard {last_run()[0].run} --yes")


def remove_a_run_that_is_gone(terminal):
    terminal("run bias")
    (stored,) = inventory.list_runs(Results(NAME))
    shutil.rmtree(stored.folder)
    with pytest.raises(RecordError, match="is no longer in"):
        inventory.remove_run(stored, Results(NAME))


class ChangedConfig(Config):
    """The hyper-parameters of a later `bias`, which has other names."""

    shrinkage: float = 1.0


def predict_with_a_changed_plugin(terminal):
    terminal("run bias")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfbench.runs.registry.load", lambda _: Plugin("changed", "", ChangedConfig, bias.PLUGIN.build))
        assert "no longer takes its config" in terminal("predict last u1,i1").err


def slice_without_data(terminal):
    terminal("run bias")
    remove_data(terminal)
    terminal("compare --by item-popularity")


def rank_items_without_data(terminal):
    terminal("run bias")
    remove_data(terminal)
    terminal("compare --ranking")


def export_the_model_of_no_run(terminal):
    assert terminal("run deepae --no-preset --epochs 1 --hidden 4").status == 0
    assert "whose model?" in terminal("export model --out m.safetensors").err


def import_one_of_two_splits(terminal):
    for split in ("N3M", "N6M"):
        for part in ("TRAIN", "VALID", "TEST"):
            folder = Path("reference") / f"{split}_{part}"
            folder.mkdir(parents=True)
            user = ("TRAIN", "VALID", "TEST").index(part)
            (folder / "r.txt").write_text("".join(f"{user}\t{item}\t{item % 5 + 1}\n" for item in range(9)), "utf-8")
    assert "choose one" in terminal("import reference --format deeprecommender --name mine").err


def report_an_experiment_without_runs(terminal):
    Path("own one.toml").write_text(EXPERIMENT, encoding="utf-8")
    with pytest.raises(SystemExit) as exit_info:
        app.main(["experiment", "report", "own one.toml", "--dataset", "tiny"])
    assert exit_info.value.code == 0


def interrupt_an_experiment(terminal):
    Path("own one.toml").write_text(EXPERIMENT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.RunProgress, "begin", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(SystemExit) as exit_info:
            app.main(["experiment", "run", "own one.toml", "--seeds", "1"])
    assert exit_info.value.code == 130


def report_without_data(terminal):
    remove_data(terminal)
    assert "is downloaded" in terminal("experiment report").err


def export_no_runs_to_a_tracker(terminal):
    terminal("run bias")
    assert "which runs?" in terminal("export tensorboard").err


def lose_a_tracker(terminal):
    Path("full").write_text("no folder", encoding="utf-8")
    assert "the run goes on" in terminal("run bias --log-to tensorboard:full").err


def plot_nothing(terminal):
    assert "has a score; `" in terminal("plot board --out board.svg").err


def plot_a_study_without_trials(terminal):
    import optuna

    from cfbench.tuning.database import open_storage
    from cfbench.tuning.database_url import study_url
    from cfbench.tuning.study import FACTS

    study = optuna.create_study(storage=open_storage(study_url(NAME, "empty")), study_name="empty")
    study.set_user_attr(FACTS, {"plugin": "bias", "data set": "tiny", "split": "random90"})
    assert "has no finished trial" in terminal("plot study empty --out study.svg").err


SCENARIOS = {
    "cli/plot/selection.py:_require_rows": plot_nothing,
    "cli/plot/study.py:study": plot_a_study_without_trials,
    "cli/export.py:_export_runs": export_no_runs_to_a_tracker,
    "tracking/live.py:_give_up": lose_a_tracker,
    "contract.py:_no_member": ask_for_a_member,
    "tuning/edges.py:wider_search": search_at_an_edge,
    "cli/tune/summary.py:print_summary": search_at_an_edge,
    "cli/tune/study.py:_save_preset": search_at_an_edge,
    "cli/view/experiment_page.py:_state": report_an_experiment_without_runs,
    "cli/experiment/run.py:run": interrupt_an_experiment,
    "cli/experiment/report.py:report": report_without_data,
    "cli/export.py:_export_model": export_the_model_of_no_run,
    "data/deeprecommender.py:_only_split": import_one_of_two_splits,
    "cli/studies.py:studies": list_no_studies,
    "cli/import_predictions.py:import_predictions": import_predictions_of_others,
    "runs/imported_predictions.py:_wanted": import_too_few_predictions,
    "cli/view/board_messages.py:board_messages": compare_nothing_then_without_data,
    "cli/board/command.py:board": open_the_board_without_a_terminal,
    "cli/export.py:_choose_predictions": export_predictions_of_no_run,
    "cli/import_.py:import_": import_ratings,
    "cli/datasets.py:_say_total": list_data_sets,
    "cli/datasets_rm.py:datasets_rm": remove_a_data_set,
    "data/disk_use.py:stored_parts": remove_no_data_set,
    "cli/runs.py:runs": list_runs,
    "cli/runs.py:_print_list": list_an_interrupted_run,
    "cli/runs.py:discard": discard_no_run,
    "runs/stored_model.py:_require_models": predict_with_a_stopped_run,
    "runs/rerun.py:command_of": predict_without_the_model,
    "cli/view/board_page.py:mark_lines": compare_a_preset_of_another_split,
    "cli/sweep.py:_run_all": interrupt_a_sweep,
    "cli/synth.py:synth": synthesize,
    "cli/run/command.py:describe_stop": interrupt_a_run,
    "cli/run/command.py:_watch": run_a_plugin,
    "cli/app.py:_one_line": leave_out_an_argument,
    "data/fetch.py:download_command": lose_the_data,
    "data/card.py:load": name_no_data_set,
    "runs/predicted.py:read_predicted_part": export_a_part_that_no_model_predicted,
    "runs/results.py:_finished": resume_a_finished_run,
    "runs/registry.py:locate": name_no_plugin,
    "runs/inventory.py:_find": remove_as_the_other_kind,
    "runs/inventory.py:remove_run": remove_a_run_that_is_gone,
    "runs/job.py:_run_command": predict_with_a_changed_plugin,
    "leaderboard/ranking.py:rank_and_test": slice_without_data,
    "leaderboard/stored_rankings.py:add_item_rankings": rank_items_without_data,
}
"""What makes each function advise a command."""

LONG = {
    *(place for place in SCENARIOS if place.startswith(("tracking/", "tuning/", "cli/tune/", "leaderboard/"))),
    "cli/studies.py:studies", "cli/view/board_messages.py:board_messages", "cli/view/board_page.py:mark_lines",
    "cli/export.py:_export_model", "cli/export.py:_export_runs",
    "cli/run/command.py:describe_stop", "runs/stored_model.py:_require_models", "cli/synth.py:synth",
    "data/fetch.py:download_command", "runs/imported_predictions.py:_wanted", "cli/import_.py:import_",
}  # fmt: skip
"""The scenarios that tune, use torch or prepare data take seconds each."""

ELSEWHERE = {
    "cli/new_plugin.py:new_plugin": "the new package has to be installed first: test_new_plugin.py",
    "cli/serve.py:serve": "it serves until Ctrl-C: test_serve.py",
    "cli/app.py:<module>": "the epilog of the help, which is typed below",
}


@cache
def modules():
    """The syntax tree of each module, by its path in the package."""
    package = ROOT / "cfbench"
    paths = [path for path in package.rglob("*.py") if "template" not in path.parts]
    return {path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def places_that_advise():
    """Each function that calls `advice.command`, as `file:function`."""
    places = set()

    def visit(node, file, function):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = node.func
            if called.attr == "command" and isinstance(called.value, ast.Name) and called.value.id == "advice":
                places.add(f"{file}:{function}")
        for child in ast.iter_child_nodes(node):
            visit(child, file, function)

    for file, tree in modules().items():
        visit(tree, file, "<module>")
    return places


def test_a_scenario_makes_each_function_advise():
    assert places_that_advise() == SCENARIOS.keys() | ELSEWHERE.keys()


def texts_of(tree):
    """The texts of a module, without docstrings and the help of options."""
    silent = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(node.value)
        if isinstance(node, ast.keyword) and node.arg == "help":
            silent.update(ast.walk(node.value))
        if isinstance(node, ast.Assign | ast.AnnAssign) and "COMMANDS" in ast.unparse(node).partition("=")[0]:
            silent.update(ast.walk(node.value))
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent
    ]


def test_no_message_writes_a_command_without_the_one_function():
    commands = re.compile(rf"\bcfbench ({'|'.join(app.COMMANDS)})\b|\bpip install ")
    written = [
        (file, text)
        for file, tree in modules().items()
        for text in texts_of(tree)
        if file not in WRITES_DOCUMENTS | STARTS_COMMANDS
        if commands.search(text) and not any(mention in text for mention in MENTIONS)
    ]
    assert written == []


@pytest.fixture
def advised(monkeypatch):
    """The advised commands so far, each with the function that built it."""
    lines, build = [], advice.command

    def record(*words, **options):
        line, frame = build(*words, **options), sys._getframe(1)
        file = Path(frame.f_code.co_filename).resolve()
        with contextlib.suppress(ValueError):
            lines.append((f"{file.relative_to(ROOT / 'cfbench').as_posix()}:{frame.f_code.co_name}", line))
        return line

    monkeypatch.setattr(advice, "command", record)
    return lines


@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=pytest.mark.slow if place in LONG else ()) for place in SCENARIOS]
)
def test_an_advised_command_works_when_it_is_pasted(place, terminal, advised, monkeypatch):
    monkeypatch.setattr(tune_command, "TRIALS", 1)
    monkeypatch.setenv("CFBENCH_RESULTS", str(NAME))
    SCENARIOS[place](terminal)
    lines = list(dict.fromkeys(line for found, line in advised if found == place))
    assert lines
    monkeypatch.delenv("CFBENCH_RESULTS")
    (terminal.folder / "another folder").mkdir()
    monkeypatch.chdir(terminal.folder / "another folder")
    runs, copy = terminal.folder / NAME, terminal.folder / "copy"
    runs.mkdir(exist_ok=True)
    shutil.copytree(runs, copy)
    for line in lines:
        shutil.rmtree(runs)
        shutil.copytree(copy, runs)
        words = ["tiny" if word == "NAME" else word for word in shlex.split(line)]
        assert words[0] == "cfbench"
        if {"rm", "discard"} & set(words) and "--help" not in words:
            words.append("--yes")  # what a person answers
        with pytest.raises(SystemExit) as exit_info:
            app.main(words[1:])
        assert exit_info.value.code == 0, line


def test_the_commands_below_the_help_start_cfbench(empty_terminal):
    lines = app.app.info.epilog.removeprefix("Start with: ").split(", then ")
    assert [shlex.split(line)[-2:] for line in lines] == [["run", "bias"], ["run", "deepae"], ["cfbench", "compare"]]


def test_the_options_of_messages_are_reserved_names():
    assert {"quiet", "verbose", "log"} <= declaration.RESERVED
    assert card.names()
