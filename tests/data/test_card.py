"""Cards: the shipped ones are complete and correct, and a malformed one is refused with every error."""

from collections import Counter
from pathlib import Path

import pytest

from cfbench.data import card
from cfbench.data.sources import HttpsSource, PackageSource
from cfbench.data.split_definitions import STANDARD_SPLITS
from cfbench.errors import CardError, UnknownNameError

SHIPPED = Path(card.__file__).parents[1] / "datasets"


def changed(folder, *changes, name="ml-100k"):
    """A copy of the card of ml-100k, with text replaced."""
    text = (SHIPPED / "ml-100k.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", card.names())
def test_every_shipped_card_loads_and_is_complete(name):
    loaded = card.load(name)
    assert loaded.name == name
    assert loaded.terms.strip()
    assert loaded.licence
    for source in loaded.sources:
        assert source.ratings.max_bytes > 0
        if source.ratings.format == "delimited":
            assert {"user", "item", "rating"} <= set(source.ratings.columns)


def test_the_names_are_the_names_of_the_files():
    assert card.names() == sorted(path.stem for path in SHIPPED.glob("*.toml"))
    assert {"ml-100k", "ml-1m"} <= set(card.names())


@pytest.mark.parametrize(
    ("name", "users", "items", "ratings", "https", "package"),
    [
        ("ml-100k", 943, 1682, 100_000, "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
         "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"),
        ("ml-1m", 6040, 3706, 1_000_209, "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
         "0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7"),
    ],
)  # fmt: skip
def test_movielens_has_its_known_counts_and_checksums(name, users, items, ratings, https, package):
    loaded = card.load(name)
    expected = loaded.expected
    assert (expected.users, expected.items, expected.ratings) == (users, items, ratings)
    assert str(loaded.scale) == "1–5 by 1"
    first, second = loaded.sources
    assert isinstance(first, HttpsSource)
    assert isinstance(second, PackageSource)
    assert (first.checksum, second.checksum) == (f"sha256:{https}", f"sha256:{package}")
    assert first.filename == f"{name}.zip"
    assert first.host == "files.grouplens.org"
    assert first.location == f"https://files.grouplens.org/datasets/movielens/{name}.zip"


def test_the_location_of_a_package_names_the_package_index():
    assert card.load("ml-100k").sources[1].location == "the package index (recbole==1.2.1)"


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ml-100k", {"official fold u1": 5, "random 90/10, mean of 5": 4, "5-fold cross-validation": 10}),
        ("ml-1m", {"random 90/10": 12, "5-fold cross-validation": 10}),
    ],
)
def test_every_published_score_has_a_protocol_and_a_source(name, counts):
    published = card.load(name).published
    assert Counter(score.protocol for score in published) == counts
    assert all(score.source for score in published)


@pytest.mark.parametrize(
    ("name", "method", "protocol", "rmse"),
    [
        ("ml-100k", "GC-MC", "official fold u1", 0.91),
        ("ml-100k", "Bayesian FM, ordered probit (myFM)", "official fold u1", 0.8808),
        ("ml-100k", "NNMF 4HL", "random 90/10, mean of 5", 0.903),
        ("ml-100k", "SVD++", "5-fold cross-validation", 0.919),
        ("ml-1m", "I-AutoRec (500)", "random 90/10", 0.831),
        ("ml-1m", "GLocal-K", "random 90/10", 0.8227),
        ("ml-1m", "Random", "5-fold cross-validation", 1.504),
    ],
)
def test_published_scores_equal_those_in_the_papers(name, method, protocol, rmse):
    scores = {(score.method, score.protocol): score.rmse for score in card.load(name).published}
    assert scores[method, protocol] == rmse


@pytest.mark.parametrize("name", card.names())
def test_every_published_protocol_belongs_to_a_split_of_the_card(name):
    loaded = card.load(name)
    protocols = {loaded.split(split_name).protocol for split_name in loaded.split_names}
    protocols.add("prize test set")  # Netflix never published its ratings
    for score in loaded.published:
        assert {score.protocol, score.protocol.partition(",")[0]} & protocols, score


# ── splits ──


def test_the_official_folds_cut_the_file_into_five(tmp_path):
    loaded = card.load("ml-100k")
    assert loaded.split_names == [*STANDARD_SPLITS, "u1", "u2", "u3", "u4", "u5"]
    spans = [(loaded.split(f"u{k}").first, loaded.split(f"u{k}").last) for k in range(1, 6)]
    assert spans == [(20_000 * k, 20_000 * (k + 1)) for k in range(5)]


def test_a_name_with_a_seed_means_the_same_split_with_that_seed():
    loaded = card.load("ml-1m")
    plain, seventh = loaded.split("random90"), loaded.split("random90@7")
    assert (plain.seed, seventh.seed) == (1, 7)
    assert seventh == plain.model_copy(update={"seed": 7})
    assert seventh.protocol == plain.protocol == "random 90/10"
    assert loaded.split("random90@1") == plain
    assert loaded.split("random90@0").seed == 0


