"""Real ratings: the scores cfbench promises on MovieLens. `make torture` runs these; they fetch the data sets."""

import numpy as np
import pytest

from cfbench.runs import arrays, run
from cfbench.runs.results import Results

pytestmark = [pytest.mark.slow, pytest.mark.online]


def score(dataset, folder, name, split="random90"):
    setup = run.configure(name, dataset=dataset.card.name, flags={}, preset=None, device="cpu")
    asked = run.new_request(setup, dataset, dataset.split(split), 0)
    return run.start(asked, dataset, Results(folder), run.SilentRunListener())


def test_bias_scores_about_0_943_on_random_90_10(ml_100k, tmp_path):
    scores = [score(ml_100k, tmp_path, "bias", f"random90@{seed}")[0].outcome.rmse for seed in range(1, 11)]
    assert np.mean(scores) == pytest.approx(0.943, abs=0.004)
    assert scores[0] == pytest.approx(0.943, abs=0.004)


def test_a_run_of_deepae_twice_is_the_same_to_the_bit(ml_100k, tmp_path):
    (first, place), (second, again) = (score(ml_100k, tmp_path, "deepae") for _ in range(2))
    assert first.outcome.rmse == second.outcome.rmse
    assert arrays.read_predictions(place).tobytes() == arrays.read_predictions(again).tobytes()


@pytest.mark.parametrize(
    ("data", "name", "at_most"),
    [
        ("ml-100k", "deepae", 0.876), ("ml-100k", "als", 0.910), ("ml-100k", "implicit-als", 0.900),
        ("ml-1m", "deepae", 0.830), ("ml-1m", "autorec", 0.836), ("ml-1m", "als", 0.850), ("ml-1m", "svd", 0.855),
        ("ml-1m", "bayes", 0.822), ("ml-1m", "implicit-als", 0.850), ("ml-1m", "knn", 0.860),
    ],
)  # fmt: skip
def test_a_shipped_preset_scores_as_promised(data, name, at_most, movielens, tmp_path):
    done, _ = score(movielens(data), tmp_path, name)
    assert done.outcome.rmse <= at_most


@pytest.mark.parametrize("fold", ["u1", "u5"])
def test_official_folds_hold_20_000_test_ratings(ml_100k, fold):
    report = ml_100k.split(fold).report
    assert (report["test"], report["train"] + report["valid"]) == (20_000, 80_000)
