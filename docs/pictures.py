"""The pictures of README, which `make pictures` makes again: a terminal, by Rich, and the report, by a browser.

Both show a real run and the published runs, in a folder of their own.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WIDTH = 104
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DATASET = ("--dataset", "ml-100k")


def cfbench(*words: str, folder: Path) -> str:
    """Run a command line with the runs of a folder, and return what it prints, with colours."""
    settings = {"CFBENCH_RESULTS": str(folder), "COLUMNS": str(WIDTH), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "cfbench", *words]
    return subprocess.run(command, env=os.environ | settings, check=True, capture_output=True, text=True).stdout


def copy_published(folder: Path) -> None:
    """Copy the published runs."""
    command = ["git", "ls-files", "results/ml-100k"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        copy = folder / Path(name).relative_to("results")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)


def draw_terminal(folder: Path) -> None:
    """Draw a terminal in which a model is trained and ranked."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for words in (("run", "bias", *DATASET), ("compare", *DATASET)):
        console.print(Text(f"$ cfbench {' '.join(words)}", style="bold"))
        console.print(Text.from_ansi(cfbench(*words, folder=folder)))
    svg = console.export_svg(title="cfbench", unique_id="terminal")
    without_web_fonts = re.sub(r"@font-face \{[^}]*\}\s*", "", svg)
    (IMAGES / "terminal.svg").write_text(without_web_fonts, encoding="utf-8")


def draw_report(folder: Path) -> None:
    """Draw the first screen of the report."""
    from playwright.sync_api import sync_playwright

    page, picture = folder / "report.html", IMAGES / "report.png"
    cfbench("report", *DATASET, "--out", str(page), folder=folder)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page(viewport={"width": 1120, "height": 760}, color_scheme="light")
        tab.set_default_timeout(0)
        tab.goto(page.as_uri())
        tab.screenshot(path=picture)
        chromium.close()
    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        copy_published(Path(name))
        cfbench("download", "ml-100k", folder=Path(name))
        draw_terminal(Path(name))
        draw_report(Path(name))
