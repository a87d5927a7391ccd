"""deepae against the reference implementation's numbers, its own specification, and the meaning of each option."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfbench import metrics
from cfbench.contract import Context, DivergedError, FoldIn
from cfbench.errors import ConfigError
from cfbench.learning import biases, training
from cfbench.learning import precision as precisions
from cfbench.learning.autoencoder import TrainingRows
from cfbench.learning.layers import RatedCells
from cfbench.learning.training import generator
from cfbench.plugins import deepae
from cfbench.plugins.deepae import Autoencoder, DeepAEConfig, activations, has_last_activation
from cfbench.ratings import Pairs, Ratings, Scale
from cfbench.runs import registry
from cfbench.runs.setup import configure
from cfbench.testing import planted

STARS = Scale(low=1, high=5, step=1)
VECTORS = np.load(Path(__file__).parents[1] / "vectors" / "deepae_step_vectors.npz")
CASES = json.loads(str(VECTORS["cases_json"]))


def network(n, config, scale=STARS, rated=None):
    """An untrained network for rows with n columns; `rated` (n, m) says in which rows a column is rated."""
    config = config.model_copy(update={"precision": "fp32"})
    sets = partial(one_batch, table_of(rated)) if rated is not None else None
    return Autoencoder(config, TrainingRows(n, 100, scale, sets), generator(0, "weights"), "cpu")


def outputs(net, dense):
    """(B, n) the outputs for dense rows, computed as for prediction."""
    with torch.inference_mode():
        return net.decode(net.encode(dense))


def one_batch(table, *, sparse=True):
    """All rows of a table as one batch."""
    cells = RatedCells(table.rows("user"), "cpu")
    cells.sparse = sparse
    return next(cells.batches(torch.arange(table.n_users), table.n_users))


def from_reference(name, array):
    """The stored matrix in this plugin's layout: its encoder has (outer, inner), the reference has (inner, outer)."""
    return torch.tensor(array.T if name.startswith("encode_w") else array)


def config_of(case):
    return DeepAEConfig(
        hidden=tuple(case["hidden"]), dropout=case["dropout"], noise=case["noise"], activation=case["activation"],
        refeed=case["refeed"], tied=case["tied"], last_activation="on" if case["last_activation"] else "off",
        lr=case["lr"], momentum=case["momentum"], optimizer="momentum",
    )  # fmt: skip


def table_of(dense):
    """The ratings at the non-zero cells of an array."""
    users, items = np.nonzero(dense)
    return Ratings(users, items, dense[users, items], *dense.shape, scale=STARS)


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['case']}-{c['activation']}-refeed{c['refeed']}")
def test_three_iterations_match_the_reference_to_1e_5(case, sparse):
    config, name = config_of(case), case["case"]
    dense = VECTORS["ratings"]
    net = network(dense.shape[1], config)
    for key, weight in net.weights().items():
        weight.load(from_reference(key, VECTORS[f"{name}/before/{key}"]))
    np.testing.assert_allclose(outputs(net, torch.tensor(dense)), VECTORS[f"{name}/forward"], atol=1e-5)

    batch, random = one_batch(table_of(dense), sparse=sparse), generator(0, "epoch")
    losses = [[float(x) for x in net.train_losses(batch, random)] for _ in range(3)]

    np.testing.assert_allclose(losses, VECTORS[f"{name}/losses"], rtol=1e-5, atol=1e-5)
    after = {key for key in VECTORS.files if key.startswith(f"{name}/after/")}
    assert after == {f"{name}/after/{key}" for key in net.weights()}
    for key, weight in net.weights().items():
        np.testing.assert_allclose(
            weight.master.detach(), from_reference(key, VECTORS[f"{name}/after/{key}"]), atol=1e-5
        )


OPTIONS = st.fixed_dictionaries({
    "hidden": st.sampled_from([(7,), (8, 5), (8, 6, 5)]),
    "tied": st.booleans(),
    "last_activation": st.sampled_from(["auto", "on", "off"]),
    "dropout": st.sampled_from([0.0, 0.5]),
    "input_dropout": st.sampled_from([0.0, 0.4]),
    "visible_weight": st.sampled_from([0.0, 0.3, 1.0]),
    "noise": st.sampled_from([0.0, 0.3]),
    "residuals": st.booleans(),
    "standardize": st.booleans(),
    "implicit_factors": st.sampled_from([0, 3]),
})  # fmt: skip


