"""The tuning studies of a data set in a page: what was searched, how it went, and which hyper-parameters matter."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

from cfbench.errors import CfbenchError
from cfbench.report import numbers
from cfbench.report.inline_svg import inline
from cfbench.report.study_figures import SearchAxis, StudyPoints, TrialPoint, draw_history, draw_parallel

if TYPE_CHECKING:
    from pathlib import Path

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class SearchedParameter:
    """A hyper-parameter that a study searched: its value in the best trial, and its importance."""

    name: str
    best: str
    importance: str
    share: float
    """The importance in per cent; 0 where it is not known."""


@dataclass(frozen=True)
class StudyView:
    """What the page shows of a study."""

    anchor: str
    name: str
    summary: str
    history: str
    parallel: str
    parameters: tuple[SearchedParameter, ...]


def gather_studies(results: Path, dataset: str) -> tuple[StudyView, ...]:
    """The studies of a data set in a results folder, by name; those that cannot be read are left out."""
    if not any((results / ".studies").glob("*.db")):
        return ()  # Optuna need not be loaded
    from cfbench.tuning.database import storage_errors
    from cfbench.tuning.stored_studies import list_studies
    from cfbench.tuning.study import FACTS

    views: list[StudyView] = []
    for stored in sorted(list_studies(results, None), key=lambda stored: stored.name):
        if stored.study is not None and stored.study.user_attrs[FACTS]["data set"] == dataset:
            with suppress(CfbenchError), storage_errors(stored.url):
                views.append(_view(stored.study, f"study-{len(views) + 1}"))
    return tuple(views)


def study_points(study: Study) -> StudyPoints:
    """The finished trials of a study, and its hyper-parameters, the most important first."""
    from cfbench.tuning.study import compute_importances, counted_trials

    trials = counted_trials(study.get_trials(deepcopy=False))
    ranges = {name: each for trial in trials for name, each in trial.distributions.items()}
    names = list(dict.fromkeys([*compute_importances(study), *ranges]))
    points = [_point(trial, names) for trial in trials if trial.value is not None and trial.state.name == "COMPLETE"]
    return StudyPoints(tuple(points), tuple(SearchAxis(name, *_ends(ranges[name])) for name in names))


def _view(study: Study, anchor: str) -> StudyView:
    from cfbench.tuning.study import best_trial, compute_importances, counted_trials

    trials, points = counted_trials(study.get_trials(deepcopy=False)), study_points(study)
    best, importances = best_trial(trials), compute_importances(study)
    return StudyView(
        anchor=anchor,
        name=study.study_name,
        summary=_summarize(study, trials),
        history=inline(draw_history(points), f"{anchor}-history"),
        parallel=inline(draw_parallel(points), f"{anchor}-parallel"),
        parameters=() if best is None else tuple(_parameter(axis.name, best, importances) for axis in points.axes),
    )


def _summarize(study: Study, trials: list[FrozenTrial]) -> str:
    from cfbench.tuning.study import FACTS, best_trial, format_count, total_seconds

    facts, best = study.user_attrs[FACTS], best_trial(trials)
    start = next((trial.value for trial in trials if "start" in trial.user_attrs and trial.values), None)
    count, seconds = format_count(len(trials)), numbers.duration(total_seconds(trials))
    found = (
        "no trial finished" if best is None else f"the best is trial {best.number}, with {numbers.score(best.value)}"
    )
    begun = "" if start is None else f"; the config that it started from has {numbers.score(start)}"
    return f"{facts['plugin']} on split {facts['split']}: {count} in {seconds}; {found}{begun}"


def _point(trial: FrozenTrial, names: list[str]) -> TrialPoint:
    places = (_place(trial.distributions[name], trial.params[name]) if name in trial.params else 0.0 for name in names)
    return TrialPoint(trial.number, trial.value or 0.0, tuple(places))


def _place(distribution: BaseDistribution, value: Any) -> float:
    """Where a value lies in its range, from 0 to 1."""
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return float(choices.index(value) / max(1, len(choices) - 1))
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]  # of numbers
    if distribution.log:  # type: ignore[attr-defined]
        low, high, value = log(low), log(high), log(value)
    return float((value - low) / (high - low)) if high > low else 0.0


def _ends(distribution: BaseDistribution) -> tuple[str, str]:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return str(choices[0]), str(choices[-1])
    return f"{distribution.low:g}", f"{distribution.high:g}"  # type: ignore[attr-defined]  # of numbers


def _parameter(name: str, best: FrozenTrial, importances: dict[str, float]) -> SearchedParameter:
    value = best.user_attrs.get("config", best.params).get(name, best.params.get(name))
    text = f"{value:.4g}" if isinstance(value, float) else numbers.hyper_parameter(value)
    share = importances.get(name)
    return SearchedParameter(name, text, "" if share is None else f"{share:.0%}", round(100 * (share or 0.0), 1))
