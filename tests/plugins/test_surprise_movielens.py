"""The surprise plugins on MovieLens: published scores, and the scores of the presets. `make torture` runs these."""

import numpy as np
import pytest

from cfbench.contract import Context
from cfbench.data.split import make_split
from cfbench.data.split_definitions import KFold
from cfbench.metrics import rmse
from cfbench.runs import arrays, registry, run
from cfbench.runs.job import reopen
from cfbench.runs.results import Results
from cfbench.runs.setup import configure, new_request

pytestmark = [pytest.mark.slow, pytest.mark.online]


NMF = {"factors": 15, "epochs": 50, "user_reg": 0.06, "item_reg": 0.06}
"""surprise's defaults, which are not those of the plugin."""
PUBLISHED = [
    ("svd", {}, "SVD"), ("surprise-svdpp", {}, "SVD++"),
    ("nmf", NMF, "NMF"), ("slopeone", {}, "Slope One"), ("knn", {}, "k-NN"),
    ("knn", {"kind": "centered"}, "Centered k-NN"), ("knn", {"kind": "baseline"}, "k-NN Baseline"),
    ("coclustering", {}, "Co-Clustering"), ("baseline-als", {}, "Baseline"),
]  # fmt: skip


@pytest.mark.parametrize("data", ["ml-100k", "ml-1m"])
@pytest.mark.parametrize(("name", "config", "method"), PUBLISHED, ids=lambda x: x if isinstance(x, str) else "")
def test_the_defaults_of_surprise_reproduce_the_five_fold_scores_that_surprise_publishes(
    name, config, method, data, movielens
):
    if (data, name) == ("ml-1m", "surprise-svdpp"):
        pytest.skip("takes more than ten minutes")
    dataset = movielens(data)
    ratings, plugin, errors = dataset.ratings, registry.load(name), []
    for fold in range(1, 6):
        cut = make_split("fold", KFold(fold=fold, valid=0), ratings)  # surprise trains on all of the other folds
        model, test = plugin.build(plugin.config(**config)), cut.test(ratings)
        model.fit(cut.train(ratings), cut.valid(ratings), Context(seed=fold))
        errors.append(rmse(ratings.scale.clip(model.predict(test.pairs)), test.ratings))
    (published,) = [
        row.rmse for row in dataset.card.published if (row.protocol, row.method) == ("5-fold cross-validation", method)
    ]
    assert np.mean(errors) == pytest.approx(published, abs=0.004)


@pytest.mark.parametrize(
    ("name", "at_most"),
    [("svd", 0.905), ("knn", 0.915), ("nmf", 0.925), ("baseline-als", 0.942), ("mean", 1.14)],
)
def test_a_preset_scores_as_promised_on_ml_100k_and_predicts_the_same_bits_when_reopened(
    name, at_most, ml_100k, tmp_path
):
    setup = configure(name, dataset="ml-100k", flags={}, preset=None)
    request = new_request(setup, ml_100k, ml_100k.split("random90"), 0)
    stored, folder = run.start(request, ml_100k, Results(tmp_path), run.SilentRunListener())
    assert stored.outcome.rmse <= at_most
    model, _ = reopen(stored, folder, Results(tmp_path), "cpu")
    test = ml_100k.split("random90").test(ml_100k.ratings)
    predictions = ml_100k.ratings.scale.clip(model.predict(test.pairs))
    assert predictions.tobytes() == arrays.read_predictions(folder).tobytes()
