"""The warning about a model that is no better than predictions without a model."""

import numpy as np
import pytest

from cfbench.learning import biases
from cfbench.metrics import rmse
from cfbench.runs import plausibility
from cfbench.testing import planted


@pytest.fixture(scope="module")
def data():
    return planted(seed=3, noise=0.5)


def constant_rmse(data):
    return float(np.sqrt(np.mean((data.valid.ratings - data.train.ratings.mean(dtype=np.float64)) ** 2)))


def bias_rmse(data):
    return rmse(data.valid.scale.clip(biases.fit(data.train).predict(data.valid.pairs)), data.valid.ratings)


def test_an_error_above_that_of_the_constant_mean_is_named_with_both_numbers(data):
    constant = constant_rmse(data)
    warning = plausibility.warn(data.train, data.valid, constant + 0.01)
    assert warning.startswith(
        f"validation RMSE {constant + 0.01:.4f} is worse than that of the constant mean, {constant:.4f}; "
    )


def test_an_error_above_that_of_biases_is_named_with_both_numbers(data):
    bias = bias_rmse(data)
    assert bias < constant_rmse(data) - 0.01
    warning = plausibility.warn(data.train, data.valid, bias + 0.01)
    assert warning.startswith(f"validation RMSE {bias + 0.01:.4f} is worse than that of biases alone, {bias:.4f}; ")


def test_a_small_gain_is_doubted_only_where_there_are_few_ratings(data, monkeypatch):
    gain_of_1_percent = 0.99 * bias_rmse(data)
    warning = plausibility.warn(data.train, data.valid, gain_of_1_percent)
    assert "is only 1.0% better than that of biases alone" in warning
    assert warning.endswith(f"; {len(data.train):,} training ratings are few for any model")
    monkeypatch.setattr(plausibility, "FEW_RATINGS", 100)
    assert plausibility.warn(data.train, data.valid, gain_of_1_percent) == ""


def test_nothing_is_said_of_a_good_model_of_the_biases_themselves_and_without_validation(data):
    assert plausibility.warn(data.train, data.valid, 0.9 * bias_rmse(data)) == ""
    assert plausibility.warn(data.train, data.valid, bias_rmse(data)) == ""
    assert plausibility.warn(data.train, data.valid.take(np.arange(0)), None) == ""


def test_a_run_that_is_worse_than_the_constant_mean_says_so_and_its_record_too(terminal):
    result = terminal("run deepae --preset paper-full --hidden 4 --epochs 1 --lr 1e-9")
    assert result.status == 0
    assert result.err.count("is worse than that of the constant mean, ") == 1
    assert "is worse than that of the constant mean, " in terminal("show last").out
