"""RUN: configure, fit, predict, check, score; and go on with a run that was interrupted.

The harness, not the plugin, cuts the data, clips predictions to the scale, refuses NaN, times, and measures memory. The
test part is taken from the split only after the model has been fitted.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cfbench.contract import Config, Context, DivergedError, Epoch, FittedOnValid, Model, Plugin, Predictor
from cfbench.data import card, store
from cfbench.errors import DeviceError, PredictionError, RecordError, UsageError, WriteError
from cfbench.files import write_errors
from cfbench.metrics import mae, rmse
from cfbench.runs import members, record, registry
from cfbench.runs.record import Outcome, Record, Request, Results

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.ratings import Pairs, Scores


class RunListener(Protocol):
    """Who watches a run."""

    def begin(self, run: str) -> None:
        """The run has its id and its folder."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over (or was, before the interruption)."""


class SilentRunListener:
    """Watches and says nothing."""

    def begin(self, run: str) -> None:
        """Nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Nothing."""


class InterruptedRunError(Exception):
    """Ctrl-C during a run: what was learned is kept, and `run` names it."""

    def __init__(self, run: str, epoch: int) -> None:
        super().__init__(run)
        self.run, self.epoch = run, epoch


@dataclass(frozen=True)
class Setup:
    """A plugin configured for a device, before any data are looked at."""

    name: str
    plugin: Plugin[Any]
    config: Config
    preset: str | None
    origins: dict[str, str]
    device: str


def configure(
    name: str,
    *,
    dataset: str,
    flags: dict[str, str | bool],
    preset: str | None,
    use_preset: bool = True,
    device: str = "auto",
) -> Setup:
    """Resolve everything a command line says of the model; raises `UsageError`s and `DeviceError`."""
    plugin = registry.load(name)
    if preset is not None and not use_preset:
        raise UsageError(f"preset {preset!r} and no preset asked for at once; leave out --preset or --no-preset")
    chosen, values = registry.preset(name, preset, dataset) if use_preset else (None, {})
    config, origins = registry.configure(plugin, values, flags)
    place = _device(name, plugin, device)
    return Setup(name, plugin, config.for_device(place), chosen, origins, place)


def _device(name: str, plugin: Plugin[Any], asked: str) -> str:
    if plugin.gpu:
        from cfbench.learning.training import resolve_device

        return resolve_device(asked)
    if asked not in ("auto", "cpu"):
        raise DeviceError(f"device {asked!r} asked for, but {name} computes on the CPU only; leave out --device")
    return "cpu"


def new_request(setup: Setup, dataset: Dataset, split: Split, seed: int) -> Request:
    """Everything that is decided before the run begins."""
    return Request(
        run=record.new_id(setup.name),
        started=datetime.now(UTC),
        plugin=record.PluginFacts(
            name=setup.name, title=setup.plugin.title, package=registry.find(setup.name).package
        ),
        dataset=record.DatasetFacts(
            name=dataset.card.name, card_version=dataset.card.version, fingerprint=dataset.ratings.fingerprint,
            users=dataset.ratings.n_users, items=dataset.ratings.n_items, ratings=len(dataset.ratings),
        ),
        split=record.SplitFacts(
            name=split.name, protocol=split.definition.protocol, report=split.report, fingerprint=split.fingerprint,
            definition=split.definition.model_dump(mode="json", exclude={"protocol", "expected"}),
        ),
        preset=setup.preset, config=setup.config.model_dump(mode="json"), origins=setup.origins, seed=seed,
        device=setup.device,
    )  # fmt: skip


def finished_twin(asked: Request, results: Results) -> Record | None:
    """A finished run of the same plugin and version, config, seed and split, if any. Raises as `start` does."""
    return _finished_twin(_certain(asked, results), results)


def _finished_twin(asked: Request, results: Results) -> Record | None:
    past = reversed(results.records(asked.dataset.name, asked.split.name))
    return next((r for r in past if r.outcome.status == "finished" and _twins(r.request, asked)), None)


def _twins(one: Request, other: Request) -> bool:
    """Whether both ask for the same predictions."""
    return (one.plugin.name, one.plugin.package, one.config, one.seed, one.split.fingerprint) == (
        other.plugin.name, other.plugin.package, other.config, other.seed, other.split.fingerprint,
    )  # fmt: skip


def _stopped_twin(asked: Request, results: Results) -> str | None:
    """The id of the same run, stopped by Ctrl-C. One that was killed is left to `--resume`."""
    twins = (past.run for past in results.interrupted() if _twins(past, asked))
    return next((run for run in twins if results.is_stopped(run)), None)


