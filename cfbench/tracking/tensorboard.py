"""Writes runs as event files, which TensorBoard shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cfbench.tracking import facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.utils.tensorboard import SummaryWriter

    from cfbench.contract import Epoch
    from cfbench.runs.record import Record, Request
    from cfbench.tracking.facts import TrackerName

DEFAULT_FOLDER = "tensorboard"


class TensorBoard:
    """Event files in `<folder>/<dataset>/<split>/<run>`: curves, scores, hyper-parameters, and the record as text."""

    name: TrackerName = "tensorboard"

    def __init__(self, folder: str | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes seconds, before a run begins

        self._open = SummaryWriter
        self._place = folder or DEFAULT_FOLDER
        self._folder = Path(self._place).absolute()
        self._writer: SummaryWriter | None = None

    @property
    def place(self) -> str:
        """The folder."""
        return self._place

    def begin(self, request: Request) -> None:
        """Begin a run; events of the same run from before are removed, because all epochs come again."""
        folder = self._folder / request.dataset.name / request.split.name / request.run
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._started = request.started.timestamp()
        self._writer = self._open(str(folder))
        for name, text in facts.labels(request).items():
            self._writer.add_text(name, text, walltime=self._started)
        self._writer.flush()

    def add(self, epochs: Sequence[Epoch]) -> None:
        """Add points to the curves."""
        if self._writer is not None:
            for epoch in epochs:
                for name, value in facts.errors(epoch).items():
                    self._writer.add_scalar(name, value, epoch.epoch, walltime=self._started + epoch.seconds)
            self._writer.flush()

    def end(self, record: Record, folder: Path) -> None:  # noqa: ARG002 (TensorBoard keeps no files)
        """Add the scores, beside the hyper-parameters, and the record."""
        if self._writer is not None:
            text = record.model_dump_json(indent=1)
            self._writer.add_text("record", "".join(f"    {line}\n" for line in text.splitlines()))
            self._writer.add_hparams(facts.settings(record.request), facts.scores(record.outcome), run_name=".")
        self.stop()

    def stop(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
