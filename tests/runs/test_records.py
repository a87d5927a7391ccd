"""Records that cannot be used: each is skipped, counted and named, and no command stops or advises to delete a run."""

import json
import math
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from cfbench.contract import Config, Plugin
from cfbench.errors import RecordError, SkippedRunsWarning
from cfbench.plugins import bias
from cfbench.runs.arrays import file_sha256
from cfbench.runs.record import read_record
from cfbench.runs.results import Results

DELETION = re.compile(r"\b(remove|delete|rm)\b", re.IGNORECASE)


def record_files(plugin="*"):
    """The record files of the runs, oldest first."""
    return sorted(Path("results").glob(f"tiny/random90/{plugin}/*/record.json"))


def cut_short(file):
    """Leave half a record."""
    file.write_text(file.read_text()[: file.stat().st_size // 2])


def make_newer(file):
    """Make a record of a later schema, which no field of this one fits."""
    file.write_text('{"schema_version": 2, "request": 3}')


def move(file):
    """Move the run's folder below another plugin."""
    shutil.move(file.parent, file.parents[2] / "bias" / file.parent.name)


FAULTS = {
    cut_short: "is not a run record of schema 1: the file: Invalid JSON",
    make_newer: "is a record of schema 2, and this cfbench reads schema 1; install the newest cfbench",
    move: "is the record of run .*-mean-.*; move its folder to results/tiny/random90/mean/",
}
COMMANDS = {
    "show last": "-bias-",
    "predict last u1,i2": "u1,i2",
    "compare": "bias",
    "run bias --skip-finished": "",
    "run ensemble": "test RMSE",
    "sweep sweep.toml": "bias",
}


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.__name__)
def damaged(request, terminal):
    """A terminal with a run of bias and a newer one of mean, whose record cannot be used; and what is wrong with it."""
    for plugin in ("bias", "mean"):
        assert terminal(f"run {plugin}").status == 0
    Path("sweep.toml").write_text('datasets = ["tiny"]\nseeds = [0, 1]\n[[plugins]]\nname = "bias"\n')
    request.param(record_files("mean")[0])
    return terminal, FAULTS[request.param]


def test_an_unusable_record_is_skipped_counted_and_named(damaged):
    terminal, fault = damaged
    for line, output in COMMANDS.items():
        result = terminal(line)
        assert (line, result.status) == (line, 0)
        assert output in result.out
        assert result.err.count("skipped 1 run:") == 1
        assert len(re.findall(fault, result.err)) == 1
        assert not DELETION.search(result.err)


def test_a_run_that_is_asked_for_by_its_id_is_an_error_in_one_line(damaged):
    terminal, fault = damaged
    result = terminal("show mean")
    assert result.status == 1
    assert re.fullmatch(f"error: .*{fault}.*\n", result.err)
    assert not DELETION.search(result.err)


def test_several_unusable_records_are_counted(terminal):
    for plugin in ("bias", "mean"):
        terminal(f"run {plugin}")
        cut_short(record_files(plugin)[0])
    with pytest.warns(SkippedRunsWarning, match="skipped 2 runs:") as caught:
        assert Results(Path("results")).records("tiny", "random90") == []
    assert len(str(caught[0].message).splitlines()) == 3


def test_fields_of_a_newer_cfbench_are_ignored(terminal):
    terminal("run bias")
    (file,) = record_files()
    before, stored = read_record(file), json.loads(file.read_text())
    for part in (stored, stored["request"], stored["request"]["plugin"], stored["outcome"], stored["machine"]):
        part["from_the_future"] = {"any": "thing"}
    file.write_text(json.dumps(stored))
    assert read_record(file) == before


def test_the_schema_is_judged_before_anything_else(terminal):
    terminal("run bias")
    (file,) = record_files()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 2}))
    with pytest.raises(RecordError, match="is a record of schema 2"):
        read_record(file)


class ChangedConfig(Config):
    """The hyper-parameters of a later `bias`, which has other names."""

    shrinkage: float = 1.0


@pytest.mark.parametrize("line", ["predict last u1,i2", "recommend last --user u1", "run --resume 2099"])
def test_a_stored_config_that_the_plugin_no_longer_takes_is_one_clear_line(terminal, register, line):
    terminal("run bias")
    (file,) = record_files()
    Results(Path("results")).create(read_record(file).request.model_copy(update={"run": "20990101-000000-bias-aaaa"}))
    register("bias", Plugin("changed", "", ChangedConfig, bias.PLUGIN.build))
    result = terminal(line)
    assert result.status == 1
    assert re.fullmatch(
        r"error: run \S+ was made by bias of \S+ \S+, and the installed bias no longer takes its config "
        r"\(.*Extra inputs are not permitted.*\); install that version, or run the model again: "
        r"`cfbench run bias --dataset tiny --split random90`(: stopped; resume it with: \S+ run --resume \S+)?\n",
        result.err,
    )


def edit(file, **values):
    """Write other values into a JSON file, by paths such as outcome__fit_seconds; None of a value removes it."""
    stored = json.loads(file.read_text())
    for path, value in values.items():
        *parents, name = path.split("__")
        place = stored
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[name]
        else:
            place[name] = value
    file.write_text(json.dumps(stored))


