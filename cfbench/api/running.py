"""Starts runs in the process of the caller, in silence."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from cfbench.api.callbacks import Callback
from cfbench.api.datasets import LoggedProgress, as_data
from cfbench.api.frames import to_polars
from cfbench.api.places import open_results
from cfbench.api.runs import Run
from cfbench.data.readers.table import LayoutOptions
from cfbench.errors import RunWarning, StoppedRunError, UsageError
from cfbench.runs import imported_predictions as importing
from cfbench.runs import registry
from cfbench.runs import run as harness
from cfbench.runs.exposure import describe_exposures
from cfbench.runs.imported_predictions import PredictionFiles
from cfbench.runs.interruption import InterruptedRunError
from cfbench.runs.run import SilentRunListener
from cfbench.runs.setup import configure, new_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from cfbench.api.datasets import Data, DataSplit
    from cfbench.contract import Epoch, Plugin
    from cfbench.data.store import Dataset
    from cfbench.runs.record import Request
    from cfbench.runs.results import Results


def run(  # noqa: PLR0913 (each has a name)
    plugin: str,
    data: Data | str,
    /,
    *,
    split: str | DataSplit | None = None,
    seed: int = 0,
    preset: str | Literal[False] | None = None,
    device: str = "auto",
    refit: bool = False,
    skip_finished: bool = False,
    results: str | Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
    **hyper_parameters: Any,
) -> Run:
    """Train a plugin on a split, score it on the test part, and store the run, as `cfbench run` does.

    `data` is a data set or its name. `preset` names a preset, by default that of the data set; False starts from the
    plugin's defaults. Every other keyword is a hyper-parameter (`cfbench plugins NAME` lists them). `progress` is
    called after each epoch; an exception of it stops the run and passes on. With `skip_finished` an equal run that is
    finished is returned. An equal run that was stopped, as by Ctrl-C, is resumed.

    A `RunWarning` says what to know before believing the scores. Raises `UnknownNameError`, `ConfigError`,
    `DeviceError`, `SplitError`, `PluginError` for a fault of the plugin, and `StoppedRunError`. A model that diverges
    is no error: see `Run.status`.

    >>> cfbench.run("deepae", data, refeed=1, epochs=20, seed=1, progress=print).scores
    """
    opened = as_data(data)
    name = opened.one_split(split)
    check_seed(seed)
    setup = configure(
        plugin, dataset=opened.name, split=name, flags=hyper_parameters, preset=preset or None,
        use_preset=preset is not False, device=device, refit=refit,
    )  # fmt: skip
    cut = opened.dataset.split(name)
    request = new_request(setup, opened.dataset, cut, seed)
    mismatch = f"these ratings differ from those published under this name: {'; '.join(cut.mismatches)}"
    exposure = describe_exposures([(name, request.exposure)])
    warn_of([setup.device_note, *exposure, mismatch if cut.mismatches else ""])
    stored = make_run(request, opened.dataset, open_results(results), progress, skip_finished=skip_finished)
    warn_of(stored.notes)
    return stored


def make_run(
    request: Request, dataset: Dataset, results: Results, progress: Callable[[Epoch], None] | None, *,
    skip_finished: bool,
) -> Run:  # fmt: skip
    """Carry out a request; see `run`."""
    listener = _Watcher(progress)
    with _stops_as_errors(listener.callback):
        if skip_finished:
            record, _ = harness.ensure(request, dataset, results, listener)
            return Run(record, results.place(record.request), results)
        return Run(*harness.start_or_resume(request, dataset, results, listener), results)


def register(name: str, plugin: Plugin[Any]) -> None:
    """Make your own plugin known under a name, in this process only, so that `run`, `tune` and `Run.open` find it.

    Registering the same name again replaces it. A package announces a plugin to all processes (docs/plugins.md).
    Raises `UsageError` if an installed plugin has this name, `PluginError` for a name that no plugin can have.

    >>> cfbench.register("item-mean", PLUGIN)
    """
    registry.register(name, plugin)


def import_predictions(  # noqa: PLR0913 (each has a name)
    frame: Any,
    data: Data | str,
    /,
    *,
    name: str,
    split: str | DataSplit | None = None,
    seed: int = 0,
    valid: Any = None,
    user: str | None = None,
    item: str | None = None,
    prediction: str | None = None,
    results: str | Path | None = None,
) -> Run:
    """Score the predictions of another library on a split, and store them as a run, as `cfbench import-predictions`.

    `frame` has one prediction for each rating of the test part, in any order, and `valid` the same for the validation
    part. `name` is what the leaderboard calls the model, which is marked as imported. `user`, `item` and `prediction`
    name the columns; otherwise usual names are found. Raises `UsageError`, `RowError`, and `CountError` for a rating
    without a prediction or with several.

    >>> cfbench.import_predictions(test.with_columns(prediction=theirs), data, name="their-svd", split="random90")
    """
    opened = as_data(data)
    check_seed(seed)
    roles = {"user": user, "item": item, "prediction": prediction}
    layout = LayoutOptions(columns={role: column for role, column in roles.items() if column is not None})
    files = PredictionFiles(name, to_polars(frame), None if valid is None else to_polars(valid), seed, layout)
    results_folder, cut = open_results(results), opened.dataset.split(opened.one_split(split))
    record, folder = importing.import_predictions(files, opened.dataset, cut, results_folder, LoggedProgress())
    warn_of(record.notes)
    return Run(record, folder, results_folder)


class _Watcher(SilentRunListener):
    """Passes epochs on to a function."""

    def __init__(self, progress: Callable[[Epoch], None] | None) -> None:
        self.callback = Callback(progress)

    def epoch(self, epoch: Epoch) -> None:
        """Call the function."""
        self.callback(epoch)


@contextmanager
def _stops_as_errors(callback: Callback[Epoch]) -> Iterator[None]:
    """Turn the end of a run that can be resumed into `KeyboardInterrupt`, `StoppedRunError` or the callback's fault."""
    try:
        yield
    except InterruptedRunError as stop:
        epochs = f" after epoch {stop.epoch}" if stop.epoch else ""
        message = f"run {stop.run} is stopped{epochs}; the same call resumes it"
        if callback.fault is not None:
            callback.fault.add_note(message)
            raise callback.fault from None
        if not stop.reason:
            raise KeyboardInterrupt(message) from None
        raise StoppedRunError(f"{stop.reason}: {message}") from stop.fault


def warn_of(lines: Iterable[str]) -> None:
    """Warn of each line that is not empty, at the line that called the API."""
    for line in filter(None, lines):
        warnings.warn(line, RunWarning, stacklevel=3)


def check_seed(seed: int) -> None:
    """Raise `UsageError` unless the seed is a whole number from 0."""
    if not isinstance(seed, int) or seed < 0:
        raise UsageError(f"seed {seed!r}: expected a whole number from 0")
