"""What the Netflix Prize costs at full size, on its synthetic twin: seconds and peak memory of each step.

python bench/netflix.py [FOLDER] [--scale 1]

Each step is a process of its own. FOLDER (else a temporary one) keeps the archive and the prepared data, about 4 GB at
full size, and needs 10 GB more on the way; an archive that is there already is used again, splits are cut anew. At the
end the same ratings are prepared from the unpacked folder and from Kaggle's layout, and must be the same to the bit.
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
"""The most seconds and gigabytes that a step should take at full size on two cores."""
COMMAND = "from cfbench.cli import main; main({!r})"
OPENED = (
    "import time; from cfbench.data import card, store; began = time.perf_counter(); "
    "dataset = store.open_dataset(card.load('netflix-twin')); {}; print(f'{{time.perf_counter() - began:.2f}}')"
)
HERE = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import netflix; "


def measure(what: str, code: str, *, inside: bool = False) -> None:
    """Run Python code in a process of its own and print what it took; end the benchmark when it fails.

    With `inside` the seconds are those that the code prints, without the start of Python.
    """
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.stdout, process.stderr
    said, complaint = (stream.read().strip() if stream else "" for stream in (out, err))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{what} failed: {complaint or said}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    seconds, most = float(said) if inside else wall, EXPECTED.get(what, (None, None))
    figures = (f"{figure:8.2f} {unit} {_bar(figure, bar, unit):22}"
               for figure, bar, unit in ((seconds, most[0], "s"), (peak, most[1], "GB")))  # fmt: skip
    print(f"{what:10}", *figures, f"{usage.ru_utime + usage.ru_stime:8.2f} s of processor time", flush=True)


def _bar(figure: float, bar: float | None, unit: str) -> str:
    if bar is None:
        return ""
    return f"expected ≤ {bar:g} {unit}" + (" MISSED" if figure > bar else "")


def unpack(archive: Path, folder: Path) -> None:
    """As people do: the archive, then the training_set.tar in it, which is then removed."""
    with tarfile.open(archive, "r|gz") as outer:
        outer.extractall(folder, filter="data")
    inner = folder / "download" / "training_set.tar"
    with tarfile.open(inner) as tar:
        tar.extractall(inner.parent, filter="data")
    inner.unlink()


def join(unpacked: Path, folder: Path) -> None:
    """As Kaggle has it: four files of a quarter of the movies each, copied a movie at a time."""
    folder.mkdir()
    shutil.copy(unpacked / "download" / "probe.txt", folder)
    shutil.copy(unpacked / "download" / "movie_titles.txt", folder / "movie_titles.csv")
    movies = sorted(unpacked.glob("download/training_set/mv_*.txt"))
    for part in range(4):
        with (folder / f"combined_data_{part + 1}.txt").open("wb") as joined:
            for movie in movies[part * len(movies) // 4 : (part + 1) * len(movies) // 4]:
                joined.write(movie.read_bytes())


def prepare(what: str, source: Path) -> str:
    """Measure preparing the twin from a source; returns the fingerprint of what came out."""
    measure(what, COMMAND.format(["download", "netflix-twin", "--from-file", str(source)]))
    manifest = Path(os.environ["CFBENCH_DATA"], "datasets", "netflix-twin", "dataset.json")
    return str(json.loads(manifest.read_text(encoding="utf-8"))["fingerprint"])


def compare_layouts(archive: Path, folder: Path, fingerprint: str) -> None:
    """Prepare the archive's ratings from its other layouts; end the benchmark when they are not the same."""
    found = {"archive": fingerprint}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unpacked, joined = Path(scratch, "unpacked"), Path(scratch, "kaggle")
        path = "netflix.Path({!r})".format
        measure("unpack", HERE + f"netflix.unpack({path(str(archive))}, {path(str(unpacked))})")
        measure("join", HERE + f"netflix.join({path(str(unpacked))}, {path(str(joined))})")
        found |= {"unpacked": prepare("unpacked", unpacked), "kaggle": prepare("kaggle", joined)}
    for layout, its in found.items():
        print(f"{layout:10} {its}")
    if len(set(found.values())) > 1:
        sys.exit("the three layouts give different ratings")
    print("the three layouts give the same ratings")


def main() -> None:
    """Make the twin, prepare it, cut every split, open it, describe it, and prepare it from its other layouts."""
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
        if not archive.exists():
            measure("synth", COMMAND.format(["synth", "netflix", "--scale", str(asked.scale), "--out", str(archive)]))
        fingerprint = prepare("prepare", archive)
        shutil.rmtree(folder / "data" / "splits", ignore_errors=True)
        measure("open", OPENED.format("len(dataset.ratings)"), inside=True)
        for split in SPLITS:
            measure(split, OPENED.format(f"dataset.split({split!r})"), inside=True)
        measure("reopen", OPENED.format("dataset.split('full')"), inside=True)
        measure("datasets", COMMAND.format(["datasets", "netflix-twin"]))
        print(f"load of the machine, in processes that want a core: {os.getloadavg()[0]:.1f}")
        compare_layouts(archive, folder, fingerprint)


if __name__ == "__main__":
    main()
