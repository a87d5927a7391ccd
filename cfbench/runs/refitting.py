"""The second fit of a run with `--refit`: to training and validation ratings, once validation has chosen the epoch.

Most published scores of a 90/10 split are those of models that have learned all of the 90 %. The second fit takes
exactly as many epochs as validation chose, with the same seed, config and schedules. Nothing validates it, so that the
validation RMSE of the run stays that of the first fit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cfbench.errors import PluginError
from cfbench.runs.doubts import best_epoch
from cfbench.runs.fitting import Fit, FitProgress, fit_model
from cfbench.runs.record import Refit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cfbench.contract import Epoch
    from cfbench.runs.job import Job


def watch_first_fit(job: Job, listener: Callable[[Epoch], None]) -> Callable[[Epoch], None]:
    """Return the listener of the first fit, which refuses the first epoch if no second fit could follow."""
    name = job.request.plugin.name
    if not job.request.refit or job.plugin.fixed_epochs:
        return listener

    def refuse(epoch: Epoch) -> None:
        raise PluginError(
            f"plugin {name!r} learns in epochs, but does not declare fixed_epochs: it cannot be fitted again for "
            f"exactly the number of up to {epoch.epochs} epochs that validation chooses; leave out --refit"
        )

    return refuse


def refit_model(job: Job, first: Fit, checkpoint: Path, progress: FitProgress) -> Fit:
    """Fit the model again, for the epochs that the first fit chose; raises `PluginError` if it fits another number.

    A second fit that diverges has no score: its last good epoch is not the one that validation chose.
    """
    best = best_epoch(first.curve)
    epochs = best.epoch if best else None
    second = fit_model(replace(job, second_fit=True, epochs=epochs), checkpoint, progress)
    if second.status == "diverged":
        return replace(second, message=f"in the fit to training and validation ratings: {second.message}", usable=False)
    if len(second.curve) != (epochs or 0):
        raise PluginError(
            f"plugin {job.request.plugin.name!r} fitted {len(second.curve)} epochs, expected the {epochs or 0} that "
            "Context.epochs demands"
        )
    return second


def describe_refit(job: Job, second: Fit) -> Refit:
    """Return what the record says of the second fit."""
    report = job.split.report
    return Refit(epochs=len(second.curve) or None, ratings=report["train"] + report["valid"], seconds=second.seconds)
