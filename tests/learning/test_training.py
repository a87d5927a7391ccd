"""The training loop: best weights, early stopping, divergence, checkpoints and devices."""

import json

import pytest
import torch
from safetensors import safe_open

from cfbench import memory
from cfbench.contract import Context, DivergedError
from cfbench.errors import ConfigError, DeviceError, RecordError, WriteError
from cfbench.learning import training
from cfbench.learning.precision import BlockedOptimizer, Weight
from cfbench.learning.training import Schedule, generator, load_arrays, resolve_device, train
from cfbench.ratings import Scale

STARS = Scale(low=1, high=5, step=1)


class ScriptedModel:
    """A model with given errors per epoch, whose weight changes in every epoch by steps of random size."""

    def __init__(self, valid, train_rmse=None):
        self.weight = torch.zeros(3)
        self.noise = torch.zeros(1)
        self.named_weights = {"weight": Weight(self.weight, "fp32"), "noise": Weight(self.noise, "fp32")}
        self.optimizer = BlockedOptimizer(
            ([self.named_weights["weight"]], lambda masters: torch.optim.Adam(masters, lr=1.0))
        )
        self.valid, self.train_rmse = valid, train_rmse or {}
        self.last_epoch = 0

    def weights(self):
        return self.named_weights

    def epoch(self, number):
        with torch.no_grad():
            self.noise += torch.rand(1, generator=generator(0, f"epoch {number}"))
        self.weight.grad = torch.ones(3) * self.noise
        self.optimizer.step()
        self.last_epoch = number
        return self.train_rmse.get(number, 1.0)

    def validate(self):
        return self.valid[self.last_epoch - 1] if self.valid else None


def run(model, context=None, *, epochs=None, patience=0, lr=lambda _: 0.1, average=0, backoffs=0):
    epochs = epochs or len(model.valid)
    schedule = Schedule(epochs, patience, lr, average=average, backoffs=backoffs)
    return train(model, context or Context(), schedule, scale=STARS)


def weights_after(k):
    model = ScriptedModel([9.0 - i for i in range(k)])
    run(model)
    return model.weight.detach().clone()


def test_the_best_epoch_by_validation_is_kept():
    model = ScriptedModel([1.0, 0.8, 0.9, 0.95])
    assert run(model) == 2
    assert torch.equal(model.weight, weights_after(2))


def test_a_validation_error_of_exactly_0_is_the_best_possible():
    assert run(ScriptedModel([0.5, 0.0, 0.7])) == 2


