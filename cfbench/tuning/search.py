"""TUNE: which hyper-parameters of a plugin predict the validation ratings best.

    plan → study in a database ⇄ workers: sampler's values → config → fit on train → RMSE on valid

Optuna's multivariate TPE chooses, the median rule ends hopeless fits (J. Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NIPS 2011; D. Golovin et al., "Google Vizier", KDD 2017, section 3.2.2). A process that
tries configs holds the training and the validation part and nothing else: the test part is never cut out.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, ValidationError

from cfbench.contract import Context, DivergedError, Epoch, Model
from cfbench.data import card, store
from cfbench.data.split import DEFAULT_SPLIT
from cfbench.errors import RecordError, SplitError
from cfbench.files import write_atomically
from cfbench.metrics import rmse
from cfbench.runs import registry, run
from cfbench.runs.record import Record, Request, Tuned
from cfbench.runs.results import Results
from cfbench.tuning import database, study
from cfbench.tuning.space import space
from cfbench.tuning.study import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from optuna import Study, Trial

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.ratings import Ratings
    from cfbench.runs.run import Setup

WARM_UP = 1 / 3
"""No fit is ended before this share of its epochs: a one-cycle learning rate rises so long. Replayed over 24 whole fits
of deepae on ml-100k, the median rule then saves a quarter of the time and ends none of the five best; successive
halving from the fifth epoch saves two thirds and ends one of them."""

HOPELESS = 5
"""Trials of which all failed, the first ones of a study, that end it: more of them would fail as well."""

ENOUGH = 10
"""Finished trials before importances are told: of fewer, the best tenth is one."""


class Job(BaseModel):
    """What a worker is to do; it goes from process to process as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    storage: str
    plan: Plan
    device: str
    trials: int | None
    """How many the study shall have in all."""
    deadline: float | None
    """Seconds since 1970 after which no trial is begun and, but for the first, none goes on."""

    def over(self, trials: list[FrozenTrial]) -> bool:
        """Whether nothing is left to do."""
        late = self.deadline is not None and time.time() >= self.deadline
        first = any(trial.state.is_finished() for trial in trials)  # without a first one all was for nothing
        ended = study.ended(trials)
        hopeless = len(ended) >= HOPELESS and all(trial.state == TrialState.FAIL for trial in ended[:HOPELESS])
        return (late and first) or hopeless or (self.trials is not None and len(ended) >= self.trials)

    def taken(self, trials: list[FrozenTrial], number: int | None = None) -> bool:
        """Whether those that ended and those under way, up to a number, are as many as there shall be."""
        running = [t for t in trials if t.state == TrialState.RUNNING and (number is None or t.number < number)]
        return self.trials is not None and len(study.ended(trials)) + len(running) >= self.trials


def plan(setup: Setup, dataset: Dataset, split: Split, seed: int, ranges: Iterable[str]) -> Plan:
    """What a study of a configured plugin is about: flags are fixed, the rest is searched from where it stands.

    Raises `SplitError` when there is nothing to validate on, `ConfigError`, `UnknownNameError`.
    """
    if not split.report["valid"]:
        raise SplitError(
            f"split {split.name!r} of {dataset.card.name} has no validation part to tune on; "
            "choose another with --split"
        )
    fixed = [name for name, origin in setup.origins.items() if origin == "flag"]
    return Plan(
        plugin=setup.name, package=registry.locate(setup.name).package, dataset=dataset.card.name, split=split.name,
        fingerprint=split.fingerprint, seed=seed, start=setup.config.model_dump(mode="json"),
        fixed=tuple(sorted(fixed)), space=space(setup.plugin, setup.config, fixed, ranges),
    )  # fmt: skip


def as_it_began(setup: Setup, start: dict[str, Any] | None) -> Setup:
    """The setup, but for its flags as a study started that is there already: presets may have changed since.

    One of them is the preset that `--save-preset` made of the study's best. A start that the plugin no longer takes is
    left, for the study to be refused.
    """
    if start is None or start.keys() != setup.config.model_dump().keys():
        return setup
    asked = {name: value for name, value in setup.config.model_dump().items() if setup.origins[name] == "flag"}
    with suppress(ValidationError):
        setup = replace(setup, config=setup.plugin.config.model_validate(start | asked))
    return setup


