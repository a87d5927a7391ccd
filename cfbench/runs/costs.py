"""The cost of a run, which includes the cost of the runs that it blends.

A record holds what the run itself took. But an ensemble exists only after its members were fitted, and it predicts only
after they did. The total is computed when it is shown, so that it is right for every stored record.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cfbench.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cfbench.runs.record import Record, Request
    from cfbench.runs.results import Results

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Cost:
    """What a run took, with its members; None where any part is unknown. Times are in seconds, memory in bytes."""

    fit_seconds: float | None
    fit_cpu_seconds: float | None
    predict_seconds: float | None
    parameters: int | None
    peak_memory: int | None
    """The largest of the run and its members, because they are fitted one after another."""
    peak_device_memory: int | None
    """The largest among those that computed on a device with its own memory."""
    energy_wh: float | None = None
    """The estimated electricity of fitting, in watt hours."""
    members: int = 0
    """The number of runs that the run blends, also through other ensembles; each counts once."""
    imported: int = 0
    """The number of members whose predictions were made elsewhere; what these took is unknown."""
    missing: tuple[str, ...] = ()
    """The members whose record is gone or cannot be read. Then the cost is unknown."""


class Costs:
    """The costs of stored runs. `records` are known already and are not read again."""

    def __init__(self, results: Results, records: Iterable[Record] = ()) -> None:
        self._results = results
        self._known: dict[str, Record | None] = {record.run: record for record in records}

    def of(self, record: Record) -> Cost:
        """Return the cost of a run with its members."""
        members = self.members(record)
        missing = tuple(name for name, member in members.items() if member is None)
        outcomes = [run.outcome for run in (record, *members.values()) if run is not None]
        if missing:
            return Cost(None, None, None, None, None, None, members=len(members), missing=missing)
        device_memory = [o.peak_device_memory for o in outcomes if o.peak_device_memory is not None]
        return Cost(
            fit_seconds=_sum([o.fit_seconds for o in outcomes]),
            fit_cpu_seconds=_sum([o.fit_cpu_seconds for o in outcomes]),
            predict_seconds=_sum([o.predict_seconds for o in outcomes]),
            parameters=_sum([o.parameters for o in outcomes]),
            peak_memory=max(_known([o.peak_memory for o in outcomes]), default=None),
            peak_device_memory=max(device_memory, default=None),
            energy_wh=_sum([o.energy.wh if o.energy else None for o in outcomes]),
            members=len(members),
            imported=sum(member is not None and member.request.imported is not None for member in members.values()),
        )

    def members(self, record: Record) -> dict[str, Record | None]:
        """Return all runs that a run blends, also through other ensembles, by id; None for those that are gone."""
        members: dict[str, Record | None] = {}
        waiting = list(members_of(record.request))
        while waiting:
            name = waiting.pop()
            if name not in members:
                member = members[name] = self._read(name)
                waiting += [] if member is None else members_of(member.request)
        return members

    def _read(self, name: str) -> Record | None:
        if name not in self._known:
            self._known[name] = None
            with suppress(RecordError):
                self._known[name] = self._results.get(name)
        return self._known[name]


def members_of(request: Request) -> tuple[str, ...]:
    """Return the ids of the runs that a run blends itself; older records have them only in the config of `ensemble`."""
    older = request.config.get("members", ()) if request.plugin.name == "ensemble" else ()
    return request.members or (tuple(map(str, older)) if isinstance(older, list | tuple) else ())


def _known(values: Sequence[N | None]) -> list[N]:
    """Return the values if all are known, otherwise none."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _sum(values: Sequence[N | None]) -> N | None:
    known = _known(values)
    return sum(known) if known else None
