"""cfbench: which model predicts these ratings best, and at what cost?

    import cfbench

    data = cfbench.load("ml-100k", download=True)
    run = cfbench.run("bias", data)
    print(run.scores.rmse, run.predictions)
    print(cfbench.compare(data))

These names do what the commands of the same names do (docs/python.md). They are loaded when they are first used:
importing this package loads nothing heavy.

A rating passes through the rooms in this order:

    card → fetch → reader → Ratings → split → plugin.fit → plugin.predict → metrics → run record → leaderboard
    └───────────── data ────────────┘ └─ learning and plugins ─┘└──────── runs ───────┘

The vocabulary of all rooms is in errors, files, memory, ratings, contract and metrics.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cfbench.version import __version__ as __version__

if TYPE_CHECKING:
    from cfbench.api.board import compare
    from cfbench.api.datasets import Data, from_frame, load
    from cfbench.api.running import import_predictions, register, run
    from cfbench.api.runs import Run
    from cfbench.api.tuning import tune

__all__ = ["Data", "Run", "compare", "from_frame", "import_predictions", "load", "register", "run", "tune"]

_MODULES = {
    "Data": "datasets", "Run": "runs", "compare": "board", "from_frame": "datasets", "import_predictions": "running",
    "load": "datasets", "register": "running", "run": "running", "tune": "tuning",
}  # fmt: skip
"""The module of `cfbench.api` that has a name."""


if not TYPE_CHECKING:  # type checkers then report a name that is not there

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"cfbench.api.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
