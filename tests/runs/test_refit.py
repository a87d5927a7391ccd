"""`--refit`: validation chooses the epoch, then the model learns both parts together for that many epochs."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cfbench.contract import Config, Context, DivergedError, Epoch, Plugin
from cfbench.data import card, store
from cfbench.errors import PluginError, RecordError, UsageError
from cfbench.metrics import rmse
from cfbench.runs import arrays, fitting, registry, run
from cfbench.runs.job import reopen
from cfbench.runs.recommend import rated_in_training
from cfbench.runs.results import Results
from cfbench.runs.run import SilentRunListener
from cfbench.runs.setup import configure, new_request

DEEPAE = {
    "hidden": "16",
    "epochs": "12",
    "batch_size": "0.16",
    "lr": "0.01",
    "schedule": "one-cycle",
    "residuals": "true",
}


@pytest.fixture
def tiny(terminal):
    return store.open_dataset(card.load("tiny"))


def results():
    return Results(Path("results"))


def request(tiny, name, *, flags=None, refit=True, split="random90"):
    setup = configure(name, dataset="tiny", flags=flags or {}, preset=None, device="cpu", refit=refit)
    return new_request(setup, tiny, tiny.split(split), seed=1)


def start(tiny, name, **options):
    return run.start(request(tiny, name, **options), tiny, results(), SilentRunListener())


def parts(tiny):
    split = tiny.split("random90")
    ratings = tiny.ratings.without_times()
    both = ratings.take(np.flatnonzero(split.parts <= 1))  # 0 is training, 1 validation
    return both, split.valid(ratings), split.test(ratings)


@pytest.mark.parametrize(
    ("name", "flags"), [("deepae", DEEPAE), ("als", {"factors": "4", "patience": "2"}), ("bias", {}), ("svd", {})]
)
def test_the_second_fit_is_a_fit_to_both_parts_for_the_epochs_that_validation_chose(tiny, name, flags):
    first, first_folder = start(tiny, name, flags=flags, refit=False)
    stored, folder = start(tiny, name, flags=flags)
    both, _, test = parts(tiny)
    plugin = registry.load(name)
    model = plugin.build(plugin.config.model_validate(stored.request.config))
    model.fit(both, both.take(np.arange(0)), Context(seed=1, epochs=first.outcome.best_epoch))
    expected = tiny.ratings.scale.clip(model.predict(test.pairs))
    assert arrays.read_predictions(folder).tobytes() == expected.tobytes()
    assert stored.outcome.rmse == rmse(expected, test.ratings) != first.outcome.rmse
    # everything about validation is that of the first fit
    for fact in ("valid_rmse", "best_epoch", "epochs"):
        assert getattr(stored.outcome, fact) == getattr(first.outcome, fact)
    assert (
        arrays.read_predictions(folder, "valid").tobytes() == arrays.read_predictions(first_folder, "valid").tobytes()
    )
    assert [row["valid_rmse"] for row in arrays.read_curve(folder)] == [
        row["valid_rmse"] for row in arrays.read_curve(first_folder)
    ]
    second = stored.outcome.refit
    assert (second.epochs, second.ratings) == (first.outcome.best_epoch, len(both))
    assert 0 < second.seconds < stored.outcome.fit_seconds
    assert (stored.request.refit, first.request.refit, first.outcome.refit) == (True, False, None)


def test_the_stored_model_is_that_of_the_second_fit(tiny):
    stored, folder = start(tiny, "deepae", flags=DEEPAE)
    model, _ = reopen(stored, folder, results(), "cpu")
    *_, test = parts(tiny)
    again = tiny.ratings.scale.clip(fitting.predict("deepae", model, test.pairs))
    assert again.tobytes() == arrays.read_predictions(folder).tobytes()


def test_a_recommendation_leaves_out_the_items_of_both_parts(tiny, terminal):
    start(tiny, "als", flags={"factors": "4"})
    split = tiny.split("random90")
    user = int(tiny.ratings.users[split.parts == 1][0])
    learned = rated_in_training(tiny, "random90", user, refit=True)
    assert learned.sum() > rated_in_training(tiny, "random90", user).sum()
    name = tiny.catalogue.users["id"][user]
    out = terminal(f"recommend last --user {name} -n 100 --json").out
    items = set(tiny.catalogue.item_codes([row["item"] for row in json.loads(out)]).tolist())
    assert items == set(np.flatnonzero(~learned).tolist())


class Watched:
    """A model that remembers what it was given, and reports `epochs` epochs, or as many as it is asked for."""

    parameters = 1

    def __init__(self, fits, *, obeys=True, diverges_in=None):
        self._fits, self._obeys, self._diverges_in = fits, obeys, diverges_in

    def fit(self, train, valid, context):
        self._fits.append((train, valid, context))
        if self._diverges_in == len(self._fits):
            raise DivergedError("boom", usable=True)
        epochs = context.epochs if context.epochs and self._obeys else 4
        for k in range(1, epochs + 1):
            context.report(Epoch(k, epochs, 1.0, 1 + abs(k - 3) if len(valid) else None, 0.1 * k))

    def predict(self, pairs):
        return np.full(len(pairs), 3.0, np.float32)

    def state(self):
        return {"three": np.array([3.0])}

    def restore(self, state, train, context):
        pass


@pytest.fixture
def watched(register):
    """Register the plugin `watched`; returns the list of its fits."""

    def add(*, fixed_epochs=True, **behaviour):
        fits = []
        plugin = Plugin("t", "p", Config, lambda _: Watched(fits, **behaviour), fixed_epochs=fixed_epochs)
        register("watched", plugin)
        return fits

    return add


def test_no_fit_sees_a_test_rating_and_the_second_one_has_nothing_to_validate(tiny, watched):
    fits = watched()
    start(tiny, "watched")
    both, valid, test = parts(tiny)
    (train_1, valid_1, context_1), (train_2, valid_2, context_2) = fits
    assert (len(valid_1), len(valid_2), len(train_2)) == (len(valid), 0, len(train_1) + len(valid))
    assert (context_1.epochs, context_2.epochs) == (None, 3)
    assert context_1.checkpoint != context_2.checkpoint
    assert not set(zip(train_2.users, train_2.items, strict=True)) & set(zip(test.users, test.items, strict=True))
    assert (train_2.ratings == both.ratings).all()


def test_a_plugin_with_epochs_that_cannot_fit_a_given_number_is_refused_in_its_first_epoch(tiny, watched):
    fits = watched(fixed_epochs=False)
    with pytest.raises(PluginError, match=r"'watched' learns in epochs, but does not declare fixed_epochs.*--refit$"):
        start(tiny, "watched")
    assert len(fits) == 1
    assert start(tiny, "watched", refit=False)[0].outcome.status == "finished"


def test_a_plugin_that_fits_another_number_of_epochs_is_refused(tiny, watched):
    watched(obeys=False)
    with pytest.raises(PluginError, match=r"'watched' fitted 4 epochs, expected the 3 that Context\.epochs"):
        start(tiny, "watched")


def test_a_second_fit_that_diverges_has_no_score(tiny, watched):
    watched(diverges_in=2)
    stored, _ = start(tiny, "watched")
    assert (stored.outcome.status, stored.outcome.rmse) == ("diverged", None)
    assert stored.outcome.message == "in the fit to training and validation ratings: boom"


def test_splits_without_validation_and_models_fitted_to_it_are_refused_in_one_line(tiny, terminal):
    with pytest.raises(UsageError, match=r"^split 5fold-1 has no validation part.*leave out --refit$"):
        request(tiny, "bias", split="5fold-1")
    start(tiny, "bias", refit=False)
    result = terminal("run ensemble --refit")
    assert result.status != 0
    assert "ensemble is fitted to the validation ratings themselves" in result.err
    Path("s.toml").write_text('datasets = ["tiny"]\nsplits = ["5fold"]\n[[plugins]]\nname = "bias"\nrefit = true\n')
    result = terminal("sweep s.toml")
    assert result.status != 0
    assert "plugin 'bias': refit = true needs validation ratings, and split 5fold of tiny has none" in result.err


def test_a_run_with_refit_is_no_twin_and_no_member_of_a_run_without(tiny, terminal):
    start(tiny, "als", flags={"factors": "4"})
    stored = start(tiny, "bias")[0]
    assert run.finished_run(request(tiny, "bias"), tiny, results()).run == stored.run
    assert run.finished_run(request(tiny, "bias", refit=False), tiny, results()) is None
    with pytest.raises(RecordError, match="no finished run with validation predictions"):
        start(tiny, "ensemble", refit=False)
    with pytest.raises(
        RecordError, match=r"has learned the validation ratings \(--refit\).*must be a run without --refit"
    ):
        start(tiny, "ensemble", refit=False, flags={"members": stored.run})


def test_a_record_that_is_older_than_refit_is_read_as_one_without(tiny):
    _, folder = start(tiny, "bias", refit=False)
    old = json.loads((folder / "record.json").read_text())
    del old["request"]["refit"], old["outcome"]["refit"]
    (folder / "record.json").write_text(json.dumps(old))
    stored, _ = results().find("last")
    assert (stored.request.refit, stored.outcome.refit) == (False, None)


KILL_AFTER = """
import os, signal, sys
from pathlib import Path
from cfbench import cli
from cfbench.cli.progress import RunProgress
from cfbench.data import card
card.SHIPPED_FOLDER = Path("cards").absolute()
reports, shown = [], RunProgress.epoch
def show(self, epoch):
    reports.append(epoch)
    if len(reports) == LIMIT:
        os.kill(os.getpid(), signal.SIGKILL)
    shown(self, epoch)
