"""What a leaderboard's page shows, gathered as typed values; `html` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfbench.leaderboard import SLICES
from cfbench.report import board_pictures, numbers
from cfbench.report.board_table import BoardTable, PairMatrix, build_pairs, build_table
from cfbench.report.curve_figure import draw_curves
from cfbench.report.dataset_summary import describe, summarize_ratings, summarize_split
from cfbench.report.explanations import METRIC_NAMES, SAMPLES, explain_all, row_labels
from cfbench.report.headline import Headline, write_headline
from cfbench.report.inline_svg import PAGE, inline
from cfbench.report.model_runs import ModelRuns, describe_runs
from cfbench.report.slice_figure import draw_slices
from cfbench.report.study_page import StudyView, gather_studies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfbench.data.card import Card
    from cfbench.data.store import Dataset
    from cfbench.leaderboard import SliceBy
    from cfbench.leaderboard.ranking import RankedBoard, RankedRow
    from cfbench.report.dataset_summary import RatingsSummary, SplitSummary
    from cfbench.report.explanations import Mark
    from cfbench.runs.results import Results

MOST_CURVES = len(PAGE.series)
MOST_DRAWN = 100
"""The drawings of costs and errors show at most so many models, the best ones: nobody can distinguish more."""
HEADINGS: dict[SliceBy, str] = {
    "user-activity": "By activity of the user", "item-popularity": "By popularity of the item", "rating": "By rating",
}  # fmt: skip
"""The heading of each way to slice the test ratings."""


@dataclass(frozen=True)
class SliceView:
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
    slices: tuple[SliceView, ...]
    slice_legend: tuple[tuple[int, str], ...]
    pairs: PairMatrix | None
    models: tuple[ModelRuns, ...]
    studies: tuple[StudyView, ...]
    data: DataFacts


def gather_page(ranked_board: RankedBoard, results: Results, dataset: Dataset | None) -> Page:
    """Gather what the page shows. `dataset` is None when it is not downloaded."""
    ranked = ranked_board.placed_rows
    table, metric = build_table(ranked_board), METRIC_NAMES[ranked_board.metric]
    curves, drawn = board_pictures.row_curves(ranked, results, MOST_CURVES), ranked[:MOST_DRAWN]
    slices = tuple(_slices(drawn, by) for by in SLICES if any(row.slices.get(by) for row in drawn))
    return Page(
        ranked_board=ranked_board,
        metric=metric,
        sample=SAMPLES[ranked_board.clusters],
        headline=write_headline(ranked_board),
        table=table,
        marks=explain_all(ranked_board),
        costs=inline(board_pictures.cost_picture(drawn, metric), "cost"),
        not_drawn=len(ranked) - len(drawn),
        curves=inline(draw_curves(curves), "curve"),
        curve_legend=tuple((line.series, line.label) for line in curves),
        slices=slices,
        slice_legend=tuple(enumerate(row_labels(ranked)[:MOST_CURVES], 1)),
        pairs=build_pairs(ranked_board),
        models=tuple(
            describe_runs(row, line.anchor, line.label, ranked_board.board.split)
            for row, line in zip(ranked_board.rows, table.lines, strict=True)
        ),
        studies=gather_studies(results.root, ranked_board.card.name),
        data=_data_facts(ranked_board, dataset),
    )


def _slices(rows: Sequence[RankedRow], by: SliceBy) -> SliceView:
    panel = board_pictures.slice_panel(rows, by)
    first = panel.models[0].slices
    return SliceView(
        HEADINGS[by],
        inline(draw_slices([panel]), by, 3.9),
        tuple(part.label for part in first),
        tuple(numbers.count(part.ratings) for part in first),
        tuple((model.label, tuple(numbers.score(part.rmse) for part in model.slices)) for model in panel.models),
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