def plain_layers(net):
    """Copies of the network's weights as plain leaf tensors by name, and the pairs of `deepae.forward` made of them."""
    plain = {name: weight.master.detach().clone().requires_grad_() for name, weight in net.weights().items()}
    depth = len(net.encoder)
    encoder = [(plain[f"encode_w/{k}"], plain[f"encode_b/{k}"]) for k in range(depth)]
    if "decode_w/0" in plain:
        matrices = [plain[f"decode_w/{k}"] for k in range(depth)]
    else:
        matrices = [w for w, _ in encoder[::-1]]
    return plain, encoder, [(w, plain[f"decode_b/{k}"]) for k, w in enumerate(matrices)]


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("refeed", [0, 1, 2])
@pytest.mark.parametrize("activation", deepae.activations())
@given(options=OPTIONS)
@settings(max_examples=12, derandomize=True)
def test_losses_and_gradients_are_those_of_the_specification(activation, refeed, sparse, options):
    options["standardize"] &= not options["tied"]
    config = DeepAEConfig(activation=activation, refeed=refeed, lr=0.01, momentum=0.0, **options)
    table = table_of(VECTORS["ratings"])
    if config.residuals:
        table = replace(table, ratings=table.ratings - np.float32(3))  # a residual may be 0
    sets = VECTORS["ratings"].T / 10
    net, batch = network(table.n_items, config, rated=sets), one_batch(table, sparse=sparse)
    for layer in (*net.encoder, *net.decoder):
        layer.bias.load(0.1 * torch.randn(layer.bias.master.shape, generator=generator(2, "biases")))
    plain, encoder, decoder = plain_layers(net)
    function, random = activations()[activation].function, generator(1, "epoch")
    f = partial(
        deepae.forward, encoder=encoder, decoder=decoder, activation=function,
        last_activation=function if has_last_activation(config, STARS) else deepae.identity,
        dropout=partial(deepae.drop, rate=config.dropout, random=random),
        implicit=(torch.tensor(sets), plain["implicit/0"], plain["implicit/1"]) if config.implicit_factors else None,
    )  # fmt: skip
    optimizer = torch.optim.SGD(plain.values(), config.lr)
    rated = batch.dense(torch.ones_like(batch.ratings)).bool()

    expected_losses = deepae.losses(f, batch.dense(batch.ratings), rated, config, random)
    for loss, expected in zip(net.losses(batch, generator(1, "epoch")), expected_losses, strict=True):
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
        loss.backward()
        expected.backward()
        for name, weight in net.weights().items():
            torch.testing.assert_close(weight.gradient, plain[name].grad, rtol=1e-3, atol=1e-4, msg=name)
        net.optimizer.step()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("implicit_factors", [0, 3])
def test_predictions_are_those_of_the_specification(implicit_factors):
    dense, sets = torch.tensor(VECTORS["ratings"]), VECTORS["ratings"].T / 10
    net = network(dense.shape[1], DeepAEConfig(hidden=(8, 5), implicit_factors=implicit_factors), rated=sets)
    plain, encoder, decoder = plain_layers(net)
    function = activations()["selu"].function
    implicit = (torch.tensor(sets), plain["implicit/0"], plain["implicit/1"]) if implicit_factors else None
    expected = deepae.forward(dense, encoder, decoder, function, function, deepae.identity, implicit).detach()
    torch.testing.assert_close(outputs(net, dense), expected)
    rows, columns = (codes.flatten() for codes in torch.meshgrid(*map(torch.arange, dense.shape), indexing="ij"))
    with torch.inference_mode():
        at_cells = net.cell_outputs()(one_batch(table_of(VECTORS["ratings"])), rows, columns)
    torch.testing.assert_close(at_cells, expected.flatten())


@pytest.mark.parametrize("orientation", ["user", "item"])
def test_the_set_of_a_column_has_length_1_and_holds_the_training_rows_in_which_it_is_rated(orientation):
    train = planted(seed=3).train.take(np.arange(300))
    model = deepae.PLUGIN.build(DeepAEConfig(hidden=(4,), orientation=orientation, implicit_factors=2))
    model.prepare(train, Context())
    sets = model._network.implicit.sets
    dense = np.zeros((train.n_users, train.n_items), np.float32)
    dense[train.users, train.items] = 1
    dense = dense if orientation == "item" else dense.T
    expected = dense / np.sqrt(np.maximum(dense.sum(1, keepdims=True), 1))
    np.testing.assert_allclose(sets.dense(sets.ratings), expected, rtol=1e-6)


