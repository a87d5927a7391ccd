"""What a user's script may write, with the types that checkers see. tests/api/test_types.py gives it to them."""

from pathlib import Path
from typing import Any, assert_type

import polars as pl

import cfbench
from cfbench.contract import Config, Epoch, Plugin


class Plotted:
    """A progress function with state."""

    errors: list[float]

    def __call__(self, epoch: Epoch) -> None:
        if epoch.valid_rmse is not None:
            self.errors.append(epoch.valid_rmse)


def use(plugin: Plugin[Config]) -> None:
    data = cfbench.load("ml-100k", download=True, progress=lambda name, position, total: None)
    assert_type(data, cfbench.Data)
    assert_type(data.ratings, pl.DataFrame)
    split = data.split("random90@7")
    assert_type(split.train, pl.DataFrame)
    assert_type(split.report, dict[str, int])
    assert_type(data.folds(), list[str])
    cfbench.register("own", plugin)
    run = cfbench.run(
        "own", data, split=split.name, seed=1, preset=False, progress=Plotted(), results=Path("r"), lr=0.1
    )
    assert_type(run, cfbench.Run)
    assert_type(run.scores.rmse, float | None)
    assert_type(run.predictions, pl.DataFrame)
    assert_type(run.curve, pl.DataFrame)
    assert_type(run.config, dict[str, Any])
    assert_type(run.id, str)
    assert_type(run.record.outcome.fit_seconds, float | None)
    assert_type(run.model.predict(split.test), pl.DataFrame)
    assert_type(cfbench.Run.open("last"), cfbench.Run)
    study = cfbench.tune("bias", "ml-100k", trials=3, ranges={"item_reg": "1:2"}, fixed={"user_reg": 5})
    assert_type(study.trials, pl.DataFrame)
    assert_type(study.run(seed=1), cfbench.Run)
    if study.best is not None:
        assert_type(study.best.config, dict[str, Any])
    assert_type(cfbench.compare(data, split=split, metric="mae", by="rating"), pl.DataFrame)
    assert_type(cfbench.from_frame(split.train, name="mine", scale=(1, 5), duplicates="mean"), cfbench.Data)
    assert_type(cfbench.import_predictions(split.test, data, name="theirs"), cfbench.Run)
    assert_type(cfbench.__version__, str)
