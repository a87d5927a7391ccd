"""The record of a run as people read it: one line for each fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.report import numbers

if TYPE_CHECKING:
    from cfbench.runs.costs import Cost
    from cfbench.runs.machine import Machine
    from cfbench.runs.record import Energy, Exposure, ImportedFacts, Outcome, Record, Refit, Request, Tuned


def record_facts(record: Record, cost: Cost) -> dict[str, str]:
    """Everything that a reader of a record asks for, as text, by the name of its line."""
    request = record.request
    if request.imported is not None:
        return _imported_facts(record, request.imported)
    facts = _data_facts(record) | _score_facts(record.outcome) | _cost_facts(cost)
    if cost.members:
        facts["members"] = _describe_members(record.outcome, cost)
    if record.outcome.energy:
        facts["energy of the fit"] = describe_energy(record.outcome.energy)
    facts |= {
        "seed": str(request.seed),
        "device": _with_detail(request.device, record.machine.accelerator),
        "preset": request.preset or "none",
    } | _exposure_facts(request.exposure)
    if request.tuned:
        facts["tuned"] = _describe_search(request.tuned)
    return (
        facts
        | _config_facts(request)
        | {"started": f"{request.started:%Y-%m-%d %H:%M:%S} UTC"}
        | _machine_facts(record.machine)
    )


def _imported_facts(record: Record, imported: ImportedFacts) -> dict[str, str]:
    """The lines of a run whose predictions were made elsewhere: it has no costs, and no config."""
    request, files = record.request, [file for file in (imported.test, imported.valid) if file is not None]
    return _data_facts(record) | _score_facts(record.outcome) | {
        "plugin": f"{request.plugin.name} ({request.plugin.title})",
        "imported from": ", ".join(f"{file.name} (SHA-256 {file.sha256[:12]})" for file in files),
        "imported": f"{request.started:%Y-%m-%d %H:%M:%S} UTC",
        "seed": str(request.seed),
    }  # fmt: skip


def _data_facts(record: Record) -> dict[str, str]:
    """The run, its plugin, and the ratings it learned from."""
    request, outcome = record.request, record.outcome
    plugin, dataset, split = request.plugin, request.dataset, request.split
    return {
        "run": record.run,
        "status": f"{outcome.status}: {outcome.message}" if outcome.message else outcome.status,
        "plugin": f"{plugin.name} ({plugin.title}; {plugin.package}, source {plugin.source[:12] or 'unknown'})",
        "data set": f"{dataset.name}, version {dataset.card_version}, {dataset.fingerprint[:12]}",
        "split": f"{split.name}, {split.fingerprint[:12]}",
        "parts": ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in split.report.items()),
    }


def _score_facts(outcome: Outcome) -> dict[str, str]:
    """The scores."""
    valid_rmse = numbers.score(outcome.valid_rmse)
    if outcome.epochs:
        valid_rmse += f" in epoch {outcome.best_epoch} of {outcome.epochs}"
    if outcome.refit:
        valid_rmse += ", by the first fit"
    return {
        "test RMSE": numbers.score(outcome.rmse),
        "test MAE": numbers.score(outcome.mae),
        "validation RMSE": valid_rmse,
        **_refit_facts(outcome.refit),
        **({"warning": outcome.warning} if outcome.warning else {}),
        **({"doubtful": "; ".join(doubt.detail for doubt in outcome.doubts)} if outcome.doubts else {}),
    }


def _cost_facts(cost: Cost | Outcome) -> dict[str, str]:
    """The size of the model, and what the run took."""
    wall_time, processor_time = numbers.duration(cost.fit_seconds), numbers.duration(cost.fit_cpu_seconds)
    return {
        "parameters": numbers.count(cost.parameters),
        "fit": f"{wall_time} ({processor_time} of processor time)",
        "predict": numbers.duration(cost.predict_seconds),
        "peak memory": numbers.megabytes(cost.peak_memory),
    }


def describe_energy(energy: Energy) -> str:
    """Say how much electricity a fit took, what of it was measured, and what was guessed."""
    grams = numbers.NONE if energy.co2_grams is None else f"{energy.co2_grams:.3g} g"
    amounts = f"{numbers.watt_hours(energy.wh)}, {grams} of carbon dioxide, as {energy.source} estimates"
    measured = "; ".join(energy.measured) or "nothing"
    return f"{amounts}; measured: {measured}; guessed: {'; '.join(energy.guessed) or 'nothing'}"


def _describe_members(outcome: Outcome, cost: Cost) -> str:
    """Say that the cost includes the members, or why it is unknown, and what the run took without them."""
    count, alone = numbers.count(cost.members), ", ".join(f"{k} {v}" for k, v in _cost_facts(outcome).items())
    if cost.missing:
        gone = f"{len(cost.missing)} of {count}: {', '.join(cost.missing)}"
        return f"missing from the results are {gone}; so the cost is unknown; without members: {alone}"
    return f"{count}; the cost above includes theirs; without members: {alone}"


def _exposure_facts(exposure: Exposure | None) -> dict[str, str]:
    if exposure is None:
        return {}
    counts = f"{exposure.validated:,} as validation, {exposure.trained:,} as training ratings"
    seen = exposure.validated + exposure.trained
    return {
        "test ratings met": f"the preset's choice on {exposure.split} has seen {seen:,} of {exposure.test:,}: {counts}"
    }


def _refit_facts(refit: Refit | None) -> dict[str, str]:
    if refit is None:
        return {}
    epochs = f", {refit.epochs} epochs" if refit.epochs else ""
    seconds = numbers.duration(refit.seconds)
    return {"second fit": f"to {refit.ratings:,} training and validation ratings{epochs}, {seconds} of the fit"}


def _config_facts(request: Request) -> dict[str, str]:
    """Each hyper-parameter, and where its value came from."""
    values = {}
    for name, value in request.config.items():
        values[f"  {name}"] = f"{numbers.hyper_parameter(value)} ({request.origins.get(name, 'unknown')})"
    return {"config": ""} | values


def _machine_facts(machine: Machine) -> dict[str, str]:
    threads = f", {machine.threads} threads" if machine.threads else ""
    versions = {"python": machine.python, **machine.libraries}
    return {
        "machine": f"{machine.processor}, {machine.cores} cores{threads}, {machine.system}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _with_detail(text: str, detail: str | None) -> str:
    return f"{text} ({detail})" if detail else text


def _describe_search(tuned: Tuned) -> str:
    validation_part = f"the validation part of {tuned.dataset}, {tuned.split}"
    best = f"best {numbers.score(tuned.valid_rmse)} (study {tuned.study})"
    return f"{tuned.trials} trials in {numbers.duration(tuned.seconds)} on {validation_part}: {best}"
