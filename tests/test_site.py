"""The documentation site is built without a warning, and its references name every command and every Python name."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import cfbench
from cfbench.cli.app import COMMANDS
from cfbench.data import card
from cfbench.runs import registry

ROOT = Path(__file__).parents[1]
PAGES = {path.stem for path in (ROOT / "docs").glob("*.md")}
FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\n'


def test_every_page_is_in_the_contents():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    named = re.findall(r"^([a-z]+\*?)$", index, re.MULTILINE)
    assert [page for page in PAGES if not any(fnmatch(page, name) for name in named)] == ["index"]


def test_the_python_reference_has_every_name():
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    described = re.findall(r"^\.\. auto(?:function|class):: (\w+)$", reference, re.MULTILINE)
    assert sorted(described) == sorted(cfbench.__all__)


def test_the_page_of_data_sets_has_every_card_with_its_counts():
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    for name in card.shipped_names():
        shipped = card.load(name)
        counts = [shipped.expected.users, shipped.expected.items, shipped.expected.ratings]
        cells = [f"{count:,}" for count in counts if count is not None]
        row = " | ".join([f"| `{name}`", shipped.title, *cells])
        assert (row if cells else f"`{name}`") in page


@pytest.fixture
def build_site(tmp_path):
    """A function that builds the site of a copy of the documents; a warning is an error."""
    pytest.importorskip("furo", reason="the extra docs is not installed: make docs installs it")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("reproduction.md", "figures"))
    for page in ROOT.glob("*.md"):
        shutil.copy(page, tmp_path)

    def build():
        command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "docs", "site"]
        result = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return tmp_path / "site"

    return build


@pytest.mark.slow
def test_the_site_is_built_with_and_without_the_reproduction(build_site, tmp_path):
    site = build_site()
    commands = (site / "commands.html").read_text(encoding="utf-8")
    headings = set(re.findall(r"<h[23]><code[^>]*>(.*?)</code>", re.sub(r"</?span[^>]*>", "", commands)))
    assert {f"cfbench {name}" for name in COMMANDS} <= headings
    assert {f"cfbench run {plugin}" for plugin in registry.names()} <= headings
    assert "cfbench datasets rm" in headings
    assert "--refeed" in commands
    models = (site / "models.html").read_text(encoding="utf-8")
    assert set(registry.names()) <= set(re.findall(r'href="commands.html#cfbench-run-([a-z-]+)"', models))
    assert (site / "record.schema.json").exists()
    index = (site / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|stylesheet" href)="https?:', index) == []  # it needs no network

    page = "# The paper, tested\n\n## Depth\n\n![Depth](figures/depth.svg)\n"
    (tmp_path / "docs" / "reproduction.md").write_text(page, encoding="utf-8")
    (tmp_path / "docs" / "figures").mkdir()
    (tmp_path / "docs" / "figures" / "depth.svg").write_text(FIGURE, encoding="utf-8")
    assert 'href="reproduction.html"' in (build_site() / "index.html").read_text(encoding="utf-8")
