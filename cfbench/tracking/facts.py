"""What a tracker receives of a run, in the words of its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from cfbench.contract import format_value
from cfbench.runs.rerun import portable_command

if TYPE_CHECKING:
    from cfbench.contract import Epoch
    from cfbench.runs.record import Outcome, Request

TrackerName: TypeAlias = Literal["tensorboard", "mlflow"]
NAMES: tuple[TrackerName, ...] = get_args(TrackerName)
FINAL = {
    "test_rmse": "rmse", "test_mae": "mae", "chosen_valid_rmse": "valid_rmse", "best_epoch": "best_epoch",
    "parameters": "parameters", "fit_seconds": "fit_seconds", "fit_cpu_seconds": "fit_cpu_seconds",
    "predict_seconds": "predict_seconds", "peak_memory": "peak_memory", "peak_device_memory": "peak_device_memory",
}  # fmt: skip
"""The numbers of a run that has ended: their names in a tracker, and the fields of the outcome that hold them."""


def settings(request: Request) -> dict[str, str | bool | int | float]:
    """Everything that was chosen before a run began: hyper-parameters, and what they were applied to."""
    chosen = {
        "plugin": request.plugin.name, "dataset": request.dataset.name, "split": request.split.name,
        "preset": request.preset or "none", "seed": request.seed, "device": request.device, "refit": request.refit,
    }  # fmt: skip
    config = {f"config.{name}": value for name, value in request.config.items()}
    return {name: _simple(value) for name, value in (chosen | config).items()}


def _simple(value: object) -> str | bool | int | float:
    """A number as it is, anything else as the command line writes it."""
    return value if isinstance(value, bool | int | float) else format_value(value)


def labels(request: Request) -> dict[str, str]:
    """What identifies a run, its data and its code."""
    return {
        "cfbench.run": request.run, "cfbench.plugin": f"{request.plugin.title} ({request.plugin.package})",
        "cfbench.ratings": request.dataset.fingerprint, "cfbench.split": request.split.fingerprint,
        "cfbench.command": portable_command(request, request.split.name),
    }  # fmt: skip


def scores(outcome: Outcome) -> dict[str, float]:
    """The numbers of an outcome that are known."""
    known = {name: getattr(outcome, field) for name, field in FINAL.items()}
    return {name: float(value) for name, value in known.items() if value is not None}


def errors(epoch: Epoch) -> dict[str, float]:
    """The errors of an epoch."""
    known = {"train_rmse": epoch.train_rmse, "valid_rmse": epoch.valid_rmse}
    return {name: float(value) for name, value in known.items() if value is not None}