def test_implicit_factors_learn_from_the_items_that_a_user_rated():
    """Users of two kinds rate items of their own kind mostly, and like these; a user's few ratings are noisy."""
    rng = np.random.default_rng(0)
    user_kinds, item_kinds = rng.integers(2, size=600), rng.integers(2, size=60)
    same = user_kinds[:, None] == item_kinds
    codes = np.nonzero(rng.random(same.shape) < np.where(same, 0.2, 0.05))
    ratings = 3 + np.where(same, 0.7, -0.7)[codes] + rng.normal(size=len(codes[0]))
    table = Ratings(*codes, ratings, 600, 60, Scale(low=-2, high=8))
    part = rng.integers(5, size=len(table))
    train, test = table.take(part > 0), table.take(part == 0)
    errors = {}
    for implicit_factors in (0, 4):
        config = DeepAEConfig(
            hidden=(16,), orientation="item", dropout=0, refeed=0, residuals=True, optimizer="adam", lr=0.01,
            milestones=(), weight_decay=0.02, epochs=30, batch_size=8, implicit_factors=implicit_factors,
        )  # fmt: skip
        model = deepae.PLUGIN.build(config)
        model.fit(train, test.take(np.arange(0)), Context())
        errors[implicit_factors] = error(model.predict(test.pairs), test)
    assert errors[4] < 0.97 * errors[0]


def test_the_input_of_standardized_residuals_needs_weights_of_its_own():
    with pytest.raises(ConfigError, match=r"standardize.*tied"):
        configure("deepae", dataset="mine", split="random90", flags={"tied": True}, preset="general")


def test_every_activation_of_the_config_has_a_function():
    assert set(get_args(DeepAEConfig.model_fields["activation"].annotation)) == set(activations())


def test_the_vectors_cover_every_activation_every_refeed_and_tied_weights():
    assert len(CASES) == 19
    assert {c["activation"] for c in CASES} == set(activations()) - {"none"}
    assert {c["refeed"] for c in CASES} == {0, 1, 2}
    assert {c["tied"] for c in CASES} == {False, True}