class Objective:
    """A trial: fit on the training part, the RMSE of the validation part clipped to the scale."""

    def __init__(self, job: Job, train: Ratings, valid: Ratings, listen: Callable[[], None]) -> None:
        self._job, self._train, self._valid, self._listen = job, train, valid, listen
        self._plugin = registry.load(job.plan.plugin)
        self.number: int | None = None
        """Of the trial under way, or of the last one."""

    def __call__(self, trial: Trial) -> float:
        """The smallest of the epochs' errors, or that of the fitted model where it has no epochs."""
        self.number = trial.number
        trial.set_user_attr("worker", study.here())
        try:
            self._claim(trial)
            return self._score(trial)
        except (optuna.TrialPruned, KeyboardInterrupt):
            raise
        except Exception as fault:
            trial.set_user_attr("reason", " ".join(f"{type(fault).__name__}: {fault}".split())[:300])
            if isinstance(fault, DivergedError) or _is_out_of_memory(fault):
                raise optuna.TrialPruned from fault  # the sampler shall keep away from there
            raise

    def _claim(self, trial: Trial) -> None:
        """Let go of a trial that is one too many since several workers began at once: the lowest numbers are in."""
        if self._job.taken(trial.study.get_trials(deepcopy=False), trial.number):
            trial.set_user_attr("surplus", True)
            raise RuntimeError("one too many")

    def _score(self, trial: Trial) -> float:
        plan = self._job.plan
        start = "start" in trial.user_attrs
        values = {name: dimension.suggest(name, trial) for name, dimension in plan.space.items()}
        config = self._plugin.config.model_validate(plan.start | ({} if start else values)).for_device(self._job.device)
        trial.set_user_attr("config", config.model_dump(mode="json"))
        model: Model = self._plugin.build(config)
        lowest = math.inf

        def report(epoch: Epoch) -> None:
            nonlocal lowest
            if epoch.valid_rmse is not None:
                lowest = min(lowest, epoch.valid_rmse)
                trial.report(lowest, epoch.epoch)
            self._listen()
            if not start:
                self._prune(trial, epoch)

        model.fit(self._train, self._valid, Context(plan.seed, self._job.device, report=report))
        return lowest if math.isfinite(lowest) else self._validate(model)

    def _prune(self, trial: Trial, epoch: Epoch) -> None:
        reason = ""
        if self._job.deadline is not None and time.time() >= self._job.deadline:
            reason = "time is up"
        elif epoch.epoch >= WARM_UP * epoch.epochs and trial.should_prune():
            reason = "worse than half of the trials"
        if reason:
            trial.set_user_attr("reason", f"{reason} at epoch {epoch.epoch}")
            raise optuna.TrialPruned

    def _validate(self, model: Model) -> float:
        valid = self._valid
        predictions = run.predict(self._job.plan.plugin, model, valid.pairs)
        return rmse(valid.scale.clip(predictions), valid.ratings)


def _is_out_of_memory(fault: Exception) -> bool:
    name = type(fault).__name__
    return isinstance(fault, MemoryError) or name == "OutOfMemoryError" or "can't allocate memory" in str(fault)


def work(job: Job, listen: Callable[[], None] = lambda: None, orphaned: Callable[[], bool] = lambda: False) -> None:
    """Add trials to a study until there are enough, in this process. Ctrl-C queues the trial in flight anew."""
    objective = Objective(job, *_parts(job.plan), listen)
    joined = study.join(job.name, job.storage, job.plan.seed)
    with database.faults(job.storage):
        while not job.over(trials := joined.get_trials(deepcopy=False)) and not orphaned():
            if job.taken(trials):  # the last ones are under way elsewhere, and may be lost
                time.sleep(0.2)
                study.retry_stale(joined)
            else:
                _one_trial(joined, objective)
            listen()


def _one_trial(joined: Study, objective: Objective) -> None:
    """Try a config; one that another process took for dead and ended meanwhile does not count, and is no fault."""
    objective.number = None
    try:
        joined.optimize(objective, n_trials=1, catch=Exception)
    except KeyboardInterrupt:
        mine = _trial(joined, objective.number)
        if mine and mine.state == TrialState.FAIL and "reason" not in mine.user_attrs:
            database.retry(joined, mine)
        raise
    except Exception:
        mine = _trial(joined, objective.number)
        if mine is None or not mine.state.is_finished():
            raise


