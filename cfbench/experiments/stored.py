"""Which runs of an experiment are there already.

A run that diverged is a result like any other: it is not repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfbench.runs import sweep
from cfbench.runs.run import differ_in_code_at_most, predict_the_same
from cfbench.runs.setup import new_request
from cfbench.runs.sweep import SweepResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfbench.data.split import Split
    from cfbench.data.store import Dataset
    from cfbench.runs.record import Record, Request
    from cfbench.runs.results import Results
    from cfbench.runs.run import RunListener
    from cfbench.runs.sweep import PlannedRun


class StoredRuns:
    """The finished and diverged runs of a data set in a results folder, read again once a run is made."""

    def __init__(self, results: Results, dataset: Dataset) -> None:
        self.results, self.dataset = results, dataset
        self._by_split: dict[str, list[Record]] = {}
        self._splits: dict[str, Split] = {}

    def find(self, planned: PlannedRun) -> Record | None:
        """Return the newest run that predicts the same as this one, or None if it has not been made."""
        return self._find(planned, predict_the_same)

    def is_outdated(self, planned: PlannedRun) -> bool:
        """Whether a run that `find` does not find has been made by other code of its plugin, such as an earlier one."""
        return self._find(planned, differ_in_code_at_most) is not None

    def _find(self, planned: PlannedRun, is_same: Callable[[Request, Request], bool]) -> Record | None:
        request = new_request(planned.setup, self.dataset, self._split(planned.split), planned.seed)
        for record in reversed(self._of_split(planned.split)):
            if is_same(record.request, request):
                return record
        return None

    def make(self, planned: PlannedRun, listener: RunListener, *, wait: bool = True) -> SweepResult | None:
        """Make a run unless it is there, perhaps by another process; raises what `sweep.make_run` raises.

        None means that another process makes it at this moment, and that `wait` is false.
        """
        self._by_split.pop(planned.split, None)
        record = self.find(planned)
        if record is not None:
            return SweepResult(planned, record, existed=True, fault=record.outcome.message)
        make = sweep.make_run if wait else sweep.make_free_run
        result = make(planned, self.dataset, self.results, listener)
        self._by_split.pop(planned.split, None)
        return result

    def _split(self, name: str) -> Split:
        """A split, which is read once for all runs."""
        if name not in self._splits:
            self._splits[name] = self.dataset.split(name)
        return self._splits[name]

    def _of_split(self, split: str) -> list[Record]:
        """The complete runs of a split, oldest first."""
        if split not in self._by_split:
            records = self.results.records(self.dataset.card.name, split)
            self._by_split[split] = [record for record in records if record.outcome.status in _COMPLETE]
        return self._by_split[split]


_COMPLETE = ("finished", "diverged")