@pytest.mark.parametrize(
    ("layers", "parameters"),
    [(2, 4_566_504), (4, 4_599_528), (6, 4_632_552), (8, 4_665_576), (10, 4_698_600), (12, 4_731_624)],
)
def test_parameter_counts_are_those_of_the_depth_table(layers, parameters):
    net = network(17_768, DeepAEConfig(hidden=(128,) * (layers // 2)))
    assert sum(weight.master.numel() for weight in net.weights().values()) == parameters


def test_tied_matrices_are_counted_once_and_every_layer_has_its_own_biases():
    net = network(50, DeepAEConfig(hidden=(8, 4), tied=True))
    assert sum(weight.master.numel() for weight in net.weights().values()) == 50 * 8 + 8 * 4 + (8 + 4) + (8 + 50)


@pytest.mark.parametrize(
    ("activation", "scale", "bounded"),
    [
        ("sigmoid", STARS, False), ("tanh", STARS, False), ("selu", STARS, True), ("relu6", STARS, True),
        ("selu", Scale(low=-10, high=10), False), ("relu", Scale(low=-10, high=10), False),
        ("relu6", Scale(low=0, high=10), False), ("lrelu", Scale(low=-10, high=10), True),
    ],
)  # fmt: skip
def test_the_last_layer_is_linear_when_the_activation_cannot_reach_the_scale(activation, scale, bounded):
    config = DeepAEConfig(hidden=(4,), activation=activation, dropout=0)
    out = outputs(network(6, config, scale), torch.full((1, 6), 3.0))
    forced = network(6, config.model_copy(update={"last_activation": "on" if bounded else "off"}), scale)
    assert torch.equal(out, outputs(forced, torch.full((1, 6), 3.0)))


def test_weights_begin_xavier_uniform_and_biases_zero():
    net = network(400, DeepAEConfig(hidden=(100,)))
    bound = (6 / 500) ** 0.5
    for layer in (*net.encoder, *net.decoder):
        assert layer.weights.master.abs().max() <= bound
        assert layer.weights.master.detach().std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
        assert not layer.bias.master.any()


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        ("xavier-uniform", lambda inputs, outputs: 2 / (inputs + outputs)),
        ("xavier-normal", lambda inputs, outputs: 2 / (inputs + outputs)),
        ("kaiming-normal", lambda inputs, outputs: 2 / inputs),
        ("lecun-normal", lambda inputs, outputs: 1 / inputs),
    ],
)
def test_the_first_weights_have_the_variance_of_their_distribution(init, variance):
    net = network(500, DeepAEConfig(hidden=(100, 300), init=init))
    sizes = [(500, 100), (100, 300), (300, 100), (100, 500)]
    for (inputs, outputs), layer in zip(sizes, (*net.encoder, *net.decoder), strict=True):
        w = layer.weights.master.detach()
        assert w.var().item() == pytest.approx(variance(inputs, outputs), rel=0.04)
        kurtosis = ((w - w.mean()) ** 4).mean() / w.var() ** 2
        assert kurtosis.item() == pytest.approx(1.8 if init == "xavier-uniform" else 3, rel=0.05)


def test_lecun_normal_keeps_the_variance_of_selu_through_many_layers():
    net = network(256, DeepAEConfig(hidden=(256,) * 8, init="lecun-normal", dropout=0))
    code = net.encode(torch.randn(500, 256, generator=generator(1, "input")))
    assert code.var().item() == pytest.approx(1, rel=0.25)


def test_dropout_changes_the_code_only_in_training_and_keeps_its_mean():
    x = torch.ones(2000, 50)
    dropped = deepae.drop(x, 0.8, generator(0, "drop"))
    assert set(dropped.unique().tolist()) == {0.0, 5.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    net = network(20, DeepAEConfig(hidden=(8,), dropout=0.8))
    assert torch.equal(net.encode(x[:, :20]), net.encode(x[:, :20]))
    assert not torch.equal(net.encode(x[:, :20]), net.encode(x[:, :20], generator(0, "drop")))


def test_the_noised_output_is_both_input_and_target_of_re_feeding():
    config = DeepAEConfig(hidden=(8,), dropout=0, noise=0.5, refeed=1, lr=1e-9)
    table = table_of(VECTORS["ratings"])
    net = network(table.n_items, config)
    y = outputs(net, torch.tensor(VECTORS["ratings"]))
    noised = deepae.drop(y, 0.5, generator(1, "epoch"))
    mask = noised != 0
    expected = ((outputs(net, noised) - noised)[mask] ** 2).mean().item()
    losses = net.train_losses(one_batch(table), generator(1, "epoch"))
    assert losses[1].item() == pytest.approx(expected, rel=1e-4)


def test_a_rating_of_zero_is_learned_as_a_rating():
    rng = np.random.default_rng(0)
    users, items = (x.ravel() for x in np.indices((40, 30)))
    ratings = np.where(items % 2, 0.0, 4.0)
    rated = rng.random(len(users)) < 0.6
    table = Ratings(users[rated], items[rated], ratings[rated], 40, 30, Scale(low=0, high=4, step=1))
    config = DeepAEConfig(hidden=(8,), dropout=0, activation="none", epochs=150, batch_size=8, lr=0.005, milestones=())
    model = deepae.PLUGIN.build(config)
    model.fit(table, table.take(np.arange(0)), Context())
    odd = np.arange(1, 30, 2, dtype=np.int32)
    assert np.abs(model.predict(Pairs(np.zeros_like(odd), odd))).max() < 0.5


@pytest.mark.parametrize("orientation", ["user", "item"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "adamw", "adagrad", "rmsprop"])
def test_every_optimizer_learns_in_both_orientations(optimizer, orientation):
    data = planted(seed=3)
    lr = {"momentum": 0.02, "adagrad": 0.1, "rmsprop": 0.002}.get(optimizer, 0.01)
    config = DeepAEConfig(
        hidden=(16,), dropout=0, refeed=0, optimizer=optimizer, orientation=orientation, lr=lr, epochs=60,
        batch_size=16, milestones=(), patience=0,
    )  # fmt: skip
    curve = []
    deepae.PLUGIN.build(config).fit(data.train, data.valid, Context(report=curve.append))
    assert min(e.valid_rmse for e in curve) < 0.8 * data.valid.ratings.std()


@pytest.mark.parametrize("batch_size", [7, 10_000])
def test_the_last_partial_batch_is_trained_on_and_a_batch_may_exceed_the_rows(batch_size, monkeypatch):
    data, batches = planted(seed=1), []
    train_batch = Autoencoder.train_batch

    def recorded(net, batch, random):
        batches.append(batch)
        return train_batch(net, batch, random)

    monkeypatch.setattr(Autoencoder, "train_batch", recorded)
    empty = data.valid.take(np.arange(0))
    deepae.PLUGIN.build(DeepAEConfig(hidden=(4,), epochs=1, batch_size=batch_size)).fit(data.train, empty, Context())
    assert sum(len(batch) for batch in batches) == data.train.seen_users.sum()
    ratings = np.concatenate([batch.ratings.numpy() for batch in batches])
    np.testing.assert_array_equal(np.sort(ratings), np.sort(data.train.ratings))


@pytest.mark.parametrize("name", ["deepae", "autorec"])
def test_a_learning_rate_that_diverges_is_lowered_until_the_model_learns(name):
    data, notes = planted(seed=2), []
    flags = {"deepae": {"dropout": 0.3, "milestones": (), "lr": 0.5}, "autorec": {"lr": 30}}[name]
    plugin = registry.load(name)
    quick = {"hidden": (16,), "batch_size": 16, "epochs": 20} | flags
    with pytest.raises(DivergedError):
        plugin.build(plugin.config(**quick, on_divergence="stop")).fit(data.train, data.valid, Context())
    model = plugin.build(plugin.config(**quick))
    model.fit(data.train, data.valid, Context(note=notes.append))
    assert all("half the learning rate" in note for note in notes)
    assert 1 <= len(notes) <= 3
    if name == "deepae":  # Adam's steps are still far too large for autorec to learn anything
        assert error(model.predict(data.valid.pairs), data.valid) < 0.9 * data.valid.ratings.std()


def test_weight_decay_shrinks_the_weights():
    data = planted(seed=2)
    norms = []
    for decay in (0.0, 0.1):
        model = deepae.PLUGIN.build(DeepAEConfig(hidden=(8,), epochs=5, batch_size=16, weight_decay=decay, dropout=0))
        model.fit(data.train, data.valid, Context())
        norms.append(sum(np.square(w).sum() for w in model.state().values()))
    assert norms[1] < norms[0]


def test_weight_decay_spares_the_biases_when_decay_biases_is_off():
    data = planted(seed=2)
    sizes = {}
    for decay_biases in (False, True):
        config = DeepAEConfig(
            hidden=(8,), epochs=20, batch_size=16, optimizer="adam", lr=0.1, weight_decay=1.0, dropout=0, refeed=0,
            decay_biases=decay_biases,
        )  # fmt: skip
        model = deepae.PLUGIN.build(config)
        model.fit(data.train, data.valid, Context())
        sizes[decay_biases] = {name: float(np.abs(array).mean()) for name, array in model.state().items()}
    # the decay makes the matrices vanish, so that the output bias alone has to predict
    assert sizes[False]["decode_b/0"] > 5 * sizes[True]["decode_b/0"]


def test_milestones_multiply_the_learning_rate_after_their_epoch():
    data = planted(seed=2)
    config = DeepAEConfig(hidden=(4,), epochs=6, milestones=(2, 4), gamma=0.1, lr=0.01, patience=0)
    model = deepae.PLUGIN.build(config)
    rates = []
    model.fit(data.train, data.valid, Context(report=lambda _: rates.append(model.optimizer.learning_rate)))
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])