def test_weights_whose_training_cannot_be_in_memory_are_refused_before_the_first_epoch(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    run(ScriptedModel([1.0]))  # 4 weights: 2 copies of the best ones, a gradient and a state, of 4 bytes each
    model = ScriptedModel([1.0])
    message = "^training 4 weights needs about .* available here; use smaller layers or fewer factors$"
    with pytest.raises(ConfigError, match=message):
        run(model, Context(checkpoint=tmp_path / "checkpoint"))  # and 2 checkpoints of weights, best ones and states
    assert model.last_epoch == 0


def test_patience_counts_epochs_without_a_better_validation():
    reports = []
    model = ScriptedModel([1.0, 0.9, 0.95, 0.92, 0.91, 0.5])
    assert run(model, Context(report=reports.append), patience=3) == 2
    assert [e.epoch for e in reports] == [1, 2, 3, 4, 5]


def test_patience_zero_never_stops_early():
    reports = []
    run(ScriptedModel([1.0] + [2.0] * 40), Context(report=reports.append))
    assert len(reports) == 41


def test_without_validation_the_last_epoch_is_kept():
    model = ScriptedModel(None)
    assert run(model, epochs=4) == 4
    assert torch.equal(model.weight, weights_after(4))


def test_the_average_of_the_best_epoch_is_kept_and_training_continues_from_the_weights_themselves(monkeypatch):
    own = [weights_after(k) for k in range(1, 6)]
    model, before_epoch, validated = ScriptedModel([1.0, 0.9, 0.8, 0.7, 0.95]), [], []
    epoch, validate = model.epoch, model.validate

    def recorded_epoch(k):
        before_epoch.append(model.weight.clone())
        return epoch(k)

    def recorded_validate():
        validated.append(model.weight.clone())
        return validate()

    monkeypatch.setattr(model, "epoch", recorded_epoch)
    monkeypatch.setattr(model, "validate", recorded_validate)
    assert run(model, average=3) == 4
    assert torch.equal(torch.stack(before_epoch[1:]), torch.stack(own[:4]))
    third = (own[0] + own[1] + own[2]) / 3
    fourth = third * 2 / 3 + own[3] / 3
    expected = [own[0], (own[0] + own[1]) / 2, third, fourth, fourth * 2 / 3 + own[4] / 3]
    torch.testing.assert_close(torch.stack(validated), torch.stack(expected))
    assert torch.equal(model.weight, validated[3])


def test_an_average_over_one_epoch_is_the_weights_of_that_epoch():
    model = ScriptedModel([1.0, 0.9])
    run(model, average=1)
    assert torch.equal(model.weight, weights_after(2))


@pytest.mark.parametrize(
    ("valid", "train_rmse", "message"),
    [
        ([1.0, 0.9, float("nan")], {}, "validation RMSE became nan in epoch 3"),
        ([1.0, 0.9, 0.8], {3: float("nan")}, "training RMSE became nan in epoch 3"),
        ([1.0, 0.9, 0.8], {3: float("inf")}, "training RMSE became inf in epoch 3"),
        ([1.0, 0.9, 0.8], {3: 51.0}, "training RMSE became 51 in epoch 3"),
    ],
)
def test_divergence_stops_training_and_restores_the_best_epoch(valid, train_rmse, message):
    model = ScriptedModel(valid, train_rmse)
    with pytest.raises(DivergedError, match=message) as fault:
        run(model)
    assert fault.value.usable
    assert torch.equal(model.weight, weights_after(2))


def test_divergence_in_the_first_epoch_leaves_nothing_usable():
    with pytest.raises(DivergedError) as fault:
        run(ScriptedModel([float("nan")]))
    assert not fault.value.usable


class UnstableModel(ScriptedModel):
    """A model that diverges from an epoch on while the learning rate is above a limit."""

    def __init__(self, valid, *, start=1, limit=0.03):
        super().__init__(valid)
        self.start, self.limit, self.rates = start, limit, []

    def epoch(self, number):
        rmse = super().epoch(number)
        self.rates.append((number, self.optimizer.learning_rate))
        return float("nan") if number >= self.start and self.optimizer.learning_rate > self.limit else rmse


def test_training_goes_back_to_the_best_epoch_and_halves_the_learning_rate_when_it_diverges():
    model, notes, reports = UnstableModel([1.0, 0.9, 0.95, 0.8], start=4, limit=0.06), [], []
    assert run(model, Context(note=notes.append, report=reports.append), backoffs=3) == 4
    assert model.rates == [(1, 0.1), (2, 0.1), (3, 0.1), (4, 0.1), (4, 0.05)]
    assert notes == ["training RMSE became nan in epoch 4; training went back to epoch 2 with half the learning rate"]
    assert [epoch.epoch for epoch in reports] == [1, 2, 3, 4]
    # the only step after epoch 2 is a first step of Adam, of the size of the learning rate
    torch.testing.assert_close(model.weight.detach(), weights_after(2) - 0.05)


def test_training_goes_back_to_the_first_weights_when_the_best_epoch_was_not_good_enough():
    model, notes = UnstableModel([1.0, 0.9, 0.95, 0.8], start=4), []
    assert run(model, Context(note=notes.append), backoffs=3) == 4
    assert [note.partition("; ")[2] for note in notes] == [
        "training went back to epoch 2 with half the learning rate",
        "training went back to the first weights with half the learning rate",
    ]
    torch.testing.assert_close(model.weight.detach(), torch.full((3,), -0.025))


def test_training_that_diverges_in_the_first_epoch_starts_again_from_the_first_weights():
    model, notes = UnstableModel([1.0]), []
    assert run(model, Context(note=notes.append), backoffs=2) == 1
    torch.testing.assert_close(model.weight.detach(), torch.full((3,), -0.025))
    assert notes[0].endswith("training went back to the first weights with half the learning rate")


def test_training_that_diverges_too_often_stops():
    model = UnstableModel([1.0, 0.9], start=2, limit=0.001)
    with pytest.raises(DivergedError, match="in epoch 2"):
        run(model, backoffs=3)
    assert [rate for _, rate in model.rates] == [0.1, 0.1, 0.05, 0.025, 0.0125]
    assert torch.equal(model.weight, weights_after(1))


@pytest.mark.parametrize("average", [0, 3])
def test_a_training_that_went_back_is_resumed_with_the_same_bits_and_notes(tmp_path, monkeypatch, average):
    monkeypatch.setattr(training, "SHARE_OF_TIME", float("inf"))  # a checkpoint after every epoch
    valid, whole_notes, notes = [1.0, 0.9, 0.8, 0.85, 0.7], [], []
    whole, resumed = UnstableModel(valid, start=3), UnstableModel(valid, start=3)
    run(whole, Context(note=whole_notes.append), average=average, backoffs=3)

    def die(epoch):
        if epoch.epoch == 4:
            raise MemoryError

    with pytest.raises(MemoryError):
        run(
            UnstableModel(valid, start=3), Context(checkpoint=tmp_path / "c", report=die), average=average, backoffs=3
        )  # fmt: skip
    run(resumed, Context(checkpoint=tmp_path / "c", note=notes.append), average=average, backoffs=3)
    assert torch.equal(whole.weight, resumed.weight)
    assert notes == whole_notes
    assert len(notes) == 2


def test_the_learning_rate_is_set_before_each_epoch():
    model, rates = ScriptedModel([1.0] * 3), []
    context = Context(report=lambda _: rates.append(model.optimizer.learning_rate))
    run(model, context, lr=lambda k: 1 / k)
    assert rates == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize("average", [0, 3])
@pytest.mark.parametrize("interrupted_after", [1, 3, 5])
def test_a_resumed_training_ends_in_the_same_bits_and_reports_every_epoch(
    tmp_path, monkeypatch, interrupted_after, average
):
    monkeypatch.setattr(training, "SHARE_OF_TIME", float("inf"))  # a checkpoint after every epoch
    valid = [1.0, 0.9, 0.7, 0.8, 0.85, 0.6]
    whole = ScriptedModel(valid)
    run(whole, average=average)

    def die(epoch):
        if epoch.epoch == interrupted_after:
            raise MemoryError

    with pytest.raises(MemoryError):
        run(ScriptedModel(valid), Context(checkpoint=tmp_path / "c", report=die), average=average)
    resumed, reports = ScriptedModel(valid), []
    run(resumed, Context(checkpoint=tmp_path / "c", report=reports.append), average=average)
    assert [e.epoch for e in reports] == [1, 2, 3, 4, 5, 6]
    assert sorted(e.seconds for e in reports) == [e.seconds for e in reports]
    for name, weight in whole.weights().items():
        assert torch.equal(weight.master, resumed.weights()[name].master)


def test_ctrl_c_writes_the_last_finished_epoch_even_if_no_checkpoint_is_due(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHARE_OF_TIME", 1e-9)  # only the checkpoint of the first epoch is due
    model = ScriptedModel([1.0, 0.9, 0.8, 0.7])
    epoch = model.epoch

    def interrupted(number):
        if number == 4:
            raise KeyboardInterrupt
        return epoch(number)

    monkeypatch.setattr(model, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(model, Context(checkpoint=tmp_path / "c"))
    with safe_open(tmp_path / "c", "pt") as file:
        assert len(json.loads(file.metadata()["cfbench"])["curve"]) == 3


def test_a_checkpoint_has_weights_their_average_best_weights_optimizer_and_curve(tmp_path):
    run(ScriptedModel([1.0, 2.0]), Context(checkpoint=tmp_path / "c", seed=5), average=4)
    with safe_open(tmp_path / "c", "pt") as file:
        names, numbers = set(file.keys()), json.loads(file.metadata()["cfbench"])
    assert names == {
        "weights/weight", "weights/noise", "average/weight", "average/noise", "best/weight", "best/noise",
        "steps/0/exp_avg", "steps/0/exp_avg_sq", "steps/0/step",
    }  # fmt: skip
    assert numbers["seed"] == 5
    assert numbers["best_epoch"] == 1


@pytest.mark.parametrize("damage", ["truncated", "other seed", "other model"])
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(tmp_path, damage):
    file = tmp_path / "c"
    run(ScriptedModel([1.0, 0.9]), Context(checkpoint=file, seed=1))
    model = ScriptedModel([1.0, 0.9])
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-10])
    if damage == "other model":
        model.named_weights = {"other": model.named_weights["weight"]}
    with pytest.raises(
        RecordError, match=r"checkpoint .* cannot be resumed: .*; restore the file, or remove it"
    ) as fault:
        run(model, Context(checkpoint=file, seed=2 if damage == "other seed" else 1))
    assert "\n" not in str(fault.value)


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    file = tmp_path / "c"
    run(ScriptedModel([1.0]), Context(checkpoint=file))
    before = file.read_bytes()

    def write_half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_file", write_half)
    model = ScriptedModel([1.0, 0.9])
    with pytest.raises(WriteError, match="no space left on the disk"):
        run(model, Context(checkpoint=file))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_generators_differ_by_seed_and_purpose_and_do_not_use_the_global_one():
    state = torch.random.get_rng_state()
    draws = {tuple(torch.rand(2, generator=generator(s, p)).tolist()) for s in (0, 1) for p in ("epoch 1", "epoch 2")}
    assert len(draws) == 4
    assert torch.equal(torch.random.get_rng_state(), state)


def test_auto_is_the_best_available_device(monkeypatch):
    for cuda, mps, expected in ((True, True, "cuda:0"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert resolve_device("auto") == expected


def test_a_device_that_is_not_available_is_refused_with_the_choices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"device 'cuda' is not available: torch .* finds none; use --device auto"):
        resolve_device("cuda")
    with pytest.raises(DeviceError, match="unknown device 'tpu'; expected auto, cpu, cuda, cuda:N or mps"):
        resolve_device("tpu")
    with pytest.raises(DeviceError, match="unknown device 'cuda:x'"):
        resolve_device("cuda:x")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == "cuda:1"
    assert resolve_device("cuda") == "cuda:0"
    with pytest.raises(DeviceError, match="device 'cuda:2' is not available: this machine has 2"):
        resolve_device("cuda:2")


def test_a_model_without_an_optimizer_is_trained_and_resumed(tmp_path):
    class ClosedForm(ScriptedModel):
        def epoch(self, number):
            self.weight[:] = number
            self.last_epoch = number
            return 1.0

    def closed_form(valid):
        model = ClosedForm(valid)
        model.optimizer = None
        model.weight = model.named_weights["weight"].master.detach()
        return model

    context = Context(checkpoint=tmp_path / "c")
    run(closed_form([1.0, 0.9]), context)
    resumed = closed_form([1.0, 0.9, 0.8])
    assert run(resumed, context) == 3
    assert resumed.weight.tolist() == [3, 3, 3]


def test_stored_weights_of_another_shape_are_refused():
    with pytest.raises(RecordError, match="names or shapes differ"):
        load_arrays({"a": Weight(torch.zeros(2), "fp32")}, {"a": torch.zeros(3).numpy()})
