"""The conformance suite, run on every registered plugin and on plugins that each break one rule."""

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

# the mean cannot be better than itself; tests/plugins/test_mean.py tests it on other scales
BETTER_THAN_THE_MEAN = {
    "learns planted structure better than the mean",
    "works on scales with zero, negatives and halves",
    "works on a scale of hundreds, or reports that it diverged",
}
CASES = [
    (name, sentence)
    for name in registry.names()
    for sentence in CHECKS
    if name != "mean" or sentence not in BETTER_THAN_THE_MEAN
]


@pytest.mark.parametrize(("name", "sentence"), CASES)
def test_every_plugin_conforms(name, sentence, tmp_path):
    check(registry.load(name), sentence, tmp_path)


class Mean:
    """A correct model; each class below breaks it in one way."""

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
    """Correct too, and folds in new users."""

    def fold_in(self, items, ratings, targets):
        return self._biases.fold_in(items, ratings, targets)


class Embeds(Mean):
    """Correct too, and has vectors of items."""

    def embeddings(self, side):
        vectors = np.column_stack([self._biases.items, self._biases.items**2]).astype(np.float32)
        return vectors if side == "item" else None


class ByEpochs(Mean):
    """Correct too, with epochs, a curve and a checkpoint."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        scores = valid.scale.clip(self.predict(valid.pairs))
        error = rmse(scores, valid.ratings) if len(valid) else None
        for k in (1, 2, 3):
            if context.checkpoint:
                context.checkpoint.touch()
            context.report(self.edited(Epoch(k, 3, 1.0, error, k / 10)))

    def edited(self, epoch):
        return epoch


class ByGivenEpochs(Mean):
    """Correct too: it fits as many epochs as it is asked for, and the more, the stronger its biases."""

    def fit(self, train, valid, context):
        epochs = context.epochs or 3
        for k in range(1, epochs + 1):
            self._biases = biases.fit(train, user_reg=100 / k**3, item_reg=100 / k**3)
            scores = valid.scale.clip(self.predict(valid.pairs))
            error = rmse(scores, valid.ratings) if len(valid) else None
            if context.checkpoint:
                context.checkpoint.touch()
            context.report(Epoch(k, epochs, 1.0, error, k / 10))


class ByItsOwnSchedule(ByGivenEpochs):
    """Fits another model if it is to fit another number of epochs, as a schedule scaled to that number would."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        if context.epochs:
            self._biases.users[:] /= 1 + context.epochs


CORRECT = [Plugin("t", "p", Config, model) for model in (Mean, Folding, ByEpochs, Embeds)]
CORRECT += [Plugin("t", "p", Config, Mean, uses_times=True), Plugin("t", "p", Config, ByGivenEpochs, fixed_epochs=True)]


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


class RelativeToOthers(Mean):
    """Predicts relative to the other pairs."""

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


class UsesGlobalRandomness(Mean):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self._biases = replace(self._biases, mean=self._biases.mean + np.random.random() * 1e-3)  # noqa: NPY002 (that is what it breaks)


