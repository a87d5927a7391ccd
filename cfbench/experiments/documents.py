"""A report as plain data for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfbench.experiments.measures import ArmReport
    from cfbench.experiments.report import ExperimentReport
    from cfbench.experiments.verdict import Verdict


def report_data(report: ExperimentReport) -> dict[str, Any]:
    """The report: arms with their measures and curves, and verdicts with their effects."""
    experiment = report.grid.experiment
    return {
        "experiment": experiment.name, "title": experiment.title, "dataset": report.grid.dataset,
        "runs": len(report.grid.runs), "missing": len(report.missing),
        "splits": [
            {"split": split.split, "protocol": split.protocol,
             "arms": [_arm_data(arm, report) for arm in split.arms],
             "verdicts": [verdict_data(verdict) for verdict in split.verdicts]}
            for split in report.splits
        ],
    }  # fmt: skip


def _arm_data(arm: ArmReport, report: ExperimentReport) -> dict[str, Any]:
    measures = {}
    for measure in report.measures:
        published = arm.published(measure)
        measures[measure] = asdict(arm.measured(measure)) | {
            "published": None if published is None else published.model_dump(exclude={"measure", "split"}),
        }
    seeds = [
        {"seed": run.seed, "run": run.record.run, "status": run.record.outcome.status, "rmse": run.record.outcome.rmse,
         "train_rmse": [epoch.train_rmse for epoch in run.curve],
         "valid_rmse": [epoch.valid_rmse for epoch in run.curve]}
        for run in arm.runs
    ]  # fmt: skip
    return {"arm": arm.arm.label, "plugin": arm.arm.plugin, "measures": measures, "seeds": seeds,
            "diverged": arm.diverged}  # fmt: skip


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """A verdict with its effects."""
    claim = verdict.claim
    return {
        "claim": claim.text, "where": claim.where, "origin": claim.origin, "kind": claim.kind,
        "verdict": verdict.decision, "too_few": verdict.too_few, "seeds": verdict.seeds,
        "effects": [
            {"effect": effect.label, "quantity": effect.quantity, "size": effect.size, "low": effect.low,
             "high": effect.high, "shown": effect.shown, "seeds": effect.seeds, "over": effect.over,
             "reason": None if effect.reason is None else asdict(effect.reason)}
            for effect in verdict.effects
        ],
    }  # fmt: skip
