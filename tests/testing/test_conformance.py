"""The conformance suite over every registered plugin, and over plugins that break it."""

import importlib
from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field, field_serializer

from cfbench.contract import Config, DivergedError, Epoch, Plugin, Tunable
from cfbench.learning import biases
from cfbench.metrics import rmse
from cfbench.runs import registry
from cfbench.testing import CHECKS, check

# the mean cannot be better than itself; tests/test_mean.py says what it is on any scale
FLOOR = {
    "learns planted structure better than the mean",
    "works on scales with zero, negatives and halves",
    "works on a scale of hundreds, or says that it diverged",
}
CASES = [
    (name, sentence) for name in registry.names() for sentence in CHECKS if name != "mean" or sentence not in FLOOR
]


@pytest.mark.parametrize(("name", "sentence"), CASES)
def test_every_plugin_conforms(name, sentence, tmp_path):
    check(registry.load(name), sentence, tmp_path)


class Mean:
    """A sound model; each class below breaks it in one way."""

    def __init__(self, config):
        self._biases = None

    def fit(self, train, valid, context):
        self._biases = biases.fit(train)

    def predict(self, pairs):
        return self._biases.predict(pairs)

    def state(self):
        return {"mean": np.array([self._biases.mean]), "users": self._biases.users, "items": self._biases.items}

    def restore(self, state, train, context):
        self._biases = biases.Biases(float(state["mean"][0]), state["users"], state["items"])

    @property
    def parameters(self):
        return 1 + len(self._biases.users) + len(self._biases.items)


class Folding(Mean):
    """Sound too, and speaks of users it has not met."""

    def fold_in(self, items, ratings, asked):
        return self._biases.fold_in(items, ratings, asked)


