"""What the table of a leaderboard does not show, in words: what is missing from it, and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench import advice
from cfbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cfbench.leaderboard.ranking import RankedBoard
    from cfbench.runs.results import Results


def board_messages(ranked_board: RankedBoard, results: Results) -> Iterator[str]:
    """Yield a line for each kind of run, or of number, that the table does not show."""
    board = ranked_board.board
    if not board.rows:
        command = advice.command("run", "deepae", dataset=board.dataset, split=board.split, results=results.root)
        yield f"no runs of {board.dataset}, split {board.split}, in {results.root}; `{command}` makes one"
    if board.rows and not ranked_board.has_ratings:
        yield (
            f"data set {board.dataset} is not downloaded: the scores come from the records, without intervals and "
            f"tests; `{advice.command('download', board.dataset)}` gets it"
        )
    if board.hidden:
        yield (
            f"configs not shown: {board.hidden}; each plugin is shown with its best in validation; where nothing "
            "validates, a tuned or preset config comes first, then the default, then the newest; --all-runs shows them"
        )
    yield from _missing_rankings(ranked_board, results)
    if board.left_out:
        yield f"runs left out: {board.left_out}; they used other ratings, or another split of the same name"
    splits = ranked_board.card.expand_split(board.split)
    for request in results.interrupted():
        if request.dataset.name == board.dataset and request.split.name in splits:
            command = advice.command("run", "--resume", request.run, results=results.root)
            yield f"interrupted: {request.run}; resume it with: {command}"


def _missing_rankings(ranked_board: RankedBoard, results: Results) -> Iterator[str]:
    """Yield why some rows have no item ranking, and how to get a model that is not stored."""
    items = ranked_board.items
    if items is None:
        return
    if items.without_model:
        from cfbench.runs.costs import members_of
        from cfbench.runs.rerun import command_of

        plugins = ", ".join(dict.fromkeys(record.request.plugin.name for record in items.without_model))
        requests = [record.request for record in items.without_model]
        example = next((request for request in requests if not members_of(request)), requests[0])
        yield (
            f"– runs without a stored model: {numbers.count(len(requests))} ({plugins}); this makes one, and "
            f"--all-runs shows it: {command_of(example, results.root)}"
        )
    yield from dict.fromkeys(f"– {fault}" for fault in items.faults)
