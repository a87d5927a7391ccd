"""`cfbench check-plugin`: what it prints about plugins that break a rule."""

import io
import json
import re

import numpy as np
from rich.console import Console

from cfbench.cli import console
from cfbench.cli.check_plugin import CheckResult, print_check
from cfbench.contract import Plugin
from cfbench.plugins.bias import Bias, BiasConfig
from cfbench.testing import CHECKS


class PredictsNaN(Bias):
    def predict(self, pairs):
        return np.where(pairs.items == 59, np.nan, super().predict(pairs)).astype(np.float32)


class Crashes(Bias):
    def fit(self, train, valid, context):
        raise ZeroDivisionError("by\nzero")


def test_a_broken_rule_is_reported_with_its_reason_and_exits_with_1(terminal, register):
    register("fake", Plugin("a fake", "none", BiasConfig, PredictsNaN))
    result = terminal("check-plugin fake")
    assert result.status == 1
    lines = result.out.splitlines()
    assert len(lines) == len(CHECKS) + 2
    (broken,) = [line for line in lines if line.startswith("✗")]
    sentence = "predicts any pair, also of users and items without training ratings"
    assert broken.endswith(f"{sentence}: 80 of 4800 predictions of predict are not finite")
    passed, other = (sum(line.startswith(mark) for line in lines) for mark in "✓–")
    assert f"{passed} passed, {other} not applicable, 1 failed, in " in lines[-1]


def test_a_crash_is_the_one_line_reason_of_every_check_that_fits(terminal, register):
    register("fake", Plugin("a fake", "none", BiasConfig, Crashes))
    results = json.loads(terminal("check-plugin fake --json").out)
    reasons = {row["reason"] for row in results if row["holds"] is False}
    assert [re.sub("line .*", "line", reason) for reason in reasons] == [
        "ZeroDivisionError: by zero (test_check_plugin.py, line"
    ]


def test_every_line_fits_80_columns_of_a_terminal(monkeypatch):
    narrow = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", lambda: narrow)
    for sentence in CHECKS:
        print_check(CheckResult(sentence, holds=False, reason="[x] " + "because " * 20, seconds=1234.5))
    lines = narrow.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "[x] because" in lines[1]


def test_a_pipe_gets_no_colours(terminal):
    assert "\x1b" not in terminal("check-plugin bias").out
