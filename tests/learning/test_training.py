"""The loop: best weights, early stopping, divergence, checkpoints and devices."""

import json

import pytest
import torch
from safetensors import safe_open

from cfbench.contract import Context, DivergedError
from cfbench.errors import DeviceError, RecordError, WriteError
from cfbench.learning import training
from cfbench.learning.precision import BlockedOptimizer, Weight
from cfbench.learning.training import generator, load_arrays, resolve_device, train
from cfbench.ratings import Scale

STARS = Scale(low=1, high=5, step=1)


class Scripted:
    """A learner whose validation errors are given, and whose one weight counts the epochs, with a little randomness."""

    def __init__(self, valid, train_rmse=None):
        self.weight = torch.zeros(3)
        self.noise = torch.zeros(1)
        self._learned = {"weight": Weight(self.weight, "fp32"), "noise": Weight(self.noise, "fp32")}
        self.steps = BlockedOptimizer(([self._learned["weight"]], lambda masters: torch.optim.Adam(masters, lr=1.0)))
        self._valid, self._train = valid, train_rmse or {}
        self._k = 0

    def learned(self):
        return self._learned

    def epoch(self, number):
        with torch.no_grad():
            self.noise += torch.rand(1, generator=generator(0, f"epoch {number}"))
        self.weight.grad = torch.ones(3) * self.noise
        self.steps.step()
        self._k += 1
        return self._train.get(self._k, 1.0)

    def validate(self):
        return self._valid[self._k - 1] if self._valid else None


def run(learner, context=None, *, epochs=None, patience=0, lr=lambda _: 0.1, average=0):
    epochs = epochs or len(learner._valid)
    return train(
        learner, context or Context(), epochs=epochs, patience=patience, learning_rate=lr, scale=STARS, average=average
    )


def weights_after(k):
    learner = Scripted([9.0 - i for i in range(k)])
    run(learner)
    return learner.weight.detach().clone()


def test_the_best_epoch_by_validation_is_kept():
    learner = Scripted([1.0, 0.8, 0.9, 0.95])
    assert run(learner) == 2
    assert torch.equal(learner.weight, weights_after(2))


def test_a_validation_error_of_exactly_0_is_the_best_there_is():
    assert run(Scripted([0.5, 0.0, 0.7])) == 2


def test_patience_counts_epochs_without_a_better_validation():
    told = []
    learner = Scripted([1.0, 0.9, 0.95, 0.92, 0.91, 0.5])
    assert run(learner, Context(report=told.append), patience=3) == 2
    assert [e.epoch for e in told] == [1, 2, 3, 4, 5]


def test_patience_zero_never_stops_early():
    told = []
    run(Scripted([1.0] + [2.0] * 40), Context(report=told.append))
    assert len(told) == 41


def test_without_validation_the_last_epoch_is_kept():
    learner = Scripted(None)
    assert run(learner, epochs=4) == 4
    assert torch.equal(learner.weight, weights_after(4))


def test_the_average_of_the_best_epoch_is_kept_and_training_goes_on_from_the_weights_themselves(monkeypatch):
    own = [weights_after(k) for k in range(1, 6)]
    learner, met = Scripted([1.0, 0.9, 0.8, 0.7, 0.95]), []
    epoch, validate = learner.epoch, learner.validate
    monkeypatch.setattr(learner, "epoch", lambda k: met.append((k, learner.weight.clone())) or epoch(k))
    validated = []
    monkeypatch.setattr(learner, "validate", lambda: validated.append(learner.weight.clone()) or validate())
    assert run(learner, average=3) == 4
    for k, before in met[1:]:
        assert torch.equal(before, own[k - 2])
    third = (own[0] + own[1] + own[2]) / 3
    fourth = third * 2 / 3 + own[3] / 3
    expected = [own[0], (own[0] + own[1]) / 2, third, fourth, fourth * 2 / 3 + own[4] / 3]
    torch.testing.assert_close(torch.stack(validated), torch.stack(expected))
    assert torch.equal(learner.weight, validated[3])


def test_an_average_over_one_epoch_is_the_weights():
    learner = Scripted([1.0, 0.9])
    run(learner, average=1)
    assert torch.equal(learner.weight, weights_after(2))


@pytest.mark.parametrize(
    ("valid", "train_rmse", "message"),
    [
        ([1.0, 0.9, float("nan")], {}, "validation RMSE became nan in epoch 3"),
        ([1.0, 0.9, 0.8], {3: float("nan")}, "training RMSE became nan in epoch 3"),
        ([1.0, 0.9, 0.8], {3: float("inf")}, "training RMSE became inf in epoch 3"),
        ([1.0, 0.9, 0.8], {3: 51.0}, "training RMSE became 51 in epoch 3"),
    ],
)
def test_divergence_ends_training_with_the_last_good_epoch(valid, train_rmse, message):
    learner = Scripted(valid, train_rmse)
    with pytest.raises(DivergedError, match=message) as fault:
        run(learner)
    assert fault.value.usable
    assert torch.equal(learner.weight, weights_after(2))


def test_divergence_in_the_first_epoch_leaves_nothing_usable():
    with pytest.raises(DivergedError) as fault:
        run(Scripted([float("nan")]))
    assert not fault.value.usable