def _trial(joined: Study, number: int | None) -> FrozenTrial | None:
    trials = joined.get_trials(deepcopy=False)
    return next((trial for trial in trials if trial.number == number), None)


def _parts(plan: Plan) -> tuple[Ratings, Ratings]:
    """The training and the validation part, copies both; raises `RecordError` when the data changed."""
    dataset = store.open_dataset(card.load(plan.dataset))
    split = dataset.split(plan.split)
    if split.fingerprint != plan.fingerprint:
        raise RecordError(f"split {plan.split} of {plan.dataset} changed since the study began; begin another")
    return split.train(dataset.ratings), split.valid(dataset.ratings)


def importances(joined: Study) -> dict[str, float]:
    """Each hyper-parameter's share in the validation error, largest first; empty where trials are too few to say.

    PED-ANOVA: S. Watanabe, A. Bansal and F. Hutter, IJCAI 2023.
    """
    if len(joined.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < ENOUGH:
        return {}
    shares = optuna.importance.get_param_importances(joined)
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def best_setup(setup: Setup, job: Job, best: FrozenTrial) -> Setup:
    """The setup with the best trial's config."""
    config = setup.plugin.config.model_validate(best.user_attrs["config"])
    tuned = {} if "start" in best.user_attrs else dict.fromkeys(job.plan.space, "tuning")
    return replace(setup, config=config, origins=setup.origins | tuned)


class TunedResults(Results):
    """Results among which only tuned runs are seen: another, the same but for that, would hide that one was tuned."""

    def records(self, dataset: str, split: str) -> list[Record]:
        """The tuned runs of a data set and split, oldest first; raises `RecordError`."""
        return [done for done in super().records(dataset, split) if done.request.tuned]

    def interrupted(self) -> list[Request]:
        """What the unfinished tuned runs were asked for."""
        return [past for past in super().interrupted() if past.tuned]


def request(setup: Setup, job: Job, trials: list[FrozenTrial], data: Dataset, seed: int) -> Request:
    """A run of the best config, that says how it was found."""
    best = study.best(trials)
    facts = Tuned(
        study=job.name, dataset=job.plan.dataset, split=job.plan.split, trials=len(study.ended(trials)),
        seconds=study.seconds(trials), seed=job.plan.seed, valid_rmse=best.value if best else None,
    )  # fmt: skip
    return run.new_request(setup, data, data.split(job.plan.split), seed).model_copy(update={"tuned": facts})


def preset_name(plan: Plan) -> str:
    """The data set's name, so that the preset is used there by default, but only of what was tuned on the usual split.

    What was tuned on another may have seen the usual one's test ratings: it has to be asked for.
    """
    return plan.dataset if plan.split == DEFAULT_SPLIT else f"{plan.dataset}-{plan.split}"


def save_preset(setup: Setup, job: Job, trials: list[FrozenTrial]) -> str:
    """Keep what a config does not leave to the defaults as a preset of one's own; returns where.

    A comment above it says how it was found. Raises `WriteError`, and `PluginError` when those kept before cannot be
    read.
    """
    file, name, best = registry.user_presets_file(setup.name), preset_name(job.plan), study.best(trials)
    chosen = {key: getattr(setup.config, key) for key, origin in setup.origins.items() if origin != "default"}
    presets = (registry.read_presets(setup.name, file) if file.exists() else {}) | {name: chosen}
    found = f"# study {job.name}, split {job.plan.split}, {study.counted(len(study.ended(trials)))}"
    notes = _notes(file.read_text(encoding="utf-8") if file.exists() else "")
    notes[name] = f"{found}, validation RMSE {best.value:.4f}" if best else found
    lines = [f"# Your own presets of {setup.name}, written by `cfbench tune`; they win over those that came with it."]
    for preset, values in presets.items():
        lines += ["", *([notes[preset]] if preset in notes else []), f"[{json.dumps(preset)}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    write_atomically(file, "\n".join(lines) + "\n")
    return str(file)


def _notes(text: str) -> dict[str, str]:
    """The comment in the line above each preset's name."""
    pairs = pairwise(line.strip() for line in text.splitlines())
    return {line.strip("[]\"' "): note for note, line in pairs if note.startswith("#") and line.startswith("[")}
