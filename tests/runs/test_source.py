"""The hash of a plugin's source: what changes it, and what does not."""

import sys

import pytest

from cfbench.runs.source import source_hash

MODEL = (
    "from my_models import helper\n\n\ndef build():\n    from .later import tables\n    import my_models.deep.cuts\n"
)
FILES = {
    "__init__.py": "", "model.py": MODEL, "helper.py": "import numpy\n", "later.py": "from .far import far\n",
    "far.py": "far = 1\n", "deep/__init__.py": "", "deep/cuts.py": "", "other.py": "", "model.toml": "[preset]\n",
}  # fmt: skip


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of the package `my_models`, whose plugin is `my_models.model`."""
    folder = tmp_path / "my_models"
    (folder / "deep").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_models"]:
        del sys.modules[name]


def fresh_hash(module="my_models.model"):
    source_hash.cache_clear()
    return source_hash(module)


@pytest.mark.parametrize("name", ["model.py", "helper.py", "later.py", "far.py", "__init__.py", "deep/cuts.py"])
def test_an_edit_of_the_module_or_of_a_module_that_it_imports_changes_the_hash(package, name):
    before = fresh_hash()
    (package / name).write_text((package / name).read_text() + "x = 1\n")
    assert fresh_hash() != before
    (package / name).write_text(FILES[name])
    assert fresh_hash() == before


@pytest.mark.parametrize("name", ["other.py", "model.toml"])
def test_an_edit_of_another_module_or_of_a_preset_does_not_change_the_hash(package, name):
    before = fresh_hash()
    (package / name).write_text("x = 1\n")
    assert fresh_hash() == before


def test_line_ends_do_not_change_the_hash(package):
    before = fresh_hash()
    (package / "model.py").write_bytes(MODEL.replace("\n", "\r\n").encode())
    assert fresh_hash() == before


def test_the_hash_of_a_plugin_does_not_import_its_libraries(package):
    (package / "helper.py").write_text("raise RuntimeError\n")
    assert len(fresh_hash()) == 64
    assert not {name for name in sys.modules if name.startswith("my_models.")}


def test_the_plugins_of_cfbench_have_hashes_of_their_own():
    names = ["bias", "svd", "svdpp", "nmf", "deepae", "autorec", "als"]
    hashes = {source_hash(f"cfbench.plugins.{name}") for name in names}
    assert len(hashes) == len(names)
    assert "" not in hashes


def test_a_module_without_a_file_has_no_hash():
    assert source_hash("nowhere.model") == ""
    assert source_hash("sys") == ""