@pytest.mark.parametrize("precision", [pytest.param("fp32", marks=pytest.mark.slow), "bf16"])
def test_averaged_weights_predict_better_where_steps_are_too_large_to_settle(precision):
    data, best = planted(seed=2, noise=0.5), {}
    for average in (0, 10):
        curve = []
        config = DeepAEConfig(
            hidden=(16,), dropout=0.3, epochs=40, batch_size=4, optimizer="adam", lr=0.02, milestones=(), patience=0,
            average=average, precision=precision,
        )  # fmt: skip
        model = deepae.PLUGIN.build(config)
        model.fit(data.train, data.valid, Context(report=curve.append))
        best[average] = min(e.valid_rmse for e in curve)
        predictions = data.valid.scale.clip(model.predict(data.valid.pairs))
        assert metrics.rmse(predictions, data.valid.ratings) == pytest.approx(best[average])
    assert best[10] < best[0]


def test_re_feeding_brings_the_output_closer_to_a_fixed_point():
    data = planted(seed=5)
    gaps = []
    for refeed in (0, 2):
        config = DeepAEConfig(hidden=(16, 8), dropout=0, refeed=refeed, epochs=40, batch_size=16, lr=0.02, patience=0)
        model = deepae.PLUGIN.build(config)
        model.fit(data.train, data.valid, Context(seed=1))
        net = network(data.train.n_items, config)
        for name, weight in net.weights().items():
            weight.load(torch.tensor(model.state()[name]))
        batch = one_batch(data.train)
        y = outputs(net, batch.dense(batch.ratings))
        gaps.append((outputs(net, y) - y).square().mean().item())
    assert gaps[1] < 0.5 * gaps[0]


