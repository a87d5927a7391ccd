"""The page of a data set, which `cfbench datasets NAME` shows: its ratings, their distribution, its splits."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from cfbench.cli import console
from cfbench.data.fetch import download_command
from cfbench.report.dataset_summary import split_lines

if TYPE_CHECKING:
    from cfbench.report.dataset_summary import DatasetSummary, RatingsSummary, SplitSummary

_BAR_WIDTH = 40
_PAGE_WIDTH = 80


def print_page(page: DatasetSummary) -> None:
    """Print the page."""
    card = page.card
    console.result(f"{card.title} ({card.name}), {card.homepage}")
    if page.ratings is not None:
        _print_ratings(page.ratings, str(card.scale))
    else:
        expected = card.expected.model_dump(exclude={"fingerprint"})
        size = ", ".join(f"{count:,} {name}" for name, count in expected.items() if count is not None)
        console.result(
            f"{size or 'size not known'} ({card.scale}); not available; get it with {download_command(card)}"
        )
    console.result("")
    _print_splits(page.splits)
    console.result(f"\nlicence: {card.licence}\nplease cite: {card.citation}")
    if page.ratings is not None:
        console.result(f"in {page.ratings.folder} (other tools can read ratings.parquet)")


def _print_ratings(ratings: RatingsSummary, scale: str) -> None:
    days = f", {' to '.join(ratings.days)}" if ratings.days else ""
    console.result(
        f"{ratings.users:,} users, {ratings.items:,} items, {ratings.ratings:,} ratings ({scale}), "
        f"{100 * ratings.density:.3g} % of all pairs{days}"
    )
    _print_bars("rating", ratings.histogram)
    for label, quantiles in (("a user", ratings.ratings_a_user), ("an item", ratings.ratings_an_item)):
        values = ", ".join(f"{name} {value:,}" for name, value in quantiles.items())
        console.result(f"ratings of {label}: {values}")


def _print_bars(heading: str, counts: dict[str, int]) -> None:
    most, total = max(counts.values()), sum(counts.values())
    width = max(map(len, [heading, *counts]))
    console.result("")
    for label, count in counts.items():
        bar = "█" * round(_BAR_WIDTH * count / most)
        console.result(f"  {label:>{width}} {bar:{_BAR_WIDTH}} {count:>13,} {100 * count / total:5.1f} %")
    console.result("")


def _print_splits(splits: dict[str, SplitSummary]) -> None:
    width = max(map(len, splits))
    for name, split in splits.items():
        label = name
        for line in split_lines(split):
            for part in wrap(line, _PAGE_WIDTH - 4 - width):
                console.result(f"  {label:{width}}  {part}")
                label = ""