def test_a_card_may_redefine_a_standard_split(tmp_path):
    loaded = card.read(changed(tmp_path, ("[splits.u1]", "[splits.random90]")))
    assert loaded.split("random90").kind == "official"
    assert loaded.split_names.count("random90") == 1


@pytest.mark.parametrize("name", ["randm90", "randm90@7", "RANDOM90"])
def test_an_unknown_split_is_refused_with_the_most_similar_name(name):
    with pytest.raises(UnknownNameError) as caught:
        card.load("ml-1m").split(name)
    assert str(caught.value) == f"no split {name!r}; did you mean 'random90'?; data set ml-1m"


def test_an_unknown_split_without_a_similar_name_is_refused_with_all_names():
    with pytest.raises(UnknownNameError) as caught:
        card.load("ml-1m").split("u1")
    known = "5fold-1, 5fold-2, 5fold-3, 5fold-4, 5fold-5, last1, random80, random90, time90"
    assert str(caught.value) == f"no split 'u1'; there are: {known}; data set ml-1m"


@pytest.mark.parametrize("seed", ["", "x", "-1", "1.5", "٣", "9" * 19, "9" * 5000])
def test_a_seed_that_is_not_a_whole_number_is_refused(seed):
    with pytest.raises(UnknownNameError) as caught:
        card.load("ml-1m").split(f"random90@{seed}")
    assert str(caught.value).startswith(f"no split 'random90@{seed}'; ")
    assert str(caught.value).endswith("; data set ml-1m; a seed is a whole number, as in random90@7")


# ── malformed cards ──


@pytest.mark.parametrize("name", ["ml-10k", "ML-100K", "ml-100k.toml"])
def test_an_unknown_data_set_is_refused_with_the_most_similar_name(name):
    with pytest.raises(UnknownNameError) as caught:
        card.load(name)
    assert str(caught.value) == f"no data set {name!r}; did you mean 'ml-100k'?; see `cfbench datasets`"


def test_a_path_is_refused_as_a_name():
    with pytest.raises(UnknownNameError, match=r"no data set '\.\./datasets/ml-100k'"):
        card.load("../datasets/ml-100k")


def test_a_malformed_card_is_refused_with_every_wrong_field_in_one_line(tmp_path):
    path = changed(
        tmp_path,
        ("users = 943", 'users = "many"'), ("low = 1", "low = 9"), ("fold u1", 'fold u1"\nfolds = "5'),
        ("recbole==1.2.1", "recbole>=1.2.1"), ('title = "MovieLens 100K"\n', ""),
    )  # fmt: skip
    with pytest.raises(CardError) as caught:
        card.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert [part.partition(": ")[0] for part in message.removeprefix(f"{path}: ").split("; ")] == [
        "title", "scale", "expected.users", "sources.1.package.package", "splits.u1.official.folds",
    ]  # fmt: skip


U1 = 'kind = "official"\nfirst = 0\nlast = 20000'
WINDOWS = """kind = "time"
train_from = 2005-09-01
train_to = 2005-12-01
test_from = 2005-12-01
test_to = 2005-12-31"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "first = 0\n",
            "first = 20000\n",
            "splits.u1.official: Value error, expected first < last, got 20000 and ",
        ),
        (U1, 'kind = "kfold"\nfold = 6', "splits.u1.kfold: Value error, expected a fold from 1 to 5, got 6"),
        (U1, 'kind = "random"\ntest = 1.0', "splits.u1.random.test: Input should be less than 1"),
        (U1, 'kind = "odd"', "splits.u1: Input tag 'odd' found using 'kind' does not match any of the expected tags"),
        (
            U1,
            WINDOWS,
            "splits.u1.time: Value error, expected a span of training days and then one of test days",
        ),
        ("[splits.u1]", '[splits."u1/a"]', "splits.u1/a.[key]: String should match pattern"),
        ("step = 1", "step = 3", "scale: Value error, expected low < high, step ≥ 0 and a whole number of steps"),
        (
            'separator = "\\t"',
            'separator = ""',
            "sources.0.https.ratings: Value error, a delimited table needs member, separator and columns",
        ),
        ("ratings = 100_000", "rating = 100_000", "expected.rating: Extra inputs"),
        ('kind = "https"', 'kind = "ftp"', "sources.0: Input tag 'ftp' found using 'kind' does not match any of the"),
    ],
)
def test_an_impossible_value_is_refused_when_the_card_is_read(old, new, message, tmp_path):
    path = changed(tmp_path, (old, new))
    with pytest.raises(CardError) as caught:
        card.read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_card_whose_name_differs_from_its_file_is_refused(tmp_path):
    path = changed(tmp_path, name="ml-100")
    with pytest.raises(CardError) as caught:
        card.read(path)
    assert str(caught.value) == f"{path}: name is 'ml-100k', expected the name of the file, 'ml-100'"


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused(content, tmp_path):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(CardError) as caught:
        card.read(path)
    assert str(caught.value).startswith(f"{path} is not TOML: ")
    assert "\n" not in str(caught.value)


def test_a_card_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        card.load("ml-100k").name = "other"
