"""The code of docs/python.md and of README runs, from top to bottom."""

import re
from pathlib import Path

import pytest

import cfbench
from cfbench.runs import registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run_code(page, script):
    names = {"__name__": "page", "__file__": str(script)}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, script, "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cfbench.errors.RunWarning")
def test_the_code_on_the_page_runs(planted_ml_100k, monkeypatch, capsys):
    monkeypatch.setattr(registry, "_registered", {})
    names = run_code(PAGE, planted_ml_100k / "page.py")
    out, err = capsys.readouterr()
    assert "no hyper-parameter 'item_regg'; did you mean 'item_reg'?" in out
    assert err == ""
    assert names["run"].scores.rmse > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cfbench.errors.RunWarning")
def test_the_code_of_readme_runs(planted_ml_100k):
    assert run_code(README, planted_ml_100k / "page.py")["run"].config["refeed"] == 1


def test_the_page_describes_every_name():
    described = set(re.findall(r"`(?:cfbench\.)?([A-Za-z_]+)[(`.]", PAGE))
    assert set(cfbench.__all__) <= described
    assert all(getattr(cfbench, name).__doc__ for name in cfbench.__all__)
    assert set(cfbench.__all__) <= set(dir(cfbench))
    with pytest.raises(AttributeError, match="module 'cfbench' has no attribute 'laod'"):
        cfbench.laod  # noqa: B018 (it raises)
