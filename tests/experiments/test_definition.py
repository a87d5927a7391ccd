"""Experiments are files: a wrong one is refused with every wrong field, and the shipped ones can be carried out."""

import pytest

from cfbench.errors import UnknownNameError, UsageError
from cfbench.experiments import definition
from cfbench.experiments.grid import plan_grid
from cfbench.experiments.parameters import count_parameters

SMALL = """
name = "small"
title = "Small"
setup = "Two regularizations of the biases."
[[claims]]
text = "More is better."
kind = "order"
measure = "test"
order = [["more"], ["less"]]
[[arms]]
label = "more"
plugin = "bias"
overrides = { user_reg = 20 }
[[arms]]
label = "less"
plugin = "bias"
overrides = { user_reg = 1 }
[scales.ml-100k]
seeds = 2
"""


@pytest.fixture
def write(tmp_path):
    """Write the file of an experiment, and return its path."""

    def write_file(text):
        path = tmp_path / "small.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_every_wrong_field_of_a_file_is_named(write):
    text = SMALL.replace('kind = "order"\n', 'kind = "better"\n').replace("seeds = 2", "seeds = 0\nepoch = 3")
    path = write(text)
    with pytest.raises(UsageError) as error:
        definition.load(str(path))
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    assert [line.split(": ")[1] for line in lines] == ["claims.0", "scales.ml-100k.seeds", "scales.ml-100k.epoch"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["less"]]', '["none"]]', "a claim names the arm 'none'; there are: more, less"),
        ('label = "less"', 'label = "more"', "two arms have the label 'more'"),
        (
            "[scales.ml-100k]",
            "[common.svd]\nlr = 1\n[scales.ml-100k]",
            "overrides of the plugin 'svd', which no arm has",
        ),
        ("name =", "name", "is not TOML"),
        ("name =", f"name = {'[' * 9999}", "is not TOML"),
    ],
)
def test_names_that_do_not_fit_are_refused(write, old, new, message):
    with pytest.raises(UsageError, match=message):
        definition.read_experiment(write(SMALL.replace(old, new, 1)))


def test_an_unknown_experiment_is_answered_with_a_similar_one(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'depth'"):
        definition.load("dept")
    with pytest.raises(UsageError, match="cannot read"):
        definition.load(str(tmp_path / "none.toml"))


def test_a_data_set_without_a_grid_is_refused(write):
    with pytest.raises(UsageError, match="small is not made for data set netflix; it has grids for: ml-100k"):
        definition.read_experiment(write(SMALL)).scale("netflix")


def test_a_wrong_hyper_parameter_is_named_with_its_arm(write):
    experiment = definition.read_experiment(write(SMALL.replace("user_reg = 1 ", "user_rag = 1 ")))
    with pytest.raises(UsageError, match="experiment small, arm 'less': plugin 'bias': no hyper-parameter 'user_rag'"):
        plan_grid(experiment, "ml-100k")


def test_seed_0_of_all_arms_comes_before_seed_1(write):
    grid = plan_grid(definition.read_experiment(write(SMALL)), "ml-100k", seeds=3)
    assert [(run.planned.seed, run.arm.label) for run in grid.runs] == [
        (seed, label) for seed in range(3) for label in ("more", "less")
    ]


def test_overrides_of_an_arm_come_last_and_factors_after_them():
    grid = plan_grid(definition.load("refeed-lr"), "ml-100k", seeds=1)
    configs = {run.arm.label: run.planned.setup.config for run in grid.runs}
    base, doubled = configs["lr .005"], configs["lr .005, twice the steps"]
    assert (base.lr, base.batch_size, base.hidden) == (0.005, 16, (128, 256, 256))
    assert doubled.epochs == 2 * base.epochs
    assert doubled.milestones == tuple(2 * milestone for milestone in base.milestones)
    same = {"epochs", "milestones"}
    assert doubled.model_dump(exclude=same) == base.model_dump(exclude=same)


@pytest.mark.parametrize("name", definition.names())
def test_a_shipped_experiment_can_be_planned_on_each_of_its_data_sets(name):
    experiment = definition.load(name)
    for dataset in experiment.scales:
        grid = plan_grid(experiment, "ml-latest-small" if dataset == definition.ANY else dataset)
        assert {arm.label for split in grid.splits for arm in grid.arms(split)} == {a.label for a in experiment.arms}
        for run in grid.runs:
            config = run.planned.setup.config
            if run.arm.plugin == "deepae":  # a curve must be whole, and divergence must be seen
                assert (config.patience, config.on_divergence, config.precision) == (0, "stop", "fp32")


def test_the_networks_of_the_depth_table_have_the_published_numbers_of_parameters():
    grid = plan_grid(definition.load("depth"), "ml-100k", seeds=1)
    counts = [count_parameters(run.planned.setup, 17_768) for run in grid.runs]
    assert counts == [4_566_504, 4_599_528, 4_632_552, 4_665_576, 4_698_600, 4_731_624]


def test_parameters_are_counted_of_autoencoders_only(write):
    grid = plan_grid(definition.read_experiment(write(SMALL)), "ml-100k", seeds=1)
    with pytest.raises(UsageError, match="bias is none"):
        count_parameters(grid.runs[0].planned.setup, 10)