class ByEpochs(Mean):
    """Sound too, and has epochs, a curve and a checkpoint."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        scores = valid.scale.clip(self.predict(valid.pairs))
        error = rmse(scores, valid.ratings) if len(valid) else None
        for k in (1, 2, 3):
            if context.checkpoint:
                context.checkpoint.touch()
            context.report(self.told(Epoch(k, 3, 1.0, error, k / 10)))

    def told(self, epoch):
        return epoch


SOUND = [Plugin("t", "p", Config, model) for model in (Mean, Folding, ByEpochs)]


class Undescribed(Config):
    x: int = 3


class Taken(Config):
    seed: int = Field(3, description="a number")


class OutOfItsRange(Config):
    x: Annotated[int, Tunable(0, 5)] = Field(3, ge=1, description="a number")


class Backwards(Config):
    x: Annotated[float, Tunable(5, 1)] = Field(3, description="a number")


class LogOfZero(Config):
    x: Annotated[float, Tunable(0, 1, log=True)] = Field(1, description="a number")


class StepsOfLog(Config):
    x: Annotated[float, Tunable(1, 2, log=True, step=0.5)] = Field(1, description="a number")


class Endless(Config):
    x: Annotated[float, Tunable(low=1)] = Field(1, description="a number")


class Listed(Config):
    x: list[int] = Field([1, 2], description="numbers")


class ChangedByJson(Config):
    x: int = Field(1, description="a number")

    @field_serializer("x")
    def _more(self, value):
        return value + 1


class Timid(Mean):
    def predict(self, pairs):
        return (self._biases.mean + 0.05 * (super().predict(pairs) - self._biases.mean)).astype(np.float32)


class Doubles(Mean):
    def predict(self, pairs):
        return super().predict(pairs).astype(np.float64)


class NotFinite(Mean):
    def predict(self, pairs):
        return np.where(pairs.users == 79, np.nan, super().predict(pairs)).astype(np.float32)


class ColdIsWild(Mean):
    def predict(self, pairs):
        return np.where(pairs.users == 79, 1e6, super().predict(pairs)).astype(np.float32)


class Columns(Mean):
    def predict(self, pairs):
        scores = super().predict(pairs)
        return scores[:, None] if len(scores) == 1 else scores


class Ordered(Mean):
    def predict(self, pairs):
        return super().predict(pairs) + np.linspace(0, 0.01, len(pairs), dtype=np.float32)


class AmongItsKind(Mean):
    """Predictor relative to the batch."""

    def predict(self, pairs):
        scores = super().predict(pairs)
        return scores - scores.mean() + np.float32(self._biases.mean) if len(scores) else scores


class WritesCodes(Mean):
    def predict(self, pairs):
        scores = super().predict(pairs)
        if pairs.users.flags.writeable:
            pairs.users[:] = 0
        return scores


class WritesRatings(Mean):
    def fit(self, train, valid, context):
        train.ratings.base[0] = 2.5
        super().fit(train, valid, context)


class ListensToTheWorld(Mean):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self._biases = replace(self._biases, mean=self._biases.mean + np.random.random() * 1e-3)  # noqa: NPY002 (that is its fault)


class Shared(Mean):
    held = {}  # noqa: RUF012 (that is its fault)

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.held["biases"] = self._biases

    def predict(self, pairs):
        return self.held["biases"].predict(pairs)


class NeedsValidation(Mean):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        valid.ratings.min()


class ZeroIsNothing(Mean):
    def fit(self, train, valid, context):
        super().fit(train.take(train.ratings > 0), valid, context)


class OfStars(Mean):
    def predict(self, pairs):
        return np.clip(super().predict(pairs), -20, 20)


class NeedsTwo(Mean):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        train.ratings[1].item()


class KeepsLists(Mean):
    def state(self):
        return super().state() | {"mean": [self._biases.mean]}


class Learnless(Mean):
    parameters = 0


class Forgetful(Mean):
    def restore(self, state, train, context):
        super().restore(state, train, context)
        self._biases.users[0] += 1


class FromZero(ByEpochs):
    def told(self, epoch):
        return replace(epoch, epoch=epoch.epoch - 1)


class TooMany(ByEpochs):
    def told(self, epoch):
        return replace(epoch, epochs=2)


class Flattering(ByEpochs):
    def told(self, epoch):
        return replace(epoch, valid_rmse=epoch.valid_rmse and 0.9 * epoch.valid_rmse)


class Imagining(ByEpochs):
    def told(self, epoch):
        return replace(epoch, valid_rmse=epoch.valid_rmse or 1.0)


class Backdated(ByEpochs):
    def told(self, epoch):
        return replace(epoch, seconds=-epoch.seconds)


class NotANumber(ByEpochs):
    def told(self, epoch):
        return replace(epoch, train_rmse=float("nan"))


class NoCheckpoint(ByEpochs):
    def fit(self, train, valid, context):
        super().fit(train, valid, replace(context, checkpoint=None))


class Deaf(ByEpochs):
    """Swallows what report raises."""

    def fit(self, train, valid, context):
        try:
            super().fit(train, valid, context)
        except BaseException:  # noqa: BLE001 (that is its fault)
            return


class GoesOnElsewhere(ByEpochs):
    def fit(self, train, valid, context):
        resumed = context.checkpoint is not None and context.checkpoint.exists()
        super().fit(train, valid, context)
        self._biases = replace(self._biases, mean=self._biases.mean + 0.001 * resumed)


class StartsOver(ByEpochs):
    """Reports after a resumption only what comes then."""

    def fit(self, train, valid, context):
        resumed = context.checkpoint is not None and context.checkpoint.exists()
        told = context.report
        super().fit(train, valid, replace(context, report=lambda e: None if resumed and e.epoch == 1 else told(e)))


class FoldsDoubles(Folding):
    def fold_in(self, items, ratings, asked):
        return super().fold_in(items, ratings, asked).astype(np.float64)


class FoldsKnownItems(Folding):
    def fold_in(self, items, ratings, asked):
        return np.where(asked == 29, np.nan, super().fold_in(items, ratings, asked)).astype(np.float32)


class FoldsCold(Folding):
    def fold_in(self, items, ratings, asked):
        return np.full(len(asked), self._biases.mean + 0.5, np.float32)


class FoldsTheLast(Folding):
    def fold_in(self, items, ratings, asked):
        return super().fold_in(items, ratings, asked) + np.float32(0.01) * ratings[-1]


class FoldsForGood(Folding):
    def fold_in(self, items, ratings, asked):
        self._biases.users[:] += 0.1
        return super().fold_in(items, ratings, asked)


class FoldsOver(Folding):
    def fold_in(self, items, ratings, asked):
        scores = super().fold_in(items, ratings, asked)
        ratings[:] = 1
        return scores


EPOCHS = "reports its epochs in order, with true validation errors"
RESUMES = "goes on from a checkpoint to the same bits"
ANY_PAIR = "predicts any pair, cold users and items too"
BROKEN = [
    ("has a title and a paper, a line each", Plugin("", "p", Config, Mean), "PLUGIN.title is empty"),
    ("has a title and a paper, a line each", Plugin("t", "p\nq", Config, Mean), "PLUGIN.paper has more than one line"),
    *[
        (sentence, Plugin("t", "p", config, Mean), message)
        for sentence, config, message in [
            ("has defaults that are allowed and the same after JSON", ChangedByJson, "not the same after JSON"),
            ("describes every hyper-parameter, under a name that is free", Undescribed, "'x' has no description"),
            ("describes every hyper-parameter, under a name that is free", Taken, "'seed' has the name of an option"),
            ("takes every hyper-parameter as text from the command line", Listed, "--x: should be a valid list"),
            ("allows every value it would be tuned over", OutOfItsRange, "greater than or equal to 1"),
            ("allows every value it would be tuned over", Backwards, "goes from 5 to 1"),
            ("allows every value it would be tuned over", LogOfZero, "is on a log scale and begins at 0"),
            ("allows every value it would be tuned over", StepsOfLog, "has a step on a log scale"),
            ("allows every value it would be tuned over", Endless, "has no high end and no choices"),
        ]
    ],
    *[
        (sentence, Plugin("t", "p", Config, model), message)
        for sentence, model, message in [
            ("learns planted structure better than the mean", Timid, "is not well below the mean's"),
            (ANY_PAIR, Doubles, "predict returned float64, expected float32"),
            (ANY_PAIR, NotFinite, "60 of 4800 predictions of predict are not finite"),
            (ANY_PAIR, ColdIsWild, "a pair with a cold user or item is predicted"),
            (ANY_PAIR, Columns, "predict returned shape \\(1, 1\\), expected \\(1,\\)"),
            ("predicts the same whatever the order of the pairs", Ordered, "in another order are predicted up to"),
            (
                "predicts the same whether pairs come together or in pieces",
                AmongItsKind,
                "seven at a time, are",
            ),
            ("leaves what it is given as it is", WritesCodes, "predict changed the codes"),
            ("leaves what it is given as it is", WritesRatings, "fit changed the ratings"),
            (
                "gives the same bits for the same seed, and draws from nothing else",
                ListensToTheWorld,
                "same seed, pred",
            ),
            ("keeps what it learned to itself when another is fitted", Shared, "once another model is fitted"),
            ("does without validation ratings", NeedsValidation, "zero-size array"),
            ("works on scales with zero, negatives and halves", ZeroIsNothing, "is not below the mean's"),
            ("works on a scale of hundreds, or says that it diverged", OfStars, "is not below the mean's"),
            ("survives a training set of one rating", NeedsTwo, "out of bounds"),
            ("keeps its state as named arrays of numbers", KeepsLists, "'mean'] is a list, expected a NumPy array"),
            ("keeps its state as named arrays of numbers", Learnless, "parameters is 0, expected how many"),
            (
                "predicts the same bits after its state was stored and restored",
                Forgetful,
                "restored, predictions are up",
            ),
            (EPOCHS, FromZero, "epochs are not reported as 1, 2, 3"),
            (EPOCHS, TooMany, "there are more epochs than"),
            (EPOCHS, Flattering, "no epoch reported it"),
            (EPOCHS, Imagining, "without validation ratings"),
            (EPOCHS, Backdated, "runs backwards"),
            (EPOCHS, NotANumber, "a train_rmse is not finite"),
            (RESUMES, NoCheckpoint, "no checkpoint was written"),
            (RESUMES, Deaf, "was swallowed"),
            (RESUMES, GoesOnElsewhere, "resumed, predictions are up to 0.00"),
            (RESUMES, StartsOver, "did not report every epoch once"),
            ("folds in any new user, with items nobody has rated too", FoldsDoubles, "fold_in returned float64"),
            (
                "folds in any new user, with items nobody has rated too",
                FoldsKnownItems,
                "1 of 30 predictions of fold",
            ),
            ("folds in new users better than the mean", FoldsCold, "over users folded in .* is not below the mean's"),
            (
                "folds in the same whatever the order of ratings and items",
                FoldsTheLast,
                "ratings in another order",
            ),
            ("folds in a user without a trace", FoldsForGood, "predictions for others move by up to 0.1"),
            ("folds in a user without a trace", FoldsOver, "fold_in changed the arrays"),
        ]
    ],
]


def broken_by(plugin, folder):
    """The checks a plugin fails."""
    failed = {}
    for number, sentence in enumerate(CHECKS):
        (folder / str(number)).mkdir()
        try:
            check(plugin, sentence, folder / str(number))
        except Exception as fault:  # noqa: BLE001 (whatever a broken plugin raises)
            failed[sentence] = fault
    return failed


@pytest.mark.parametrize(
    ("sentence", "plugin", "message"),
    BROKEN,
    ids=lambda x: f"{x.build.__name__}-{x.config.__name__}" if isinstance(x, Plugin) else None,
)
def test_a_plugin_that_breaks_a_rule_is_found_out_by_that_rule_alone(sentence, plugin, message, tmp_path):
    failed = broken_by(plugin, tmp_path)
    assert set(failed) == {sentence}
    with pytest.raises(type(failed[sentence]), match=message):
        raise failed[sentence]


@pytest.mark.parametrize("plugin", SOUND, ids=lambda plugin: plugin.build.__name__)
def test_a_sound_model_passes(plugin, tmp_path):
    assert broken_by(plugin, tmp_path) == {}


def test_every_rule_has_been_broken():
    assert {sentence for sentence, *_ in BROKEN} | {LISTED} == set(CHECKS)


LISTED = "can be listed without the libraries it needs"
NEEDY = """
{where}import wave
from cfbench.contract import Config, Plugin
from cfbench.plugins.bias import Bias, BiasConfig
class Own(BiasConfig): pass
def build(config):
    import wave
    return Bias(config)
