"""What a leaderboard's page shows, gathered as typed values; `html` writes them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from cfbench.errors import RecordError
from cfbench.leaderboard import SLICES
from cfbench.report import board_figures, numbers
from cfbench.report.board_table import BoardTable, PairMatrix, build_pairs, build_table
from cfbench.report.dataset_summary import describe, summarize_ratings, summarize_split
from cfbench.report.explanations import METRIC_NAMES, SAMPLES, explain_all, row_labels
from cfbench.report.headline import Headline, write_headline
from cfbench.report.inline_svg import SERIES
from cfbench.report.model_runs import ModelRuns, describe_runs
from cfbench.report.study_page import StudyView, gather_studies
from cfbench.runs.arrays import CURVE, read_curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.data.card import Card
    from cfbench.data.store import Dataset
    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow
    from cfbench.report.dataset_summary import RatingsSummary, SplitSummary
    from cfbench.report.explanations import Mark
    from cfbench.runs.record import Record
    from cfbench.runs.results import Results

MOST_CURVES = len(SERIES)
MOST_DRAWN = 100
"""The drawings of costs and errors show at most so many models, the best ones: nobody can distinguish more."""
AXES: dict[SliceBy, tuple[str, str]] = {
    "user-activity": ("By activity of the user", "training ratings of the user"),
    "item-popularity": ("By popularity of the item", "training ratings of the item"),
    "rating": ("By rating", "rating that the user gave"),
}
"""The heading of each way to slice the test ratings, and what its labels are."""


@dataclass(frozen=True)
class SlicePanel:
    """The errors by slice: a drawing, and its numbers. A line has the RMSE of each slice."""

    heading: str
    svg: str
    labels: tuple[str, ...]
    ratings: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class SplitFact:
    """A split of the leaderboard: its name, its fingerprint, and its counts where they are known."""

    name: str
    fingerprint: str
    counts: str


@dataclass(frozen=True)
class DataFacts:
    """The card of the data set, and the split."""

    card: Card
    scale: str
    split_in_words: str
    splits: tuple[SplitFact, ...]
    ratings: RatingsSummary | None
    bars: tuple[tuple[str, str, float], ...]
    """The count of each rating, and its share of the largest count, in per cent."""


@dataclass(frozen=True)
class Page:
    """Everything that the page shows."""

    ranked_board: RankedBoard
    metric: str
    sample: str
    headline: Headline
    table: BoardTable
    marks: tuple[Mark, ...]
    costs: str
    """A drawing, as the other figures; empty where there is nothing to draw."""
    not_drawn: int
    """How many models the drawings of costs and errors leave out."""
    curves: str
    curve_legend: tuple[tuple[int, str], ...]
    """The numbers of the colours, and the models that have them."""
    slices: tuple[SlicePanel, ...]
    slice_legend: tuple[tuple[int, str], ...]
    pairs: PairMatrix | None
    models: tuple[ModelRuns, ...]
    studies: tuple[StudyView, ...]
    data: DataFacts


def gather_page(ranked_board: RankedBoard, results: Results, dataset: Dataset | None) -> Page:
    """Gather what the page shows. `dataset` is None when it is not downloaded."""
    ranked = [row for row in ranked_board.rows if row.place is not None]
    table, metric = build_table(ranked_board), METRIC_NAMES[ranked_board.metric]
    curves, drawn = _curves(ranked, results), ranked[:MOST_DRAWN]
    slices = tuple(_slice_panel(drawn, by) for by in SLICES if any(row.slices.get(by) for row in drawn))
    return Page(
        ranked_board=ranked_board,
        metric=metric,
        sample=SAMPLES[ranked_board.clusters],
        headline=write_headline(ranked_board),
        table=table,
        marks=explain_all(ranked_board),
        costs=board_figures.draw_costs(_cost_points(drawn), metric, "cost"),
        not_drawn=len(ranked) - len(drawn),
        curves=board_figures.draw_curves(curves, "curve"),
        curve_legend=tuple((line.series, line.label) for line in curves),
        slices=slices,
        slice_legend=tuple(enumerate(row_labels(ranked)[: len(SERIES)], 1)),
        pairs=build_pairs(ranked_board),
        models=tuple(
            describe_runs(row, line.anchor, line.label, ranked_board.board.split)
            for row, line in zip(ranked_board.rows, table.lines, strict=True)
        ),
        studies=gather_studies(results.root, ranked_board.card.name),
        data=_data_facts(ranked_board, dataset),
    )


def _cost_points(rows: Sequence[RankedRow]) -> list[board_figures.CostPoint]:
    return [
        board_figures.CostPoint(label, row.row.fit_seconds, row.score, row.on_front)
        for label, row in zip(row_labels(rows), rows, strict=True)
        if row.row.fit_seconds is not None and row.score is not None
    ]


def _curves(rows: Sequence[RankedRow], results: Results) -> list[board_figures.Line]:
    """The learning curves of the best rows that have any; those of all folds are too many, so the first one counts.

    The best models have the colours that they have in the other drawings. The others have the numbers after them.
    """
    lines: list[board_figures.Line] = []
    grey = MOST_CURVES
    for number, (label, row) in enumerate(zip(row_labels(rows), rows, strict=True), 1):
        if len(lines) == MOST_CURVES:
            break
        seeds = [seed for records in row.row.seeds.values() if (seed := _read_curve(records[0], results))]
        if seeds:
            grey += number > MOST_CURVES
            lines.append(board_figures.Line(label, min(number, grey), tuple(map(tuple, seeds))))
    return lines


def _read_curve(record: Record, results: Results) -> list[tuple[int, float]]:
    """The validation RMSE by epoch; empty without one, or where the file is damaged."""
    epochs = []
    if CURVE in record.files:
        with suppress(RecordError):
            epochs = read_curve(results.place(record.request))
    points = [(epoch["epoch"], epoch["valid_rmse"]) for epoch in epochs]
    return [(epoch, value) for epoch, value in points if value is not None and isfinite(value)]


def _slice_panel(rows: Sequence[RankedRow], by: SliceBy) -> SlicePanel:
    heading, axis = AXES[by]
    models = [
        board_figures.SlicedModel(label, row.slices[by])
        for label, row in zip(row_labels(rows), rows, strict=True)
        if row.slices.get(by)
    ]
    first = models[0].slices
    return SlicePanel(
        heading,
        board_figures.draw_slices(models, axis, by),
        tuple(part.label for part in first),
        tuple(numbers.count(part.ratings) for part in first),
        tuple((model.label, tuple(numbers.score(part.rmse) for part in model.slices)) for model in models),
    )


def _data_facts(ranked_board: RankedBoard, dataset: Dataset | None) -> DataFacts:
    card, board = ranked_board.card, ranked_board.board
    names = card.expand_split(board.split)
    splits = [(name, summarize_split(card, dataset, name)) for name in names]
    ratings = None if dataset is None else summarize_ratings(card, dataset)
    return DataFacts(
        card, str(card.scale), describe(splits[0][1].definition),
        tuple(SplitFact(name, board.fingerprints.get(name, ""), _counts(split)) for name, split in splits),
        ratings,
        _bars({} if ratings is None else ratings.histogram),
    )  # fmt: skip


def _bars(counts: dict[str, int]) -> tuple[tuple[str, str, float], ...]:
    most = max(counts.values(), default=1)
    return tuple((label, numbers.count(count), round(100 * count / most, 1)) for label, count in counts.items())


def _counts(split: SplitSummary) -> str:
    """How many ratings each part of a split has."""
    if not split.report:
        return ""
    parts = {"train": "training", "valid": "validation", "test": "test"}
    return ", ".join(f"{numbers.count(split.report[name])} {word}" for name, word in parts.items())
