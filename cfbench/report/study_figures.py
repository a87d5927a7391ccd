"""The drawings of a tuning study: its history, and the values of all trials as parallel coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cfbench.report import numbers
from cfbench.report.drawing import Picture
from cfbench.report.ranges import robust_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.report.drawing import Sketch

MOST_AXES = 8
"""The most hyper-parameters that are drawn, the most important first."""
AXIS_WIDTH = 0.8
"""A hyper-parameter needs so many inches, or those of its name."""
BEST_SHARE = 0.1
"""This share of the trials, those with the smallest error, is drawn in colour."""
HISTORY, PARALLEL = 0.41, 0.47
"""The heights of the drawings, in widths."""


@dataclass(frozen=True)
class TrialPoint:
    """A finished trial: its number, its validation RMSE, and where its values lie on the axes, from 0 to 1."""

    number: int
    valid_rmse: float
    places: tuple[float, ...]


@dataclass(frozen=True)
class SearchAxis:
    """A hyper-parameter that was searched, and the ends of its range as text."""

    name: str
    low: str
    high: str


@dataclass(frozen=True)
class StudyPoints:
    """The finished trials of a study, and its hyper-parameters, the most important first."""

    trials: tuple[TrialPoint, ...]
    axes: tuple[SearchAxis, ...]

    @property
    def best(self) -> set[int]:
        """The numbers of the best trials."""
        order = sorted(self.trials, key=lambda trial: trial.valid_rmse)
        return {trial.number for trial in order[: max(1, round(BEST_SHARE * len(order)))]}


def draw_history(study: StudyPoints) -> Picture | None:
    """The validation RMSE of each trial, and the best so far; None without a finished trial."""
    if not study.trials:
        return None
    paint = _alone(lambda sketch, axes: _paint_history(sketch, axes, study))
    return Picture("validation RMSE of each trial, and the best so far", lambda width: HISTORY * width, paint)


def draw_parallel(study: StudyPoints) -> Picture | None:
    """A line for each trial through its values, in colour for the best ones; None with less than two axes."""
    if len(study.axes) < 2 or not study.trials:
        return None
    paint = _alone(lambda sketch, axes: _paint_parallel(sketch, axes, study))
    words = "hyper-parameters of each trial, the best ones in colour"
    return Picture(words, lambda width: PARALLEL * width, paint)


def draw_study(study: StudyPoints) -> Picture | None:
    """The history above the values of all trials; None without a finished trial."""
    history, parallel = draw_history(study), draw_parallel(study)
    if history is None or parallel is None:
        return history

    def paint(sketch: Sketch) -> None:
        above, below = sketch.figure.subplots(2, 1, height_ratios=(1, 1))
        _paint_history(sketch, above, study)
        _paint_parallel(sketch, below, study)
        _explain(sketch, above, below)

    def height(width: float) -> float:
        return 2 * max(1.6, 0.44 * width)

    return Picture(f"{history.label}; {parallel.label}", height, paint)


def _alone(paint: Callable[[Sketch, Any], None]) -> Callable[[Sketch], None]:
    return lambda sketch: paint(sketch, sketch.figure.subplots())


def _paint_history(sketch: Sketch, axes: Any, study: StudyPoints) -> None:
    low, high = robust_range([trial.valid_rmse for trial in study.trials])
    margin = 0.08 * (high - low) or 0.01
    for trial in study.trials:
        is_above = trial.valid_rmse > high + margin
        axes.plot(
            trial.number, min(trial.valid_rmse, high + margin), linestyle="none", marker="^" if is_above else "o",
            markersize=3.5, color=sketch.palette.muted, clip_on=False, gid=sketch.tip(_describe(trial)),
        )  # fmt: skip
    best = list(accumulate((trial.valid_rmse for trial in study.trials), min))
    axes.step([trial.number for trial in study.trials], best, where="post", color=sketch.palette.accent, linewidth=1.5)
    axes.set(xlabel="trial", ylabel="validation RMSE", ylim=(low - margin, high + margin))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=True, axis="y")


def _describe(trial: TrialPoint) -> str:
    return f"trial {trial.number}: validation RMSE {numbers.score(trial.valid_rmse)}"


def _paint_parallel(sketch: Sketch, axes: Any, study: StudyPoints) -> None:
    shown = study.axes[: _axes_in(sketch.figure.get_figwidth(), study)]
    best, palette = study.best, sketch.palette
    for trial in sorted(study.trials, key=lambda trial: -trial.valid_rmse):
        is_best = trial.number in best
        axes.plot(
            range(len(shown)), trial.places[: len(shown)], color=palette.accent if is_best else palette.rule,
            gid=sketch.tip(_describe(trial)), linewidth=1.6 if is_best else 0.9,
        )  # fmt: skip
    for column, axis in enumerate(shown):
        axes.vlines(column, 0, 1, color=palette.muted, linewidth=0.8, zorder=0)
        for text, height, colour in (
            (axis.low, -0.09, palette.muted), (axis.high, 1.03, palette.muted), (axis.name, -0.22, palette.ink)
        ):  # fmt: skip
            axes.annotate(
                xy=(column, height), ha="center", color=colour, fontsize="medium" if colour == palette.ink else "small",
                **sketch.text(text),
            )  # fmt: skip
    axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(-0.26, 1.14))
    axes.axis("off")


def _axes_in(width: float, study: StudyPoints) -> int:
    """How many hyper-parameters fit in a drawing of a width in inches."""
    import matplotlib as mpl

    letter = 0.6 * mpl.rcParams["font.size"] / 72
    needed = max(AXIS_WIDTH, *(letter * (len(axis.name) + 1) for axis in study.axes[:MOST_AXES]))
    return min(MOST_AXES, max(2, int(width / needed)))


def _explain(sketch: Sketch, above: Any, below: Any) -> None:
    """Explain the points and lines of both panels."""
    palette = sketch.palette
    above.plot([], [], linestyle="none", marker="o", markersize=3.5, color=palette.muted, label="trial")
    above.plot([], [], color=palette.accent, linewidth=1.5, label="best so far, and the best tenth of the trials")
    below.set_title("hyper-parameters of each trial", loc="left")
    sketch.legend(above)
