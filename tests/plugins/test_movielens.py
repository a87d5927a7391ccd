"""The scores that cfbench promises on MovieLens. `make torture` runs these; they download the data sets."""

import numpy as np
import pytest

from cfbench.runs import arrays, run
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request

pytestmark = [pytest.mark.slow, pytest.mark.online]


def start(dataset, folder, name, split="random90"):
    """Run a plugin with its preset for the data set; return the record and the folder of the run."""
    setup = configure(name, dataset=dataset.card.name, flags={}, preset=None, device="cpu")
    request = new_request(setup, dataset, dataset.split(split), 0)
    return run.start(request, dataset, Results(folder), run.SilentRunListener())


def test_bias_scores_0_943_on_random_splits_of_ml_100k(ml_100k, tmp_path):
    scores = [start(ml_100k, tmp_path, "bias", f"random90@{seed}")[0].outcome.rmse for seed in range(1, 11)]
    assert np.mean(scores) == pytest.approx(0.943, abs=0.004)
    assert scores[0] == pytest.approx(0.943, abs=0.004)


def test_two_runs_of_deepae_give_the_same_bits(ml_100k, tmp_path):
    first, first_folder = start(ml_100k, tmp_path, "deepae")
    second, second_folder = start(ml_100k, tmp_path, "deepae")
    assert first.outcome.rmse == second.outcome.rmse
    assert arrays.read_predictions(first_folder).tobytes() == arrays.read_predictions(second_folder).tobytes()


@pytest.mark.parametrize(
    ("data", "name", "at_most"),
    [
        ("ml-100k", "deepae", 0.876), ("ml-100k", "als", 0.910), ("ml-100k", "implicit-als", 0.900),
        ("ml-1m", "deepae", 0.830), ("ml-1m", "autorec", 0.836), ("ml-1m", "als", 0.850), ("ml-1m", "svd", 0.855),
        ("ml-1m", "bayes", 0.822), ("ml-1m", "implicit-als", 0.850), ("ml-1m", "knn", 0.860),
    ],
)  # fmt: skip
def test_a_preset_scores_as_promised(data, name, at_most, movielens, tmp_path):
    stored, _ = start(movielens(data), tmp_path, name)
    assert stored.outcome.rmse <= at_most


@pytest.mark.parametrize("fold", ["u1", "u5"])
def test_an_official_fold_of_ml_100k_has_20_000_test_ratings(ml_100k, fold):
    report = ml_100k.split(fold).report
    assert (report["test"], report["train"] + report["valid"]) == (20_000, 80_000)
