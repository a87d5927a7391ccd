"""Records that cannot be used: each is skipped, counted and named, and no command stops or advises to delete a run."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cfbench.contract import Config, Plugin
from cfbench.errors import RecordError, SkippedRunsWarning
from cfbench.plugins import bias
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
        r"`cfbench run bias --dataset tiny --split random90`\n",
        result.err,
    )