def test_the_learning_rate_is_set_before_each_epoch():
    learner, rates = Scripted([1.0] * 3), []
    context = Context(report=lambda _: rates.append(learner.steps.rate))
    run(learner, context, lr=lambda k: 1 / k)
    assert rates == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize("average", [0, 3])
@pytest.mark.parametrize("killed_at", [1, 3, 5])
def test_a_resumed_training_ends_in_the_same_bits_and_reports_every_epoch(tmp_path, monkeypatch, killed_at, average):
    monkeypatch.setattr(training, "SHARE_OF_TIME", float("inf"))  # a checkpoint after every epoch
    valid = [1.0, 0.9, 0.7, 0.8, 0.85, 0.6]
    whole = Scripted(valid)
    run(whole, average=average)

    def die(epoch):
        if epoch.epoch == killed_at:
            raise MemoryError

    with pytest.raises(MemoryError):
        run(Scripted(valid), Context(checkpoint=tmp_path / "c", report=die), average=average)
    resumed, told = Scripted(valid), []
    resumed._k = killed_at  # the script goes on where it was
    run(resumed, Context(checkpoint=tmp_path / "c", report=told.append), average=average)
    assert [e.epoch for e in told] == [1, 2, 3, 4, 5, 6]
    assert sorted(e.seconds for e in told) == [e.seconds for e in told]
    for name, each in whole.learned().items():
        assert torch.equal(each.master, resumed.learned()[name].master)


def test_ctrl_c_writes_the_last_whole_epoch_even_when_none_was_due(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHARE_OF_TIME", 1e-9)  # only the first epoch's checkpoint is due
    learner = Scripted([1.0, 0.9, 0.8, 0.7])
    epoch = learner.epoch

    def interrupted(number):
        if number == 4:
            raise KeyboardInterrupt
        return epoch(number)

    monkeypatch.setattr(learner, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(learner, Context(checkpoint=tmp_path / "c"))
    with safe_open(tmp_path / "c", "pt") as file:
        assert len(json.loads(file.metadata()["cfbench"])["curve"]) == 3


def test_a_checkpoint_holds_weights_their_average_best_weights_optimizer_and_curve(tmp_path):
    run(Scripted([1.0, 2.0]), Context(checkpoint=tmp_path / "c", seed=5), average=4)
    with safe_open(tmp_path / "c", "pt") as file:
        names, notes = set(file.keys()), json.loads(file.metadata()["cfbench"])
    assert names == {
        "weights/weight", "weights/noise", "average/weight", "average/noise", "best/weight", "best/noise",
        "steps/0/exp_avg", "steps/0/exp_avg_sq", "steps/0/step",
    }  # fmt: skip
    assert notes["seed"] == 5
    assert notes["best_epoch"] == 1


@pytest.mark.parametrize("damage", ["truncated", "other seed", "other model"])
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(tmp_path, damage):
    file = tmp_path / "c"
    run(Scripted([1.0, 0.9]), Context(checkpoint=file, seed=1))
    learner = Scripted([1.0, 0.9])
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-10])
    if damage == "other model":
        learner._learned = {"other": learner._learned["weight"]}
    with pytest.raises(RecordError, match=r"checkpoint .* cannot be gone on from: .*; start the run anew") as fault:
        run(learner, Context(checkpoint=file, seed=2 if damage == "other seed" else 1))
    assert "\n" not in str(fault.value)


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    file = tmp_path / "c"
    run(Scripted([1.0]), Context(checkpoint=file))
    before = file.read_bytes()

    def full(tensors, path, notes):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_file", full)
    learner = Scripted([1.0, 0.9])
    learner._k = 1
    with pytest.raises(WriteError, match="no space left on the disk"):
        run(learner, Context(checkpoint=file))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_generators_differ_by_seed_and_purpose_and_leave_torch_alone():
    state = torch.random.get_rng_state()
    draws = {tuple(torch.rand(2, generator=generator(s, p)).tolist()) for s in (0, 1) for p in ("epoch 1", "epoch 2")}
    assert len(draws) == 4
    assert torch.equal(torch.random.get_rng_state(), state)


def test_auto_takes_the_best_device_there_is(monkeypatch):
    for cuda, mps, expected in ((True, True, "cuda:0"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert resolve_device("auto") == expected


def test_a_device_that_is_not_here_is_named_with_what_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"device 'cuda' asked for, but torch .* finds none here; use --device auto"):
        resolve_device("cuda")
    with pytest.raises(DeviceError, match="no device 'tpu'; there are: auto, cpu, cuda, cuda:N, mps"):
        resolve_device("tpu")
    with pytest.raises(DeviceError, match="no device 'cuda:x'"):
        resolve_device("cuda:x")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == "cuda:1"
    assert resolve_device("cuda") == "cuda:0"
    with pytest.raises(DeviceError, match="device 'cuda:2' asked for, but this machine has 2"):
        resolve_device("cuda:2")


def test_stored_weights_of_another_shape_are_refused():
    with pytest.raises(RecordError, match="names or shapes differ"):
        load_arrays({"a": Weight(torch.zeros(2), "fp32")}, {"a": torch.zeros(3).numpy()})
