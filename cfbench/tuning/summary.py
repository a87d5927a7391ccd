"""The result of a study: its best trial, what was searched, and how its trials ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cfbench.tuning.database_url import display_url
from cfbench.tuning.edges import find_edges
from cfbench.tuning.study import best_trial, total_seconds

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from cfbench.contract import Plugin
    from cfbench.runs.record import Record
    from cfbench.tuning.edges import Edge
    from cfbench.tuning.job import WorkerJob
    from cfbench.tuning.plan import StudyPlan

STATES = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
"""What Optuna calls the states of an ended trial."""


@dataclass(frozen=True)
class BestTrial:
    """The trial with the smallest validation RMSE."""

    trial: int
    valid_rmse: float
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """The result of a study. All errors are RMSE on the validation part."""

    study: str
    storage: str
    plan: StudyPlan
    counts: dict[str, int]
    """How many trials are finished, pruned and failed."""
    seconds: float
    start_rmse: float | None
    """The error of the config that the study started from; None when its trial did not finish."""
    best: BestTrial | None
    importances: dict[str, float]
    last: str
    """How the last trial ended; empty when there is none."""
    edges: tuple[Edge, ...] = ()
    """Where the best config lies at an edge of a range."""
    preset: str | None = None
    """The file of the saved preset."""
    runs: tuple[Record, ...] | None = None
    """The runs of the best config; None when no trial finished."""

    @property
    def trials(self) -> int:
        """How many trials count."""
        return sum(self.counts.values())

    @property
    def improvement(self) -> float | None:
        """By how much the best validation RMSE is below that of the start config."""
        if self.start_rmse is None or self.best is None:
            return None
        return self.start_rmse - self.best.valid_rmse

    def as_json(self) -> dict[str, Any]:
        """The summary as `--json` prints it."""
        plan = self.plan
        data: dict[str, Any] = {
            "study": self.study, "storage": self.storage, "plugin": plan.plugin, "dataset": plan.dataset,
            "split": plan.split, "seed": plan.seed, "trials": self.counts, "seconds": self.seconds,
            "start": {"valid_rmse": self.start_rmse, "config": plan.start},
            "best": asdict(self.best) if self.best else None, "improvement": self.improvement,
            "searched": list(plan.space), "importances": self.importances, "last": self.last,
            "edges": [asdict(edge) for edge in self.edges],
        }  # fmt: skip
        if self.preset is not None:
            data["preset"] = self.preset
        if self.runs is not None:
            data["runs"] = [record.model_dump(mode="json") for record in self.runs]
        return data


def summarize(
    job: WorkerJob, trials: list[FrozenTrial], importances: dict[str, float], plugin: Plugin[Any]
) -> StudySummary:
    """Summarize the trials of a study that count."""
    best = best_trial(trials)
    edges = find_edges(plugin, job.plan, best.user_attrs["config"]) if best else []
    return StudySummary(
        study=job.name, storage=display_url(job.storage), plan=job.plan,
        counts={name: sum(trial.state.name == state for trial in trials) for name, state in STATES.items()},
        seconds=total_seconds(trials),
        start_rmse=next((trial.value for trial in trials if "start" in trial.user_attrs and trial.values), None),
        best=BestTrial(best.number, best.value or 0.0, best.user_attrs["config"]) if best else None,
        importances=importances, last=describe_outcome(trials[-1]) if trials else "",
        edges=tuple(edges),
    )  # fmt: skip


def describe_outcome(trial: FrozenTrial) -> str:
    """The validation RMSE of a trial, or how it ended."""
    state, reason = trial.state.name, trial.user_attrs.get("reason", "")
    if state == "COMPLETE":
        return f"{trial.value:.4f}"
    if state == "RUNNING":
        with suppress(ValueError):  # no epoch yet
            epoch = max(trial.intermediate_values)
            return f"{trial.intermediate_values[epoch]:.4f} by epoch {epoch}"
        return "running"
    return f"{'pruned' if state == 'PRUNED' else 'failed'}: {reason or 'its process was killed or interrupted'}"
