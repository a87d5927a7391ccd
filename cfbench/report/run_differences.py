"""Where two runs differ, as people read it: one line for each fact of their records that is not the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.runs.costs import Cost
    from cfbench.runs.record import Record

_OUTCOMES = ("status", "rmse", "mae", "valid_rmse", "epochs", "best_epoch")
_COSTS = ("parameters", "fit_seconds", "predict_seconds", "peak_memory")
_FORMATS: dict[str, Callable[[Any], str]] = {
    "rmse": numbers.score, "mae": numbers.score, "valid_rmse": numbers.score, "parameters": numbers.count,
    "fit_seconds": numbers.duration, "predict_seconds": numbers.duration, "peak_memory": numbers.megabytes,
}  # fmt: skip


def find_differences(first: tuple[Record, Cost], second: tuple[Record, Cost]) -> dict[str, tuple[Any, Any]]:
    """The facts that differ, with both values; a value is None where only the other record has the fact."""
    facts = _facts(*first), _facts(*second)
    pairs = {name: (facts[0].get(name), facts[1].get(name)) for name in {**facts[0], **facts[1]}}
    return {name: values for name, values in pairs.items() if values[0] != values[1]}


def _facts(record: Record, cost: Cost) -> dict[str, Any]:
    """Everything in a record that can be compared, and the cost with members, by the name of its line."""
    request, outcome, machine = record.request, record.outcome, record.machine
    return {
        "imported": None if request.imported is None else request.imported.test.name,
        "plugin": request.plugin.name, "package": request.plugin.package, "source": request.plugin.source[:12],
        "data set": request.dataset.name, "ratings": request.dataset.fingerprint[:12], "split": request.split.name,
        "cut": request.split.fingerprint[:12], "preset": request.preset, "refit": request.refit, "seed": request.seed,
        "device": request.device,
        **{f"config {name}": value for name, value in request.config.items()},
        "machine": f"{machine.processor}, {machine.cores} cores", "threads": machine.threads,
        "accelerator": machine.accelerator, "python": machine.python,
        **{f"version {name}": value for name, value in machine.libraries.items()},
        **{name: getattr(outcome, name) for name in _OUTCOMES},
        **{name: getattr(cost, name) for name in _COSTS},
    }  # fmt: skip


def difference_cells(name: str, values: tuple[Any, Any]) -> list[str]:
    """Both values as other tables round them, or with more digits where that would make them equal."""
    for write in (_FORMATS.get(name, _six_digits), _six_digits, numbers.hyper_parameter):
        cells = [numbers.NONE if value is None else write(value) for value in values]
        if cells[0] != cells[1]:
            break
    return cells


def _six_digits(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else numbers.hyper_parameter(value)