def test_a_record_edited_by_hand_is_read_as_far_as_it_makes_sense(terminal):
    terminal("run bias")
    (file,) = record_files()
    edit(file, outcome__fit_seconds=math.nan, outcome__mae=math.inf, request__origins={})
    edit(file, request__started="2026-11-24T04:15:00")
    for line in ("show last", "show last --json", "compare --sort fit", "compare --json", "diff last bias"):
        result = terminal(line)
        assert (line, result.status, result.err) == (line, 0, "")
    assert re.search(r"fit +– \(", terminal("show last").out)


def test_a_time_without_a_zone_is_in_utc_and_one_with_a_zone_is_converted(terminal):
    terminal("run bias")
    (file,) = record_files()
    for text, hour in (("2026-11-24T04:15:00", 4), ("2026-11-24T04:15:00+02:00", 2)):
        edit(file, request__started=text)
        assert read_record(file).request.started == datetime(2026, 11, 24, hour, 15, tzinfo=UTC)


NONSENSE = [
    ({"outcome__fit_seconds": -1.0}, "outcome.fit_seconds: Input should be greater than or equal to 0"),
    ({"outcome__peak_memory": 10**400}, "outcome.peak_memory: "),
    ({"outcome__rmse": "good"}, "outcome.rmse: Input should be a valid number"),
    ({"request__members": ["../../x"]}, "request.members.0: Value error, expected the name of a folder"),
    ({"request__split__name": ""}, "request.split.name: Value error, expected the name of a folder, got ''"),
    ({"request__started": "9999-12-31T23:59:59-14:00"}, "request.started: Value error, expected a time in the years"),
    ({"request__config": []}, "request.config: Input should be"),
    ({"machine": None}, "machine: Field required"),
]


def test_a_record_edited_into_nonsense_is_one_line_that_names_the_value(terminal):
    terminal("run bias")
    (file,) = record_files()
    intact = file.read_text()
    for edits, fault in NONSENSE:
        edit(file, **edits)
        result = terminal("show last")
        assert result.status == 2  # no run can be read
        assert fault in result.err
        with pytest.raises(RecordError, match=re.escape(fault)) as error:
            read_record(file)
        assert "\n" not in str(error.value)
        file.write_text(intact)


ODD_TABLES = [
    ("curve.parquet", {"epoch": [1], "valid_rmse": [1.0]}, "unable to find column"),
    ("curve.parquet", {"epoch": [1], "train_rmse": [math.nan], "valid_rmse": [1.0], "seconds": [1.0]}, "no finite"),
    ("curve.parquet", {"epoch": ["x"], "train_rmse": [1.0], "valid_rmse": [1.0], "seconds": [1.0]}, "holds String"),
    ("predictions.parquet", {"rating": [1.0]}, "unable to find column"),
    ("predictions.parquet", {"prediction": [None, 1.0]}, "no finite numbers"),
    ("predictions.parquet", {"prediction": ["3"]}, "column prediction holds String, expected numbers"),
    ("predictions.parquet", {"prediction": [3.0]}, "holds 1 predictions, expected"),
]


def test_odd_arrays_with_a_right_checksum_are_one_line(terminal):
    terminal("run deepae --hidden 8 --epochs 2 --batch-size 16")
    (record,) = record_files()
    for name, table, fault in ODD_TABLES:
        path = record.with_name(name)
        intact, facts = path.read_bytes(), record.read_text()
        pl.DataFrame(table).write_parquet(path)
        edit(record, files=json.loads(facts)["files"] | {name: file_sha256(path)})
        result = terminal("show last")
        assert result.status == 1
        assert re.fullmatch(f"error: .*{fault}.*\n", result.err)
        path.write_bytes(intact)
        record.write_text(facts)


def test_a_learning_curve_without_epochs_is_not_drawn(terminal):
    terminal("run deepae --hidden 8 --epochs 2 --batch-size 16")
    (record,) = record_files()
    path = record.with_name("curve.parquet")
    pl.read_parquet(path).head(0).write_parquet(path)
    edit(record, files=json.loads(record.read_text())["files"] | {path.name: file_sha256(path)})
    assert terminal("show last").status == 0


def test_an_unfinished_run_in_a_folder_of_another_name_is_one_line(terminal):
    terminal("run bias")
    request = read_record(record_files()[0]).request.model_copy(update={"run": "20990101-000000-bias-aaaa"})
    folder = Results(Path("results")).create(request)
    folder.rename(folder.with_name("mine"))
    result = terminal("run --resume mine")
    assert result.status == 1
    assert result.err == (
        "error: results/.unfinished/mine/request.json belongs to run 20990101-000000-bias-aaaa; rename its folder to "
        "20990101-000000-bias-aaaa\n"
    )
    assert "interrupted" not in terminal("compare").err


def test_last_is_the_run_that_was_started_last_also_within_a_second(terminal):
    terminal("run bias")
    (file,) = record_files()
    earlier, later = "20990101-000000-bias-ffff", "20990101-000000-bias-0000"
    for run, started in ((earlier, "2099-01-01T00:00:00.1Z"), (later, "2099-01-01T00:00:00.9Z")):
        folder = shutil.copytree(file.parent, file.parents[1] / run)
        edit(folder / "record.json", request__run=run, request__started=started)
    assert Results(Path("results")).find("last")[0].run == later
    edit(file.parents[1] / later / "record.json", request=None)
    with pytest.warns(SkippedRunsWarning, match="skipped 1 run"):
        assert Results(Path("results")).find("last")[0].run == earlier
