"""What TensorBoard and MLflow received, read by TensorBoard's and MLflow's own readers."""

import json
from pathlib import Path

import pytest

from cfbench.runs.arrays import read_curve
from cfbench.runs.record import Record
from cfbench.runs.results import Results
from cfbench.tracking import live

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("learner")]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine must not fail a test."""
    monkeypatch.setattr(live, "PATIENCE", 600.0)


CURVE = [(1, 1.5, 1.625), (2, 1.25, 1.375), (3, 1.375, 1.5)]
SETTINGS = {"config.hidden": "4,2", "config.rate": 0.25, "plugin": "learner", "dataset": "tiny", "split": "random90",
            "preset": "none", "seed": 0, "device": "cpu", "refit": False}  # fmt: skip


def read_events(folder):
    """The events of a run, as TensorBoard reads them."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    return events.Reload()


def read_settings(events):
    """The hyper-parameters in TensorBoard's own table."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def check_events(folder, record):
    events = read_events(folder)
    for name, place in (("train_rmse", 1), ("valid_rmse", 2)):
        points = [(point.step, point.value) for point in events.Scalars(name)]
        assert points == [(epoch[0], epoch[place]) for epoch in CURVE]
    first = events.Scalars("train_rmse")[0]
    assert first.wall_time == pytest.approx(record.request.started.timestamp() + 0.5, abs=0.01)
    assert events.Scalars("test_rmse")[0].value == pytest.approx(record.outcome.rmse)
    assert len(events.Scalars("test_mae")) == 1
    assert read_settings(events) == SETTINGS
    (text,) = events.Tensors("record/text_summary")
    assert Record.model_validate(json.loads(text.tensor_proto.string_val[0])) == record
    assert events.Tensors("cfbench.run/text_summary")[0].tensor_proto.string_val[0].decode() == record.run


def test_tensorboard_reads_what_is_exported_and_what_was_logged_live(terminal):
    assert terminal("run learner --rate 0.25 --log-to tensorboard:live").status == 0
    record, _ = Results(Path("results")).find("last")
    place = f"tiny/random90/{record.run}"
    check_events(Path("live") / place, record)
    for _ in range(2):  # the second time replaces the first one
        result = terminal("export tensorboard last --out later")
        assert (result.status, result.err) == (0, f"copied run {record.run} to later\n")
    check_events(Path("later") / place, record)


def read_mlflow(file):
    """The runs of the experiment in a database file, as MLflow reads them."""
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{Path(file).absolute()}")
    experiment = client.get_experiment_by_name("cfbench/tiny/random90")
    return client, client.search_runs([experiment.experiment_id])


def check_run(file, record, folder):
    client, (run,) = read_mlflow(file)
    for name, place in (("train_rmse", 1), ("valid_rmse", 2)):
        points = client.get_metric_history(run.info.run_id, name)
        assert sorted((point.step, point.value) for point in points) == [(epoch[0], epoch[place]) for epoch in CURVE]
    assert points[0].timestamp == pytest.approx(1000 * record.request.started.timestamp() + 500 * points[0].step, abs=1)
    assert run.data.metrics["test_rmse"] == record.outcome.rmse
    assert run.data.metrics["chosen_valid_rmse"] == record.outcome.valid_rmse
    assert len(client.get_metric_history(run.info.run_id, "test_rmse")) == 1
    assert run.data.params == {name: str(value) for name, value in SETTINGS.items()}
    assert (run.info.status, run.info.run_name) == ("FINISHED", record.run)
    assert run.data.tags["cfbench.split"] == record.request.split.fingerprint
    assert run.data.tags["cfbench.command"].startswith("cfbench run learner --dataset tiny --split random90")
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert {each.name: each.read_bytes() for each in artifacts.iterdir()} == {
        each.name: each.read_bytes() for each in folder.iterdir()
    }


def test_mlflow_reads_what_is_exported_and_what_was_logged_live(terminal, learner):
    learner.stop = 3
    assert terminal("run learner --rate 0.25 --log-to mlflow:live.db").status == 130
    _, (killed,) = read_mlflow("live.db")
    assert killed.info.status == "KILLED"
    learner.stop = 0
    assert terminal("run learner --rate 0.25 --log-to mlflow:live.db").status == 0  # it resumes
    record, folder = Results(Path("results")).find("last")
    assert record.outcome.resumed == 1
    check_run("live.db", record, folder)
    result = terminal("export mlflow last --out live.db")
    assert (result.status, result.err) == (0, f"copied run {record.run} to {Path('live.db').absolute()}\n")
    check_run("live.db", record, folder)
    assert [row["valid_rmse"] for row in read_curve(folder)] == [epoch[2] for epoch in CURVE]


def test_a_place_that_cannot_be_written_is_one_line(terminal):
    terminal("run learner")
    Path("full").write_text("no folder", encoding="utf-8")
    for line in ("export tensorboard last --out full", "export mlflow last --out full/mlflow.db"):
        result = terminal(line)
        assert result.status == 1
        assert result.err.startswith("error: cannot write ")
        assert result.err.count("\n") == 1
