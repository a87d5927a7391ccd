"""The conformance suite over every registered plugin, and over plugins that break it."""

from typing import Annotated

import numpy as np
import pytest
from pydantic import Field

from cfbench import biases, registry
from cfbench.contract import Config, Epoch, Plugin, Tunable
from cfbench.testing import CHECKS, check


@pytest.mark.parametrize("sentence", CHECKS)
@pytest.mark.parametrize("name", registry.names())
def test_every_plugin_conforms(name, sentence, tmp_path):
    check(registry.load(name), sentence, tmp_path)


class Mean:
    """A sound model; each test breaks it in one way."""

    def __init__(self, config):
        self._biases = None

    def fit(self, train, valid, context):
        self._biases = biases.fit(train)

    def predict(self, users, items):
        return self._biases.predict(users, items)

    def state(self):
        return {"mean": np.array([self._biases.mean]), "users": self._biases.users, "items": self._biases.items}

    def restore(self, state, train, context):
        self._biases = biases.Biases(float(state["mean"][0]), state["users"], state["items"])

    @property
    def parameters(self):
        return 1 + len(self._biases.users) + len(self._biases.items)


class Undescribed(Config):
    x: int = 3


class OutOfItsRange(Config):
    x: Annotated[int, Tunable(0, 5)] = Field(3, ge=1, description="a number")


class Constant(Mean):
    def predict(self, users, items):
        return np.full(len(users), 3, np.float32)


class Doubles(Mean):
    def predict(self, users, items):
        return super().predict(users, items).astype(np.float64)


class NotFinite(Mean):
    def predict(self, users, items):
        return np.where(users == 79, np.nan, super().predict(users, items)).astype(np.float32)


class ColdIsWild(Mean):
    def predict(self, users, items):
        return np.where(users == 79, 1e6, super().predict(users, items)).astype(np.float32)


class ListensToTheWorld(Mean):
    def predict(self, users, items):
        return super().predict(users, items) + np.float32(np.random.random() * 1e-3)  # noqa: NPY002 (that is its fault)


class Ordered(Mean):
    def predict(self, users, items):
        return super().predict(users, items) + np.linspace(0, 0.1, len(users), dtype=np.float32)


class NeedsValidation(Mean):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        valid.ratings.min()


class ZeroIsNothing(Mean):
    def fit(self, train, valid, context):
        super().fit(train.take(train.ratings > 0), valid, context)


class NeedsTwo(Mean):
    def fit(self, train, valid, context):
        super().fit(train.take(np.arange(1, len(train))), valid, context)
        self._biases = biases.Biases(train.ratings[1], self._biases.users, self._biases.items)


class Forgetful(Mean):
    def restore(self, state, train, context):
        super().restore(state, train, context)
        self._biases.users[0] += 1


class Epochs(Mean):
    """Reports epochs, but keeps no checkpoint."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        for k in (1, 2, 3):
            context.report(Epoch(k, 3, 1.0, 1.0, 0.0))


class Deaf(Mean):
    """Swallows what report raises."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        try:
            context.report(Epoch(1, 1, 1.0, 1.0, 0.0))
        except BaseException:  # noqa: BLE001 (that is its fault)
            return


BROKEN = [
    (
        "declares its title, paper, hyper-parameters and ranges",
        Mean,
        Undescribed,
        "hyper-parameter 'x' has no description",
    ),
    ("declares its title, paper, hyper-parameters and ranges", Mean, OutOfItsRange, "greater than or equal to 1"),
    ("learns planted structure better than the mean", Constant, Config, "is not below the mean's"),
    ("predicts any pair, cold users and items too", Doubles, Config, "predict returned float64, expected float32"),
    ("predicts any pair, cold users and items too", NotFinite, Config, "60 of 4800 predictions are not finite"),
    ("predicts any pair, cold users and items too", ColdIsWild, Config, "a pair with a cold user or item is predicted"),
    ("predicts the same whatever the order of the pairs", Ordered, Config, "in another order are predicted up to"),
    (
        "gives the same bits for the same seed, and draws from nothing else",
        ListensToTheWorld,
        Config,
        "same seed, predictions",
    ),
    ("does without validation ratings", NeedsValidation, Config, "zero-size array"),
    ("works on scales with zero, negatives and halves", ZeroIsNothing, Config, "is not below the mean's"),
    ("survives a training set of one rating", NeedsTwo, Config, "out of bounds"),
    (
        "predicts the same bits after its state was stored and restored",
        Forgetful,
        Config,
        "restored, predictions are up to",
    ),
    ("goes on from a checkpoint to the same bits", Epochs, Config, "no checkpoint was written"),
    ("goes on from a checkpoint to the same bits", Deaf, Config, "was swallowed"),
]


@pytest.mark.parametrize(("sentence", "model", "config", "message"), BROKEN, ids=lambda x: getattr(x, "__name__", None))
def test_a_plugin_that_breaks_a_rule_is_found_out(sentence, model, config, message, tmp_path):
    with pytest.raises((AssertionError, ValueError, IndexError), match=message):
        check(Plugin("t", "p", config, model), sentence, tmp_path)


@pytest.mark.parametrize("sentence", CHECKS)
def test_the_sound_model_passes_and_every_rule_has_been_broken(sentence, tmp_path):
    check(Plugin("t", "p", Config, Mean), sentence, tmp_path)
    assert sentence in {broken for broken, *_ in BROKEN}