PLUGIN = Plugin("t", "p", Own, build, needs={{"wave": "wavelib"}})
"""


@pytest.mark.parametrize(("name", "where", "broken"), [("greedy", "", {LISTED}), ("lazy", "if 0: ", set())])
def test_a_plugin_that_imports_what_it_needs_too_early_is_found_out(name, where, broken, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").write_text(NEEDY.format(where=where))
    monkeypatch.syspath_prepend(tmp_path)
    failed = broken_by(importlib.import_module(name).PLUGIN, tmp_path)
    assert set(failed) == broken
    if broken:
        assert f"{name} cannot be imported without wave" in str(failed[LISTED])


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        (LISTED, "needs no library"),
        (EPOCHS, "fits in one piece"),
        (RESUMES, "fits in one piece"),
        ("folds in a user without a trace", "has no fold_in"),
    ],
)
def test_a_check_of_what_is_not_offered_says_why_there_is_nothing_to_check(sentence, why, tmp_path):
    assert why in check(SOUND[0], sentence, tmp_path)
    assert not check(SOUND[0], ANY_PAIR, tmp_path)


def test_a_model_may_diverge_on_a_scale_of_hundreds_when_it_says_so(tmp_path):
    class Diverges(Mean):
        def fit(self, train, valid, context):
            if train.scale.high == 1000:
                raise DivergedError("training RMSE became nan", usable=False)
            super().fit(train, valid, context)

    plugin = Plugin("t", "p", Config, Diverges)
    told = check(plugin, "works on a scale of hundreds, or says that it diverged", tmp_path)
    assert "training RMSE became nan" in told


def test_the_names_that_are_not_free_are_those_of_the_options_of_run():
    from cfbench.cli.run.command import build_command
    from cfbench.testing.declared import TAKEN

    own = registry.load("bias").config.model_fields
    assert {parameter.name for parameter in build_command("bias").params} - set(own) <= TAKEN