LIMIT = int(sys.argv.pop(1))
RunProgress.epoch = show
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("reports", [5, 15])
def test_a_run_killed_in_either_fit_is_resumed_to_the_same_bits(tiny, terminal, reports):
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in DEEPAE.items() if name != "residuals")
    command = f"run deepae --residuals {flags} --patience 0 --device cpu --refit --seed 1"
    whole, whole_folder = start(tiny, "deepae", flags=DEEPAE | {"patience": "0"})
    assert whole.outcome.refit.epochs >= 5  # so that 12 + 3 epochs end within the second fit
    killed = subprocess.run(
        [sys.executable, "-c", KILL_AFTER, str(reports), *command.split()], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (name,) = results().unfinished()
    stored, folder = run.resume(name, results(), SilentRunListener())
    assert stored.outcome.refit.epochs == whole.outcome.refit.epochs
    for file in ("predictions.parquet", "valid_predictions.parquet", "model.safetensors"):
        assert (folder / file).read_bytes() == (whole_folder / file).read_bytes()
    assert {path.name for path in folder.iterdir()} == {*stored.files, "record.json"}


def test_the_commands_run_sweep_and_show_know_refit(terminal):
    result = terminal("run als --factors 4 --epochs 5 --refit")
    assert "with a second fit of " in result.out
    Path("s.toml").write_text('datasets = ["tiny"]\n[[plugins]]\nname = "bias"\nrefit = true\n')
    assert "bias refit on tiny" in terminal("sweep s.toml --dry-run").out
    assert terminal("sweep s.toml").status == 0
    page = terminal("show last").out
    assert "training and validation ratings" in page
    assert ", by the first fit" in page
    board = terminal("compare").out
    assert board.count(" refit") == 2  # one for each row
    assert "its validation RMSE is that of the first fit" in " ".join(board.split())


def test_tuning_runs_its_best_config_with_refit(terminal):
    assert terminal("tune bias --trials 2 --refit").status == 2  # needs --then-run
    result = terminal("tune bias --trials 2 --then-run --refit --json")
    assert result.status == 0, result.err
    (stored,) = json.loads(result.out)["runs"]
    assert stored["request"]["refit"]
    assert stored["request"]["tuned"]["trials"] == 2
    shown = terminal("tune bias --trials 2 --then-run --refit")
    assert "--no-preset --refit" in shown.out  # in the command that runs the best config
    assert f"{stored['request']['run']}: " in shown.out  # the run is not made again
