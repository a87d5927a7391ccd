"""What the spine costs: each figure is a ratio of two ways to do the same, measured alternately in this run.

python bench/spine.py
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfbench.contract import Context
from cfbench.data import readers
from cfbench.data.card import TableLayout
from cfbench.plugins import deepae
from cfbench.ratings import Pairs
from cfbench.testing import planted

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object], unit: str) -> None:
    """Print the medians of both and the median of their ratios, from alternating rounds."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(theirs_s / ours_s for ours_s, theirs_s in pairs)
    print(f"{what:44} {mine:8.3f} s   {unit:34} {other:8.3f} s   ratio {ratio:7.2f}")


def startup() -> None:
    """`cfbench --help` against a Python that only imports Typer."""
    command = [sys.executable, "-c", "from cfbench.cli import main; main(['--help'])"]
    bare = [sys.executable, "-c", "import typer"]
    run = lambda line: lambda: subprocess.run(line, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
    compare("cfbench --help", run(command), run(bare), "python -c 'import typer'")


def reading(folder: Path) -> None:
    """A million ratings in an archive, against a loop over its lines."""
    rng = np.random.default_rng(0)
    columns = [rng.integers(1, 6041, 1_000_000), rng.integers(1, 3953, 1_000_000), rng.integers(1, 6, 1_000_000)]
    pairs = np.unique(columns[0] * 10_000 + columns[1])
    rows = zip(pairs // 10_000, pairs % 10_000, columns[2], strict=False)
    archive = folder / "ratings.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("r.dat", "".join(f"{u}::{i}::{r}::978300760\n" for u, i, r in rows))
    roles = {"user": 0, "item": 1, "rating": 2, "time": 3}
    table = TableLayout(member="r.dat", separator="::", columns=roles, max_bytes=100_000_000)

    def loop() -> list[tuple[str, str, float, int]]:
        with zipfile.ZipFile(archive) as file, file.open("r.dat") as member:
            parts = (line.decode().rstrip("\n").split("::") for line in member)
            return [(u, i, float(r), int(t)) for u, i, r, t in parts]

    compare(
        f"reading {len(pairs):,} ratings", lambda: list(readers.read(archive, table)), loop, "a loop over the lines"
    )


def evaluation() -> None:
    """Predicting every test pair at once, against one user at a time."""
    data = planted(n_users=2000, n_items=1000, density=0.1)
    model = deepae.PLUGIN.build(deepae.DeepAEConfig(hidden=(128, 256), epochs=1))
    model.fit(data.train, data.valid, Context())
    test = data.test
    users = np.unique(test.users)[:300]
    asked = test.take(np.isin(test.users, users))

    def one_at_a_time() -> None:
        for user in users:
            mine = asked.users == user
            model.predict(Pairs(asked.users[mine], asked.items[mine]))

    compare(
        f"predicting {len(asked):,} pairs",
        lambda: model.predict(asked.pairs),
        one_at_a_time,
        "user by user",
    )


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {ROUNDS}")
    startup()
    with tempfile.TemporaryDirectory() as scratch:
        reading(Path(scratch))
    evaluation()
