"""The seconds and the peak memory of each step with the Netflix Prize at full size, measured on synthetic data.

python bench/netflix.py [FOLDER] [--scale 1]

Each step runs in a separate process. FOLDER (by default a temporary folder) keeps the archive and the prepared data,
about 4 GB at full size, and needs 10 GB more for a while. An archive that is already in FOLDER is used again; splits
are cut again. At the end, the ratings are prepared from the unpacked folder and from Kaggle's layout too, and must be
the same to the bit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

SPLITS = ["3m", "6m", "1y", "full", "random90", "last1", "5fold-1", "probe"]
PREPARE = (120, 4)
EXPECTED = {
    "prepare": PREPARE, "unpacked": PREPARE, "kaggle": PREPARE, "open": (1, None), "reopen": (0.5, None),
    "datasets": (2, None),
} | dict.fromkeys(SPLITS, (20, 5))  # fmt: skip
"""The limits of each step at full size on two cores: seconds, and gigabytes of memory if they are limited."""
COMMAND = "from cfbench.cli import main; main({!r})"
OPEN = (
    "import time; from cfbench.data import card, store; start = time.perf_counter(); "
    "dataset = store.open_dataset(card.load('netflix-twin')); {}; print(f'{{time.perf_counter() - start:.2f}}')"
)
"""Opens the data set, runs one more statement, and prints the seconds of both."""
THIS_MODULE = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import netflix; "


def measure(what: str, code: str, *, inside: bool = False) -> None:
    """Run Python code in a new process and print its time and memory; end the benchmark when it fails.

    With `inside` the seconds are the output of the code, which do not include the start of Python.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.stdout, process.stderr
    output, errors = (stream.read().strip() if stream else "" for stream in (out, err))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{what} failed: {errors or output}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    seconds, (max_seconds, max_gigabytes) = float(output) if inside else wall, EXPECTED.get(what, (None, None))
    figures = _format_figure(seconds, max_seconds, "s"), _format_figure(peak, max_gigabytes, "GB")
    print(f"{what:10}", *figures, f"{usage.ru_utime + usage.ru_stime:8.2f} s of processor time", flush=True)


def _format_figure(figure: float, limit: float | None, unit: str) -> str:
    verdict = ""
    if limit is not None:
        verdict = f"expected ≤ {limit:g} {unit}" + (" MISSED" if figure > limit else "")
    return f"{figure:8.2f} {unit} {verdict:22}"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the archive and the training_set.tar in it, which is then removed."""
    with tarfile.open(archive, "r|gz") as outer:
        outer.extractall(folder, filter="data")
    inner = folder / "download" / "training_set.tar"
    with tarfile.open(inner) as tar:
        tar.extractall(inner.parent, filter="data")
    inner.unlink()


def join(unpacked: Path, folder: Path) -> None:
    """Write Kaggle's layout: four files, each with a quarter of the movies, one movie in memory at a time."""
    folder.mkdir()
    shutil.copy(unpacked / "download" / "probe.txt", folder)
    shutil.copy(unpacked / "download" / "movie_titles.txt", folder / "movie_titles.csv")
    movies = sorted(unpacked.glob("download/training_set/mv_*.txt"))
    for part in range(4):
        with (folder / f"combined_data_{part + 1}.txt").open("wb") as joined:
            for movie in movies[part * len(movies) // 4 : (part + 1) * len(movies) // 4]:
                joined.write(movie.read_bytes())


def prepare(what: str, source: Path) -> str:
    """Prepare the synthetic data from a source and measure it; returns the fingerprint of the prepared data set."""
    measure(what, COMMAND.format(["download", "netflix-twin", "--from-file", str(source)]))
    manifest = Path(os.environ["CFBENCH_DATA"], "datasets", "netflix-twin", "dataset.json")
    return str(json.loads(manifest.read_text(encoding="utf-8"))["fingerprint"])


def compare_layouts(archive: Path, folder: Path, fingerprint: str) -> None:
    """Prepare the same ratings from the other layouts; end the benchmark when they differ."""
    fingerprints = {"archive": fingerprint}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unpacked, joined = Path(scratch, "unpacked"), Path(scratch, "kaggle")
        path = "netflix.Path({!r})".format
        measure("unpack", THIS_MODULE + f"netflix.unpack({path(str(archive))}, {path(str(unpacked))})")
        measure("join", THIS_MODULE + f"netflix.join({path(str(unpacked))}, {path(str(joined))})")
        fingerprints["unpacked"] = prepare("unpacked", unpacked)
        fingerprints["kaggle"] = prepare("kaggle", joined)
    for layout, value in fingerprints.items():
        print(f"{layout:10} {value}")
    if len(set(fingerprints.values())) > 1:
        sys.exit("the three layouts give different ratings")
    print("the three layouts give the same ratings")


def main() -> None:
    """Write synthetic data, prepare them, open them, cut every split, and prepare them from the other layouts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the original's users and ratings")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"synthetic data of scale {args.scale:g}; the seconds of opening and of splits are without Python's start")
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.folder or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["CFBENCH_DATA"] = str(folder / "data")
        archive = folder / f"synthetic-{args.scale:g}.tar.gz"
        if not archive.exists():
            measure("synth", COMMAND.format(["synth", "netflix", "--scale", str(args.scale), "--out", str(archive)]))
        fingerprint = prepare("prepare", archive)
        shutil.rmtree(folder / "data" / "splits", ignore_errors=True)
        measure("open", OPEN.format("len(dataset.ratings)"), inside=True)
        for split in SPLITS:
            measure(split, OPEN.format(f"dataset.split({split!r})"), inside=True)
        measure("reopen", OPEN.format("dataset.split('full')"), inside=True)
        measure("datasets", COMMAND.format(["datasets", "netflix-twin"]))
        print(f"load of the machine, in processes: {os.getloadavg()[0]:.1f}")
        compare_layouts(archive, folder, fingerprint)


if __name__ == "__main__":
    main()