def test_predictions_do_not_depend_on_how_they_are_batched():
    data = planted(seed=4)
    model = deepae.PLUGIN.build(DeepAEConfig(hidden=(8,), epochs=3))
    model.fit(data.train, data.valid, Context())
    together = model.predict(data.test.pairs)
    alone = [model.predict(Pairs(data.test.users[k : k + 1], data.test.items[k : k + 1]))[0] for k in range(50)]
    np.testing.assert_allclose(together[:50], alone, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_learns_what_the_cpu_learns():
    data = planted(seed=6)
    config = DeepAEConfig(hidden=(16,), dropout=0.2, epochs=30, batch_size=16, lr=0.02, patience=0)
    errors = []
    for device in ("cpu", "cuda:0"):
        curve = []
        deepae.PLUGIN.build(config).fit(data.train, data.valid, Context(device=device, report=curve.append))
        errors.append(min(e.valid_rmse for e in curve))
    assert errors[0] == pytest.approx(errors[1], abs=0.02)


def small_training():
    data = planted(seed=8)
    return data, DeepAEConfig(hidden=(16, 8), dropout=0.2, refeed=1, epochs=6, batch_size=16, lr=0.02, patience=0)


def test_bfloat16_products_learn_what_float32_learns():
    data, config = small_training()
    best = {}
    for precision in ("fp32", "bf16"):
        curve = []
        long = config.model_copy(update={"precision": precision, "epochs": 40})
        deepae.PLUGIN.build(long).fit(data.train, data.valid, Context(report=curve.append))
        best[precision] = min(e.valid_rmse for e in curve)
    assert best["bf16"] != best["fp32"]
    assert best["bf16"] == pytest.approx(best["fp32"], abs=0.02)


@pytest.mark.parametrize("average", [0, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_training_resumes_to_the_same_bits(precision, average, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHARE_OF_TIME", float("inf"))
    data, config = small_training()
    config = config.model_copy(update={"precision": precision, "average": average})
    whole = deepae.PLUGIN.build(config)
    whole.fit(data.train, data.valid, Context())

    def die(epoch):
        if epoch.epoch == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        deepae.PLUGIN.build(config).fit(data.train, data.valid, Context(checkpoint=tmp_path / "c", report=die))
    resumed = deepae.PLUGIN.build(config)
    resumed.fit(data.train, data.valid, Context(checkpoint=tmp_path / "c"))
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, resumed.state()[name])


def test_the_config_names_the_precision_that_was_used(monkeypatch):
    monkeypatch.setattr(precisions, "processor_has_bf16", lambda: True)
    assert DeepAEConfig().for_device("cpu").precision == "bf16"
    assert DeepAEConfig(precision="fp32").for_device("cpu").precision == "fp32"


def test_a_folded_in_user_gets_the_predictions_of_a_training_user_with_the_same_ratings():
    data = planted(seed=8)
    model = deepae.PLUGIN.build(DeepAEConfig(hidden=(16,), epochs=10, batch_size=16, lr=0.02))
    model.fit(data.train, data.valid, Context())
    own = data.train.take(data.train.users == 3)
    targets = np.arange(data.train.n_items, dtype=np.int32)
    rated = data.train.seen_items
    order = np.random.default_rng(0).permutation(len(own))
    folded = model.fold_in(own.items[order], own.ratings[order], targets)
    expected = model.predict(Pairs(np.full_like(targets, 3), targets))
    np.testing.assert_allclose(folded[rated], expected[rated], atol=1e-5)


def test_only_a_model_of_user_rows_folds_in_users():
    assert isinstance(deepae.PLUGIN.build(DeepAEConfig(orientation="user")), FoldIn)
    assert not isinstance(deepae.PLUGIN.build(DeepAEConfig(orientation="item")), FoldIn)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("tied", [False, True])
def test_compiling_changes_speed_only(tied):
    data, config = small_training()
    config = config.model_copy(update={"tied": tied})
    curves = []
    for compiled in (False, True):
        curve = []
        model = deepae.PLUGIN.build(config.model_copy(update={"compile": compiled, "precision": "fp32"}))
        model.fit(data.train, data.valid, Context(report=curve.append))
        curves.append([e.valid_rmse for e in curve])
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)


def test_input_dropout_hides_ratings_from_the_input_but_not_from_the_loss():
    table = table_of(VECTORS["ratings"])
    config = DeepAEConfig(hidden=(8,), dropout=0, refeed=0, input_dropout=0.5, lr=1e-9)
    net, batch = network(table.n_items, config), one_batch(table)
    visible = deepae.drop(batch.ratings, 0.5, generator(1, "epoch"))
    y = outputs(net, batch.dense(visible))
    expected = ((y[batch.rows, batch.columns] - batch.ratings) ** 2).mean().item()
    assert net.train_losses(batch, generator(1, "epoch"))[0].item() == pytest.approx(expected, rel=1e-4)


def test_the_loss_of_hidden_ratings_alone_does_not_depend_on_those_that_the_input_shows():
    table = table_of(VECTORS["ratings"])
    config = DeepAEConfig(hidden=(8,), dropout=0, refeed=0, input_dropout=0.5, visible_weight=0, lr=1e-9)
    net, batch = network(table.n_items, config), one_batch(table)
    scales = deepae.dropout_scales(batch.ratings, 0.5, generator(1, "epoch"))
    y = outputs(net, batch.dense(batch.ratings * scales))
    squares = (y[batch.rows, batch.columns] - batch.ratings) ** 2
    loss = net.train_losses(batch, generator(1, "epoch"))[0].item()
    assert loss == pytest.approx(squares[scales == 0].mean().item(), rel=1e-4)


@pytest.mark.parametrize("orientation", ["user", "item"])
def test_a_network_of_residuals_whose_weights_are_zero_predicts_the_biases(orientation):
    data = planted(seed=9)
    config = DeepAEConfig(hidden=(8,), residuals=True, orientation=orientation, epochs=1, activation="none", lr=1e-9)
    model = deepae.PLUGIN.build(config)
    model.fit(data.train, data.valid, Context())
    for weight in model.weights().values():
        weight.load(torch.zeros_like(weight.master))
    expected = biases.fit(data.train).predict(data.test.pairs)
    np.testing.assert_allclose(model.predict(data.test.pairs), expected, atol=1e-5)


@pytest.mark.parametrize("orientation", ["user", "item"])
def test_the_network_is_trained_on_the_residuals_of_the_training_ratings(orientation, monkeypatch):
    data, batches = planted(seed=9), []

    def recorded(net, batch, random):
        batches.append(batch)
        return torch.zeros(())

    monkeypatch.setattr(Autoencoder, "train_batch", recorded)
    config = DeepAEConfig(hidden=(8,), residuals=True, orientation=orientation, epochs=1)
    deepae.PLUGIN.build(config).fit(data.train, data.valid, Context())
    residuals = data.train.ratings - biases.fit(data.train).predict(data.train.pairs)
    trained_on = np.concatenate([batch.ratings.numpy() for batch in batches])
    np.testing.assert_allclose(np.sort(trained_on), np.sort(residuals), atol=1e-4)


def test_the_last_layer_is_linear_for_residuals_because_relu_cannot_be_negative():
    assert not has_last_activation(DeepAEConfig(residuals=True, activation="relu"), STARS)
    assert has_last_activation(DeepAEConfig(activation="relu"), STARS)


def test_one_cycle_rises_to_its_peak_and_falls_almost_to_zero():
    config = DeepAEConfig(schedule="one-cycle", epochs=100, lr=0.01)
    rates = [deepae.learning_rate(config, epoch) for epoch in range(1, 101)]
    assert rates[29] == max(rates) == pytest.approx(0.01)
    assert rates[:30] == sorted(rates[:30])
    assert rates[29:] == sorted(rates[29:], reverse=True)
    assert rates[0] < 0.001
    assert 0 <= rates[-1] < 1e-5


GENERAL = registry.presets("deepae")["general"]


def general(**values):
    return deepae.PLUGIN.build(DeepAEConfig(**(GENERAL | values)))


def shaped_like_filmtrust(seed):
    """Sparse ratings from 0.5 to 4 with biases, tastes and noise; some users and items have many, most have few."""
    rng = np.random.default_rng(seed)
    popularity, users = rng.lognormal(0, 1, 800), rng.lognormal(0, 1, 900)
    rated = rng.random((900, 800)) < 0.02 * np.outer(users / users.mean(), popularity / popularity.mean())
    taste = rng.normal(size=(900, 2)) @ rng.normal(size=(2, 800)) / 2**0.5
    truth = 3 + 0.35 * (rng.normal(size=(900, 1)) + rng.normal(size=(1, 800)) + 1.3 * taste)
    noisy = truth + 0.4 * rng.normal(size=truth.shape)
    codes = np.nonzero(rated)
    scale = Scale(low=0.5, high=4, step=0.5)
    table = Ratings(*codes, scale.clip(np.rint(2 * noisy[codes]) / 2), 900, 800, scale)
    part = rng.integers(10, size=len(table))
    return table.take(part > 1), table.take(part == 0), table.take(part == 1)


def error(scores, ratings):
    return metrics.rmse(ratings.scale.clip(scores), ratings.ratings)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ["item", "user"])
def test_the_general_preset_beats_biases_on_sparse_ratings_by_more_than_2_percent(orientation):
    train, valid, test = shaped_like_filmtrust(seed=1)
    model = general(orientation=orientation)
    model.fit(train, valid, Context())
    assert error(model.predict(test.pairs), test) < 0.98 * error(biases.fit(train).predict(test.pairs), test)


@pytest.mark.parametrize("orientation", [pytest.param("item", marks=pytest.mark.slow), "user"])
def test_on_another_scale_the_general_preset_predicts_the_same_ratings_on_that_scale(orientation):
    data = planted(seed=3)

    def rescaled(part):
        return replace(part, ratings=20 * part.ratings - 19, scale=Scale(low=1, high=81))

    predictions = []
    for train, valid in ((data.train, data.valid), (rescaled(data.train), rescaled(data.valid))):
        model = general(orientation=orientation, epochs=10)
        model.fit(train, valid, Context())
        predictions.append(model.predict(data.test.pairs))
        if orientation == "user":
            items, targets = np.arange(10, dtype=np.int32), np.arange(10, 30, dtype=np.int32)
            predictions[-1] = np.append(predictions[-1], model.fold_in(items, train.ratings[:10], targets))
    np.testing.assert_allclose(predictions[1], 20 * predictions[0] - 19, atol=0.005)
    assert np.std(predictions[1]) > 5


def test_the_general_preset_predicts_what_biases_explain_exactly():
    data = planted(seed=3)
    constant = replace(data.train, ratings=np.full(len(data.train), 3.0))
    model = general(epochs=2)
    model.fit(constant, data.valid.take(np.arange(0)), Context())
    np.testing.assert_allclose(model.predict(data.test.pairs), 3, atol=1e-5)


def test_the_size_of_the_data_decides_weight_decay_and_batch_size_and_both_are_noted():
    data, notes = planted(seed=3, n_users=200), []
    model = general(orientation="user", epochs=1)
    model.fit(data.train, data.valid, Context(note=notes.append))
    users = np.count_nonzero(data.train.seen_users)
    size, decay = -(-users // 64), GENERAL["relative_decay"] / len(data.train) ** 0.5
    assert notes == [f"{size} rows per batch, weight decay {decay:.2g}"]


def test_a_batch_size_of_the_command_line_replaces_that_of_the_preset():
    setup = configure("deepae", dataset="something-else", split="random90", flags={"batch_size": "7"}, preset=None)
    model, data, notes = setup.plugin.build(setup.config), planted(seed=3), []
    model.prepare(data.train, Context(note=notes.append))
    assert (setup.preset, model.batch_size) == ("general", 7)


@pytest.mark.parametrize(
    ("dataset", "split", "preset"),
    [
        ("netflix", "3m", "paper-3m"), ("netflix", "6m", "paper-6m"), ("netflix", "1y", "paper-1y"),
        ("netflix", "full", "paper-full"), ("netflix", "probe", "paper-full"), ("ml-100k", "random90", "ml-100k"),
        ("ml-1m", "5fold@1", "ml-1m"), ("something-else", "random90", "general"),
    ],
)  # fmt: skip
def test_a_data_set_without_a_preset_of_its_own_has_the_general_one_and_netflix_the_papers(dataset, split, preset):
    assert configure("deepae", dataset=dataset, split=split, flags={}, preset=None).preset == preset


@pytest.mark.parametrize(
    ("preset", "hidden", "dropout"),
    [
        ("paper-3m", (128, 256, 256), 0.65), ("paper-6m", (256, 256, 512), 0.8), ("paper-1y", (256, 256, 512), 0.8),
        ("paper-full", (512, 512, 1024), 0.8),
    ],
)  # fmt: skip
def test_the_papers_presets_are_the_paper(preset, hidden, dropout):
    config = DeepAEConfig(**registry.presets("deepae")[preset])
    assert (config.hidden, config.dropout, config.activation, config.refeed) == (hidden, dropout, "selu", 1)
    assert (config.optimizer, config.lr, config.momentum, config.batch_size) == ("momentum", 0.005, 0.9, 128)
    assert (config.orientation, config.standardize, config.residuals) == ("user", False, False)
    assert config.milestones == (24, 36, 48, 66, 72)
