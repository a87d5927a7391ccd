"""`run --energy`: an estimate of the electricity of a fit, which says what was measured, and needs no network."""

import importlib.util
import json
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from cfbench.cli import progress
from cfbench.contract import Config, Plugin
from cfbench.runs.energy import EnergyMeter
from cfbench.runs.results import Results


class Slow:
    """Predicts 3, after a fit that is long enough to be measured."""

    parameters = 1

    def fit(self, train, valid, context):
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            pass

    def predict(self, pairs):
        return np.full(len(pairs), 3, np.float32)

    def state(self):
        return {"nothing": np.zeros(1)}

    def restore(self, state, train, context):
        pass


@pytest.fixture
def offline(monkeypatch):
    """No connection can be made."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def slow(terminal, register):
    """A terminal with a plugin `slow`."""
    register("slow", Plugin("slow", "none", Config, lambda _: Slow(), random=False))
    return terminal


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_the_record_says_how_much_electricity_the_fit_took_and_how_that_is_known(slow, monkeypatch):
    monkeypatch.setenv("CODECARBON_SAVE_TO_API", "true")
    monkeypatch.setenv("CODECARBON_EMISSIONS_ENDPOINT", "https://127.0.0.1:9/")
    monkeypatch.setenv("CODECARBON_CO2_SIGNAL_API_TOKEN", "secret")
    before = set(Path().iterdir())
    result = slow("run slow --energy")
    assert (result.status, result.err.count("codecarbon")) == (0, 1)  # in the one line about energy
    record, _ = Results(Path("results")).find("last")
    energy = record.outcome.energy
    assert record.request.measure_energy
    assert energy.wh > 0
    assert energy.wh == pytest.approx(sum(energy.parts.values()))
    assert set(energy.parts) == {"processor", "memory"}  # no GPU, because the model computes on the CPU
    assert energy.co2_grams == pytest.approx(energy.wh * 0.475)  # codecarbon's average of the world
    words = " ".join((*energy.measured, *energy.guessed))
    assert "processor" in words
    assert "memory" in words
    assert energy.guessed[-1] == "carbon dioxide, from the average electricity of the world"
    assert f"energy: {energy.wh:.3g} Wh, {energy.co2_grams:.3g} g of carbon dioxide, as codecarbon " in result.err
    assert set(Path().iterdir()) - before <= {Path("results")}  # no file of codecarbon
    slow("run mean")
    rows = json.loads(slow("compare --json").out)["rows"]
    assert {row["plugin"]: row["energy_wh"] for row in rows} == {"slow": energy.wh, "mean": None}
    assert f"{energy.wh:.3g} Wh" in slow("compare --columns plugin,energy").out
    assert "energy of the fit" in slow("show slow").out
    assert "energy of the fit" not in slow("show mean").out


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_the_country_is_that_of_the_settings_of_codecarbon(monkeypatch):
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "FRA")
    meter = EnergyMeter("cpu")
    with meter:
        time.sleep(0.1)
    assert meter.energy.guessed[-1] == "carbon dioxide, from the average electricity of France"
    assert meter.energy.co2_grams < meter.energy.wh * 0.2


def test_a_resumed_run_has_no_energy_and_says_why(slow):
    def stop(self, run):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.RunProgress, "begin", stop)
        assert slow("run slow --energy").status == 130
    result = slow("run slow --energy")
    assert "energy: not known, because earlier processes of this run were not measured" in result.err
    record, _ = Results(Path("results")).find("last")
    assert (record.request.measure_energy, record.outcome.energy) == (True, None)


def test_a_missing_codecarbon_is_one_line(slow, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "codecarbon" else real(name))
    result = slow("run slow --energy")
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert "--energy needs codecarbon, which is not installed; install it with: " in result.err
    assert "'cfbench-recsys[energy]'" in result.err
