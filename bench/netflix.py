"""What the Netflix Prize costs at full size, on its synthetic twin: seconds and peak memory of each step.

python bench/netflix.py [FOLDER] [--scale 1]

Each step is a process of its own, started cold. FOLDER (else a temporary one) keeps the archive and the prepared data,
about 8 GB at full size; an archive that is there already is used again.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPLITS = ["3m", "6m", "1y", "full", "random90", "probe"]
BARS = {"prepare": (120, 4.0), "open": (1, None), "datasets": (2, None)} | dict.fromkeys(SPLITS, (20, 5.0))
"""Seconds and gigabytes that full size is held to on two cores."""
COMMAND = "from cfbench.cli import main; main({!r})"
OPENED = (
    "import time; from cfbench import card, store; began = time.perf_counter(); "
    "dataset = store.open_dataset(card.load('netflix-twin')); {}; print(f'{{time.perf_counter() - began:.2f}}')"
)


def measure(what: str, code: str) -> None:
    """Run Python code in a process of its own and print what it took; end the benchmark when it fails."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.stdout, process.stderr
    said, complaint = (stream.read() if stream else "" for stream in (out, err))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall, inside = time.perf_counter() - began, said.strip()
    if process.returncode:
        sys.exit(f"{what} failed: {complaint.strip() or said.strip()}")
    seconds = float(inside) if what == "open" or what in SPLITS else wall
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    most = BARS.get(what, (None, None))
    bar = " and ".join(f"{limit:g} {unit}" for limit, unit in zip(most, ("s", "GB"), strict=True) if limit)
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{what:10} {seconds:8.2f} s   {cpu:8.2f} s processor   {peak:6.2f} GB peak   {bar and f'bar {bar}'}",
        flush=True,
    )


def main() -> None:
    """Make the twin, prepare it, cut every split, open it, describe it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--scale", type=float, default=1.0)
    asked = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"a twin of scale {asked.scale:g}; of opening and splits the seconds are those of the call alone")
    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.folder or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["CFBENCH_DATA"] = str(folder / "data")
        archive = folder / f"twin-{asked.scale:g}.tar.gz"
        words = ["synth", "netflix", "--scale", str(asked.scale), "--out", str(archive)]
        if not archive.exists():
            measure("synth", COMMAND.format(words))
        measure("prepare", COMMAND.format(["download", "netflix-twin", "--from-file", str(archive)]))
        measure("open", OPENED.format("len(dataset.ratings)"))
        for split in SPLITS:
            measure(split, OPENED.format(f"dataset.split({split!r})"))
        measure("datasets", COMMAND.format(["datasets", "netflix-twin"]))


if __name__ == "__main__":
    main()
