"""Search spaces: the ranges of a plugin, and those that the command line gives instead."""

import optuna
import pytest

from cfbench.errors import ConfigError
from cfbench.runs import registry
from cfbench.tuning.space import build_space, choice_label, declared_space, parse_assignments


def test_a_start_value_that_is_not_among_the_choices_becomes_one(bowl_plugin):
    space = build_space(bowl_plugin, bowl_plugin.config(), [], [])
    assert space["shape"].range.choices == ((1,), (8,), (4, 2))


def test_a_start_value_among_the_choices_adds_none(bowl_plugin):
    space = build_space(bowl_plugin, bowl_plugin.config(shape=(8,)), [], [])
    assert space["shape"].range.choices == ((8,), (4, 2))


def test_the_ensemble_has_no_ranges_because_a_trial_has_no_members():
    assert declared_space(registry.load("ensemble")) == {}


def test_assignments_may_have_dashes_and_spaces(bowl_plugin):
    assert parse_assignments(bowl_plugin, ["--x=1", "shape = 4,2"], "--fix") == {"x": "1", "shape": "4,2"}


def test_an_assignment_without_a_value_is_an_error(bowl_plugin):
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        parse_assignments(bowl_plugin, ["x="], "--fix")


@pytest.mark.parametrize(
    ("text", "is_integer"),
    [("batch_size=16:64", True), ("batch_size=0.01:0.1", False), ("lr=1:2", False), ("epochs=2:4", True)],
)
def test_a_range_between_integers_draws_integers_where_the_hyper_parameter_can_be_one(text, is_integer):
    plugin = registry.load("deepae")
    name = text.partition("=")[0]
    assert build_space(plugin, plugin.config(), [], [text])[name].integer == is_integer


@pytest.mark.parametrize("name", registry.names())
def test_the_config_of_each_plugin_accepts_all_values_of_its_ranges(name):
    plugin = registry.import_plugin(name)
    space = declared_space(plugin)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        values = {key: dimension.suggest(key, trial) for key, dimension in space.items()}
        config = plugin.config.model_validate(values)
        assert {key: choice_label(getattr(config, key)) for key in values} == trial.params