def ensure(asked: Request, dataset: Dataset, results: Results, listener: RunListener) -> tuple[Record, bool]:
    """The finished run of a request, and whether it was there before; a stopped one is gone on with. Raises as `start`.

    So whoever makes many runs can be stopped, and asked for the same again.
    """
    asked = _certain(asked, results)
    if done := _finished_twin(asked, results):
        return done, True
    stopped = _stopped_twin(asked, results)
    if stopped is not None:
        return resume(stopped, results, listener)[0], False
    return _start(asked, dataset, results, listener)[0], False


def start(asked: Request, dataset: Dataset, results: Results, listener: RunListener) -> tuple[Record, Path]:
    """Carry out a request; returns its record and where it is. Raises `InterruptedRunError`, `CfbenchError`s."""
    return _start(_certain(asked, results), dataset, results, listener)


def _start(asked: Request, dataset: Dataset, results: Results, listener: RunListener) -> tuple[Record, Path]:
    plugin = registry.load(asked.plugin.name)
    with results.held(asked.run):
        return _carry_out(asked, plugin, dataset, results.begin(asked), results, listener)


def _certain(asked: Request, results: Results) -> Request:
    """The request with the runs that its config names as full ids."""
    config: Config = registry.load(asked.plugin.name).config.model_validate(asked.config)
    config = config.with_members(partial(members.choose, asked, results))
    return asked.model_copy(update={"config": config.model_dump(mode="json")})


def resume(run: str, results: Results, listener: RunListener) -> tuple[Record, Path]:
    """Go on with an interrupted run, by a part of its id; it ends as if it had not been interrupted."""
    with results.resume(run) as (asked, folder):
        plugin = registry.load(asked.plugin.name)
        _device(asked.plugin.name, plugin, asked.device)  # a run goes on where it began
        dataset = store.open_dataset(card.load(asked.dataset.name))
        return _carry_out(asked, plugin, dataset, folder, results, listener, _again(folder))


@dataclass(frozen=True)
class _Past:
    """What a run that is gone on with has behind it."""

    resumed: int = 0
    cpu_seconds: float | None = 0.0
    """None when it is not known: a killed process tells nothing."""


def _again(folder: Path) -> _Past:
    """Count that a run is gone on with once more; raises `WriteError`."""
    with write_errors(folder), (folder / "resumed").open("ab") as file:
        file.write(b"\n")
        times = file.tell()
    with suppress(RecordError):
        last = record.read(folder / "record.json").outcome
        if last.resumed == times - 1:  # else it is of a process before the last, which was killed
            return _Past(times, last.fit_cpu_seconds)
    return _Past(times, None)


def _carry_out(
    asked: Request, plugin: Plugin[Any], dataset: Dataset, folder: Path, results: Results, listener: RunListener,
    past: _Past = _Past(),
) -> tuple[Record, Path]:  # fmt: skip
    split = _same_split(asked, dataset)
    _forget_peak_memory(asked.device)
    listener.begin(asked.run)
    curve: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        curve.append(epoch)
        listener.epoch(epoch)

    def ended(outcome: Outcome) -> Record:  # what is imported, and how many threads there are, is known after the fit
        own, before = outcome.fit_cpu_seconds, past.cpu_seconds
        cpu = None if own is None or before is None else before + own
        outcome = outcome.model_copy(update={"resumed": past.resumed, "fit_cpu_seconds": cpu})
        machine = record.this_machine(*_torch_facts(asked.device), plugin.needs)
        return Record(request=asked, outcome=outcome, machine=machine)

    lend = _lender(asked, results, split, dataset)
    cpu = time.process_time()
    context = Context(asked.seed, asked.device, folder / "checkpoint.safetensors", report, lend)
    try:
        outcome = _fit_and_score(asked, plugin, dataset, split, context, curve, folder)
    except KeyboardInterrupt:
        stopped = _outcome("stopped", "Ctrl-C", curve)
        results.stop(folder, ended(stopped.model_copy(update={"fit_cpu_seconds": time.process_time() - cpu})))
        raise InterruptedRunError(asked.run, len(curve)) from None
    except WriteError:
        raise  # the model is not to blame: the run can be gone on with when there is space
    except Exception as fault:
        message = f"{type(fault).__name__}: {fault}"
        results.finish(folder, ended(_outcome("failed", message, curve)))
        raise
    return results.finish(folder, ended(outcome))


