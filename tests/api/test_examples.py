"""Each example runs, on planted ratings in the place of MovieLens."""

import hashlib
import importlib.util
import json
import runpy
import warnings
from pathlib import Path

import pytest

import cfbench
from cfbench.errors import RunWarning
from cfbench.runs import registry

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))


@pytest.fixture
def run_example(planted_ml_100k, monkeypatch):
    """A function that runs a script as `python` would."""
    monkeypatch.setattr(registry, "_registered", {})

    def run(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RunWarning)
            return runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return run


def test_the_own_model_is_ranked_beside_bias_and_known_by_the_source_of_its_script(run_example):
    data = run_example("own_model.py")["data"]
    assert set(cfbench.compare(data)["plugin"]) == {"bias", "item-mean"}
    board = cfbench.compare(data, plugins=["item-mean"], all_runs=True)
    runs = [cfbench.Run.open(run) for row in board["runs"] for run in row]
    script = hashlib.sha256((EXAMPLES / "own_model.py").read_bytes()).hexdigest()
    assert {run.record.request.plugin.source for run in runs} == {script}
    assert any(run.record.request.tuned for run in runs)


def test_own_data_are_ranked_by_the_truth_that_made_them(run_example):
    for _ in range(2):  # the second time it opens the same data set, and skips the finished runs
        names = run_example("own_data.py")
    board = cfbench.compare(names["data"])
    assert board["plugin"].to_list() == ["als", "bias", "mean"]
    assert board["rmse"][0] < 0.75  # the noise of 0.3 and the rounding


def test_another_library_is_ranked_and_marked_as_imported(run_example):
    data = run_example("rank_other_library.py")["data"]
    board = cfbench.compare(data)
    assert set(board["plugin"]) == {"bias", "surprise-svd-directly"}
    assert board["imported"].sum() == 1


def cells(kind):
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_valid_and_has_no_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert all(not cell["outputs"] and cell["execution_count"] is None
               for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")  # fmt: skip
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in cells("code"):
        compile(cell, "cell", "exec")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cfbench.errors.RunWarning")
def test_the_notebook_runs(planted_ml_100k):
    if all(importlib.util.find_spec(name) for name in ("nbclient", "nbformat", "ipykernel")):
        import nbclient
        import nbformat

        notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
        folder = str(planted_ml_100k / "cards")
        setup = f"from pathlib import Path\nfrom cfbench.data import card\ncard.SHIPPED_FOLDER = Path({folder!r})"
        notebook.cells.insert(0, nbformat.v4.new_code_cell(setup))
        nbclient.NotebookClient(notebook, timeout=600).execute()
    else:
        names = {"__name__": "__main__"}
        for cell in cells("code"):
            exec(compile(cell, "cell", "exec"), names)
    assert cfbench.Run.open("last").record.request.dataset.name == "tour"
