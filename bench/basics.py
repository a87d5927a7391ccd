"""The speed of start-up, reading and prediction, each against a simple way to do the same work.

python bench/basics.py
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
from cfbench.data.readers.layout import TableLayout
from cfbench.plugins import deepae
from cfbench.testing import planted

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(work: str, fast: Callable[[], object], simple_work: str, simple: Callable[[], object]) -> None:
    """Print the median times of both ways and the median of their ratios, from alternating rounds."""
    times = [(seconds(fast), seconds(simple)) for _ in range(ROUNDS)]
    fast_time, simple_time = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(simple_s / fast_s for fast_s, simple_s in times)
    print(f"{work:44} {fast_time:8.3f} s   {simple_work:34} {simple_time:8.3f} s   ratio {ratio:7.2f}")


def run_python(code: str) -> Callable[[], object]:
    """A function that runs code in a new Python process."""
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def startup() -> None:
    """`cfbench --help` against a Python that only imports Typer."""
    help_page = run_python("from cfbench.cli import main; main(['--help'])")
    compare("cfbench --help", help_page, "python -c 'import typer'", run_python("import typer"))


def reading(folder: Path) -> None:
    """Reading a million ratings from an archive, against a loop over its lines."""
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
        f"reading {len(pairs):,} ratings", lambda: list(readers.read(archive, table)), "a loop over the lines", loop
    )


def prediction() -> None:
    """Predicting all test pairs at once, against one user at a time."""
    data = planted(n_users=2000, n_items=1000, density=0.1)
    model = deepae.PLUGIN.build(deepae.DeepAEConfig(hidden=(128, 256), epochs=1))
    model.fit(data.train, data.valid, Context())
    users = np.unique(data.test.users)[:300]
    pairs = data.test.take(np.isin(data.test.users, users)).pairs

    def one_at_a_time() -> None:
        for user in users:
            model.predict(pairs.take(pairs.users == user))

    compare(f"predicting {len(pairs):,} pairs", lambda: model.predict(pairs), "one user at a time", one_at_a_time)


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {ROUNDS}")
    startup()
    with tempfile.TemporaryDirectory() as scratch:
        reading(Path(scratch))
    prediction()