def _fit_and_score(
    asked: Request,
    plugin: Plugin[Any],
    dataset: Dataset,
    split: Split,
    context: Context,
    curve: list[Epoch],
    folder: Path,
) -> Outcome:
    model: Model = plugin.build(plugin.config.model_validate(asked.config))
    ratings = dataset.ratings
    wall, cpu = time.perf_counter(), time.process_time()
    status, message, usable = "finished", "", True
    notes: list[str] = []
    valid = split.valid(ratings)
    try:
        model.fit(split.train(ratings), valid, replace(context, note=notes.append))
    except DivergedError as fault:
        status, message, usable = "diverged", str(fault), fault.usable
    fit_seconds = time.perf_counter() - wall
    fitted: dict[str, float | None] = {
        "fit_seconds": max(fit_seconds, curve[-1].seconds if curve else 0.0),  # a resumed fit began earlier
        "fit_cpu_seconds": time.process_time() - cpu,
        "parameters": model.parameters,
    }
    record.write_curve(folder, curve)
    if not usable:
        return _outcome(status, message, curve).model_copy(update=fitted)
    outcome = _outcome(status, message or "; ".join(notes), curve)
    if len(valid):
        told = ratings.scale.clip(predict(asked.plugin.name, model, valid.pairs))
        record.write_predictions(folder, told, "valid")
        if isinstance(model, FittedOnValid):
            fitted["valid_rmse"] = model.valid_rmse
        elif outcome.valid_rmse is None:  # a model without epochs
            fitted["valid_rmse"] = rmse(told, valid.ratings)
    test = split.test(ratings)
    wall = time.perf_counter()
    predictions = ratings.scale.clip(predict(asked.plugin.name, model, test.pairs))
    fitted["predict_seconds"] = time.perf_counter() - wall
    record.write_predictions(folder, predictions)
    record.write_state(folder, model.state())
    scores = {"rmse": rmse(predictions, test.ratings), "mae": mae(predictions, test.ratings)}
    memory = {"peak_memory": _peak_memory(), "peak_device_memory": _peak_device_memory(asked.device)}
    return outcome.model_copy(update=fitted | scores | memory)


def _outcome(status: record.Status | str, message: str, curve: list[Epoch]) -> Outcome:
    scored = [epoch for epoch in curve if epoch.valid_rmse is not None]
    best = min(scored, key=lambda epoch: epoch.valid_rmse or 0.0, default=curve[-1] if curve else None)
    return Outcome.model_validate({
        "status": status, "message": message, "epochs": len(curve) or None,
        "best_epoch": best.epoch if best else None, "valid_rmse": best.valid_rmse if best else None,
    })  # fmt: skip


def predict(name: str, model: Predictor, pairs: Pairs) -> Scores:
    """(n,) a model's predictions, checked; raises `PredictionError` when they are not n finite numbers."""
    scores = np.asarray(model.predict(pairs))
    if scores.shape != (len(pairs),):
        raise PredictionError(f"plugin {name!r} predicted an array of shape {scores.shape}, expected ({len(pairs)},)")
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        first = f"the first for user code {pairs.users[wrong[0]]}, item code {pairs.items[wrong[0]]}"
        raise PredictionError(
            f"plugin {name!r} predicted {len(wrong)} of {len(scores)} scores as NaN or infinite, {first}"
        )
    return scores.astype(np.float32, copy=False)


def reopen(done: Record, folder: Path, device: str) -> tuple[Model, Dataset]:
    """The fitted model of a stored run, and its data set; raises `RecordError` when the data are no longer the same."""
    asked = done.request
    plugin = registry.load(asked.plugin.name)
    dataset = store.open_dataset(card.load(asked.dataset.name))
    model: Model = plugin.build(plugin.config.model_validate(asked.config))
    split = _same_split(asked, dataset)
    lend = _lender(asked, Results(folder.parents[3]), split, dataset)
    context = Context(asked.seed, _device(asked.plugin.name, plugin, device), member=lend)
    model.restore(record.read_state(folder), split.train(dataset.ratings), context)
    return model, dataset


def _lender(asked: Request, results: Results, split: Split, dataset: Dataset) -> Callable[[str], Predictor]:
    parts = members.HeldOutParts(split, dataset.ratings)
    return partial(members.lend, asked, results, parts, lambda done, folder: reopen(done, folder, "auto")[0])


def _same_split(asked: Request, dataset: Dataset) -> Split:
    split = dataset.split(asked.split.name)
    if split.fingerprint != asked.split.fingerprint:
        raise RecordError(
            f"run {asked.run} was made on split {asked.split.name} with fingerprint {asked.split.fingerprint[:12]}, "
            f"here it is {split.fingerprint[:12]}: the data or the split's definition changed; make the run anew"
        )
    return split


def _torch_facts(device: str) -> tuple[str | None, int | None]:
    """The accelerator's name and the number of CPU threads, if torch is in use at all."""
    if "torch" not in sys.modules:
        return None, None
    import torch

    return (torch.cuda.get_device_name(device) if device.startswith("cuda") else None), torch.get_num_threads()


def _forget_peak_memory(device: str) -> None:
    """Of several runs in one process each has its own peak (on Linux, where it can be told to forget)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _peak_memory() -> int | None:
    with suppress(OSError, StopIteration):  # on Linux: what the system counts else is at least the parent's, and stays
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _peak_device_memory(device: str) -> int | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)
