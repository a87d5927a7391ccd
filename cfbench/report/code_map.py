"""A map of codes: users or items as points in two dimensions, coloured by genre or by the number of ratings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from cfbench.libraries import require
from cfbench.report.drawing import STYLES, Style, drawing_style
from cfbench.report.figure_files import check_endings, save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Method: TypeAlias = Literal["pca", "umap"]
SHOWN_GENRES = 6
OTHERS = "others"
OTHER_STYLE = Style("#BBBBBB", ".")
LARGEST_VECTOR_DRAWING = 10_000
"""More points than this become an image inside an SVG, which would be too large otherwise."""


@dataclass(frozen=True, eq=False)
class CodeMap:
    """n points with what their axes and colours mean."""

    points: NDArray[np.float64]
    """(n, 2)."""
    axes: tuple[str, str]
    title: str
    ratings: NDArray[np.int64]
    """(n,) the number of training ratings, which colours the points if there are no genres."""
    genres: Sequence[str] = ()
    """(n,) the main genre of each item."""
    command: str = ""
    """The command line that draws the map, for the description in the file."""


def check_drawing(path: Path, method: Method) -> None:
    """Raise `UsageError` if the ending names no format of drawings, or if a library is missing."""
    check_endings([path], "--plot")
    if method == "umap":
        require("umap", "--method umap", "umap-learn", name="umap-learn")


def project(codes: NDArray[np.float32], method: Method = "pca") -> tuple[NDArray[np.float64], tuple[str, str]]:
    """Return codes (n, k) as points (n, 2), and the names of the axes. Only the directions of the codes count."""
    lengths = np.linalg.norm(codes, axis=1, keepdims=True)
    units = np.divide(codes, lengths, out=np.zeros_like(codes), where=lengths > 0)
    if method == "umap":
        return _umap(units), ("UMAP 1", "UMAP 2")
    points, shares = principal_components(units)
    first, second = (f"principal component ({share:.0%} of the variance)" for share in shares)
    return points, (f"1st {first}", f"2nd {second}")


def principal_components(x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2) the first two principal components of x (n, k), and (2,) their shares of the variance."""
    x = x if x.shape[1] > 1 else np.column_stack([x, np.zeros_like(x)])
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    first = directions[:, :-3:-1]  # (k, 2)
    first = first * np.sign(
        first[np.abs(first).argmax(0), [0, 1]]
    )  # the sign is arbitrary: the largest part is positive
    return centred @ first, variances[:-3:-1] / max(variances.sum(), np.finfo(float).tiny)


def _umap(units: NDArray[np.float32]) -> NDArray[np.float64]:
    from umap import UMAP

    points: NDArray[np.float64] = UMAP(metric="cosine", random_state=0, n_jobs=1).fit_transform(units).astype(float)
    return points


def main_genres(genres: Sequence[tuple[str, ...]]) -> list[str]:
    """(n,) of each item's genres, the one with the fewest items among the `SHOWN_GENRES` that most items have.

    An item with none of these has `OTHERS`. The rarest genre says most: many comedies are dramas too.
    """
    counts = Counter(name for names in genres for name in names)
    shown = {name for name, _ in counts.most_common(SHOWN_GENRES)}
    return [min((name for name in names if name in shown), key=counts.__getitem__, default=OTHERS) for names in genres]


def draw(code_map: CodeMap, path: Path) -> None:
    """Write the map to a file, which appears only when it is complete; raises `WriteError`."""
    from matplotlib.figure import Figure

    with drawing_style():
        figure = Figure(figsize=(7.5, 6), layout="constrained")
        axes = figure.add_subplot()
        _scatter_by_genre(axes, code_map) if code_map.genres else _scatter_by_ratings(figure, axes, code_map)
        axes.set(xlabel=code_map.axes[0], ylabel=code_map.axes[1], title=code_map.title)
        save(figure, [path], code_map.command, code_map.title)


def _scatter_by_genre(axes: Any, code_map: CodeMap) -> None:
    genres = np.array(code_map.genres)
    names = [name for name, _ in Counter(code_map.genres).most_common() if name != OTHERS]
    styles = dict(zip(names, STYLES, strict=False)) | {OTHERS: OTHER_STYLE}
    for name in (*names, OTHERS):
        points, style = code_map.points[genres == name], styles[name]
        if len(points):
            axes.scatter(
                *points.T, s=16, c=style.colour, marker=style.marker, linewidths=0, alpha=0.75,
                label=f"{name} ({len(points):,})", zorder=1 if name == OTHERS else 2, rasterized=_is_large(code_map),
            )  # fmt: skip
    legend = axes.legend(title="genre", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[40])


def _scatter_by_ratings(figure: Any, axes: Any, code_map: CodeMap) -> None:
    from matplotlib.colors import LogNorm

    order = np.argsort(code_map.ratings, kind="stable")  # those with many ratings on top
    dots = axes.scatter(
        *code_map.points[order].T, s=12, c=code_map.ratings[order], cmap="viridis", linewidths=0, alpha=0.8,
        norm=LogNorm(code_map.ratings.min(), code_map.ratings.max() + 1), rasterized=_is_large(code_map),
    )  # fmt: skip
    figure.colorbar(dots, ax=axes, label="training ratings", shrink=0.7)


def _is_large(code_map: CodeMap) -> bool:
    return len(code_map.points) > LARGEST_VECTOR_DRAWING