class UsesTheSeed(Mean):
    """It declares that nothing is random."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self._biases = replace(self._biases, mean=self._biases.mean + 0.001 * context.rng().normal())


class Shared(Mean):
    held = {}  # noqa: RUF012 (that is what it breaks)

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.held["biases"] = self._biases

    def predict(self, pairs):
        return self.held["biases"].predict(pairs)


class NeedsValidation(Mean):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        valid.ratings.min()


class IgnoresZeros(Mean):
    def fit(self, train, valid, context):
        super().fit(train.take(train.ratings > 0), valid, context)


class AssumesSmallScale(Mean):
    def predict(self, pairs):
        return np.clip(super().predict(pairs), -20, 20)


class OnlyWithTimes(Mean):
    """Fails for pairs without times if it was fitted with times."""

    _dated = False

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self._dated = train.times is not None

    def predict(self, pairs):
        ages = pairs.times.astype(np.float32) if self._dated else np.float32(0)
        return super().predict(pairs) + 0 * ages


class NeedsTwoRatings(Mean):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        train.ratings[1].item()


class ListsInState(Mean):
    def state(self):
        return super().state() | {"mean": [self._biases.mean]}


class NoParameters(Mean):
    parameters = 0


class RestoresWrongly(Mean):
    def restore(self, state, train, context):
        super().restore(state, train, context)
        self._biases.users[0] += 1


class EpochsFromZero(ByEpochs):
    def edited(self, epoch):
        return replace(epoch, epoch=epoch.epoch - 1)


class TooManyEpochs(ByEpochs):
    def edited(self, epoch):
        return replace(epoch, epochs=2)


class FlatteringValidation(ByEpochs):
    def edited(self, epoch):
        return replace(epoch, valid_rmse=epoch.valid_rmse and 0.9 * epoch.valid_rmse)


class InventedValidation(ByEpochs):
    def edited(self, epoch):
        return replace(epoch, valid_rmse=epoch.valid_rmse or 1.0)


class DecreasingSeconds(ByEpochs):
    def edited(self, epoch):
        return replace(epoch, seconds=-epoch.seconds)


class NaNTraining(ByEpochs):
    def edited(self, epoch):
        return replace(epoch, train_rmse=float("nan"))


class FlatteringCrossFit(Mean):
    """Claims a lower error on the validation ratings than its predictions have."""

    valid_rmse = 0.01


class Prints(Mean):
    def fit(self, train, valid, context):
        print("fitting\nfurther")
        super().fit(train, valid, context)


class NoCheckpoint(ByEpochs):
    def fit(self, train, valid, context):
        super().fit(train, valid, replace(context, checkpoint=None))


class CatchesInterrupts(ByEpochs):
    """Catches what report raises."""

    def fit(self, train, valid, context):
        try:
            super().fit(train, valid, context)
        except BaseException:  # noqa: BLE001 (that is what it breaks)
            return


class ResumesWrongly(ByEpochs):
    def fit(self, train, valid, context):
        resumed = context.checkpoint is not None and context.checkpoint.exists()
        super().fit(train, valid, context)
        self._biases = replace(self._biases, mean=self._biases.mean + 0.001 * resumed)


class ReportsOnlyNewEpochs(ByEpochs):
    """After a resumption it does not report the earlier epochs."""

    def fit(self, train, valid, context):
        resumed = context.checkpoint is not None and context.checkpoint.exists()
        report = context.report
        super().fit(train, valid, replace(context, report=lambda e: None if resumed and e.epoch == 1 else report(e)))


class FoldsInDoubles(Folding):
    def fold_in(self, items, ratings, targets):
        return super().fold_in(items, ratings, targets).astype(np.float64)


class FoldsInKnownItemsOnly(Folding):
    def fold_in(self, items, ratings, targets):
        return np.where(targets == 29, np.nan, super().fold_in(items, ratings, targets)).astype(np.float32)


class FoldsInAConstant(Folding):
    def fold_in(self, items, ratings, targets):
        return np.full(len(targets), self._biases.mean + 0.5, np.float32)


class FoldsInByOrder(Folding):
    def fold_in(self, items, ratings, targets):
        return super().fold_in(items, ratings, targets) + np.float32(0.01) * ratings[-1]


class FoldsInForEver(Folding):
    def fold_in(self, items, ratings, targets):
        self._biases.users[:] += 0.1
        return super().fold_in(items, ratings, targets)


class FoldsInAndOverwrites(Folding):
    def fold_in(self, items, ratings, targets):
        scores = super().fold_in(items, ratings, targets)
        ratings[:] = 1
        return scores


class EmbedsTheUnseen(Embeds):
    def embeddings(self, side):
        vectors = super().embeddings(side)
        return None if vectors is None else vectors + 1


class EmbedsInDoubles(Embeds):
    def embeddings(self, side):
        vectors = super().embeddings(side)
        return None if vectors is None else vectors.astype(np.float64)


class EmbedsTheOtherSide(Embeds):
    def embeddings(self, side):
        return super().embeddings("user" if side == "item" else "item")


class ForgetsEmbeddings(Embeds):
    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self._power = 3

    def embeddings(self, side):
        return super().embeddings(side) ** getattr(self, "_power", 1) if side == "item" else None


TIMES = "predicts with and without times, if it uses them"
EPOCHS = "reports its epochs in order, with true validation errors"
EMBEDS = "has vectors of users or items that its stored state gives again, if it has any"
RESUMES = "resumes from a checkpoint to the same bits"
GIVEN = "fits a given number of epochs exactly as validation chose them"
ANY_PAIR = "predicts any pair, also of users and items without training ratings"
BROKEN = [
    ("has a title and a paper, one line each", Plugin("", "p", Config, Mean), "PLUGIN.title is empty"),
    (GIVEN, Plugin("t", "p", Config, ByEpochs, fixed_epochs=True), r"Context.epochs is 1, but epochs \[1, 2, 3\] were"),
    (GIVEN, Plugin("t", "p", Config, ByItsOwnSchedule, fixed_epochs=True), "schedules must follow the config"),
    (TIMES, Plugin("t", "p", Config, OnlyWithTimes, uses_times=True), "has no attribute 'astype'"),
    (
        "gives the same bits for any seed, if it declares that nothing is random",
        Plugin("t", "p", Config, UsesTheSeed, random=False),
        "PLUGIN.random is False, but predictions with two seeds differ by up to",
    ),
    (
        "has a title and a paper, one line each",
        Plugin("t", "p\nq", Config, Mean),
        "PLUGIN.paper has more than one line",
    ),
    *[
        (sentence, Plugin("t", "p", config, Mean), message)
        for sentence, config, message in [
            ("has valid defaults that are the same after JSON", ChangedByJson, "changes when it goes through JSON"),
            ("describes every hyper-parameter and gives it a name that is free", Undescribed, "'x' has no description"),
            (
                "describes every hyper-parameter and gives it a name that is free",
                Taken,
                "'seed' has the name of an option",
            ),
            ("accepts every hyper-parameter as text of the command line", Listed, "--x: should be a valid list"),
            ("accepts every value of its search ranges", OutOfItsRange, "greater than or equal to 1"),
            ("accepts every value of its search ranges", Backwards, "goes from 5 down to 1"),
            ("accepts every value of its search ranges", LogOfZero, "is on a log scale and starts at 0"),
            ("accepts every value of its search ranges", StepsOfLog, "has a step on a log scale"),
            ("accepts every value of its search ranges", Endless, "has no high end and no choices"),
        ]
    ],
    *[
        (sentence, Plugin("t", "p", Config, model), message)
        for sentence, model, message in [
            ("learns planted structure better than the mean", Timid, "is not well below .*, that of the mean"),
            (ANY_PAIR, Doubles, "predict returned float64, expected float32"),
            (ANY_PAIR, NotFinite, "60 of 4800 predictions of predict are not finite"),
            (ANY_PAIR, ColdIsWild, "the prediction of a pair with an unknown user or item is"),
            (ANY_PAIR, Columns, "predict returned shape \\(1, 1\\), expected \\(1,\\)"),
            ("predicts the same in any order of the pairs", Ordered, "in another order differ by up to"),
            (
                "predicts the same for pairs together and in pieces",
                RelativeToOthers,
                "seven at a time, differ",
            ),
            ("does not change its inputs", WritesCodes, "predict changed the codes"),
            ("does not change its inputs", WritesRatings, "fit changed the training ratings, which"),
            (
                "gives the same bits for the same seed, and uses no other randomness",
                UsesGlobalRandomness,
                "with the same seed predict",
            ),
            ("is not changed by the fit of another model", Shared, "after another model was fitted"),
            ("works without validation ratings", NeedsValidation, "zero-size array"),
            ("works on scales with zero, negatives and halves", IgnoresZeros, "is not below .*, that of the mean"),
            (
                "works on a scale of hundreds, or reports that it diverged",
                AssumesSmallScale,
                "is not below .*, that of the mean",
            ),
            ("works with a single training rating", NeedsTwoRatings, "out of bounds"),
            ("has a state of named arrays of numbers", ListsInState, "'mean'] is a list, expected a NumPy array"),
            ("has a state of named arrays of numbers", NoParameters, "parameters is 0, expected the number"),
            (
                "predicts the same bits after its state was stored and restored",
                RestoresWrongly,
                "after restoring, predictions differ by up",
            ),
            (EPOCHS, EpochsFromZero, "epochs are not reported as 1, 2, 3"),
            (EPOCHS, TooManyEpochs, "there are more epochs than"),
            (
                EPOCHS,
                FlatteringValidation,
                "the model reported a validation RMSE of .* in its best epoch 1, but that of its predictions is",
            ),
            (EPOCHS, InventedValidation, "without validation ratings"),
            (EPOCHS, DecreasingSeconds, "Epoch.seconds decreases"),
            (EPOCHS, NaNTraining, "Epoch.train_rmse is nan in epoch 1, expected a finite number"),
            ("reports an honest error if it is fitted to the validation ratings", FlatteringCrossFit, "which is below"),
            ("prints nothing on standard output", Prints, "it printed 'fitting'; use context.note"),
            (RESUMES, NoCheckpoint, "no checkpoint was written"),
            (RESUMES, CatchesInterrupts, "fit caught an exception"),
            (RESUMES, ResumesWrongly, "after resuming, predictions differ by up to 0.00"),
            (EMBEDS, EmbedsTheUnseen, "vectors of items without a training rating are not 0"),
            (EMBEDS, EmbedsInDoubles, "embeddings returned float64, expected float32"),
            (EMBEDS, EmbedsTheOtherSide, r"embeddings returned shape \(60, 2\), expected \(80, k\)"),
            (EMBEDS, ForgetsEmbeddings, "after restoring, the vectors of items are not the same"),
            (RESUMES, ReportsOnlyNewEpochs, "did not report every epoch once"),
            ("folds in any new user, also with items that nobody rated", FoldsInDoubles, "fold_in returned float64"),
            (
                "folds in any new user, also with items that nobody rated",
                FoldsInKnownItemsOnly,
                "1 of 30 predictions of fold",
            ),
            (
                "folds in new users better than the mean",
                FoldsInAConstant,
                "for folded-in users .* is not below .*, that of",
            ),
            (
                "folds in the same in any order of ratings and items",
                FoldsInByOrder,
                "ratings in another order",
            ),
            ("is not changed by folding in a user", FoldsInForEver, "predictions for other users differ by up to 0.1"),
            ("is not changed by folding in a user", FoldsInAndOverwrites, "fold_in changed the arrays"),
        ]
    ],
]


def failed_checks(plugin, folder):
    """Return the checks a plugin fails, with their exceptions."""
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
def test_a_plugin_that_breaks_one_rule_fails_that_check_alone(sentence, plugin, message, tmp_path):
    failed = failed_checks(plugin, tmp_path)
    assert set(failed) == {sentence}
    with pytest.raises(type(failed[sentence]), match=message):
        raise failed[sentence]


@pytest.mark.parametrize("plugin", CORRECT, ids=lambda plugin: plugin.build.__name__)
def test_a_correct_model_passes(plugin, tmp_path):
    assert failed_checks(plugin, tmp_path) == {}


def test_every_check_has_a_plugin_that_fails_it():
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
def test_a_plugin_that_imports_its_library_too_early_fails(name, where, broken, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").write_text(NEEDY.format(where=where))
    monkeypatch.syspath_prepend(tmp_path)
    failed = failed_checks(importlib.import_module(name).PLUGIN, tmp_path)
    assert set(failed) == broken
    if broken:
        assert f"{name} cannot be imported without wave" in str(failed[LISTED])


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        (LISTED, "needs no library"),
        (TIMES, "does not use times"),
        (EPOCHS, "has no epochs"),
        (RESUMES, "has no epochs"),
        ("is not changed by folding in a user", "has no fold_in"),
    ],
)
def test_a_check_that_does_not_apply_says_why(sentence, why, tmp_path):
    assert why in check(CORRECT[0], sentence, tmp_path)
    assert not check(CORRECT[0], ANY_PAIR, tmp_path)


def test_a_model_may_diverge_on_a_scale_of_hundreds_if_it_reports_it(tmp_path):
    class Diverges(Mean):
        def fit(self, train, valid, context):
            if train.scale.high == 1000:
                raise DivergedError("training RMSE became nan", usable=False)
            super().fit(train, valid, context)

    plugin = Plugin("t", "p", Config, Diverges)
    reason = check(plugin, "works on a scale of hundreds, or reports that it diverged", tmp_path)
    assert "training RMSE became nan" in reason


def test_the_options_of_run_are_not_free_as_names():
    from cfbench.cli.run.command import build_command
    from cfbench.testing.declaration import RESERVED

    own = registry.load("bias").config.model_fields
    assert {parameter.name for parameter in build_command("bias").params} - set(own) <= RESERVED
