"""The warning that a best value lies at an edge of its range, and the command that searches wider."""

import shlex
from typing import Annotated

import pytest
from pydantic import Field

from cfbench.contract import Config, Plugin, Tunable
from cfbench.tuning.edges import find_edges


class EdgyConfig(Config):
    """One hyper-parameter of each kind."""

    plain: Annotated[float, Tunable(0, 10)] = Field(5, ge=-100, description="no bound is near")
    log: Annotated[float, Tunable(0.01, 1, log=True)] = Field(0.1, gt=0, description="on a log scale")
    whole: Annotated[int, Tunable(2, 10)] = Field(5, ge=1, description="an integer")
    bounded: Annotated[float, Tunable(0.5, 0.9)] = Field(0.7, ge=0.5, lt=1, description="the bounds are near")
    choice: Annotated[str, Tunable(choices=("a", "b"))] = Field("a", description="a choice has no edge")


MIDDLE = {"plain": 5.0, "log": 0.1, "whole": 6, "bounded": 0.7, "choice": "b"}


@pytest.mark.parametrize(
    ("name", "value", "side", "wider"),
    [
        ("plain", 0.1, "low", "plain=-5:10"), ("plain", 10, "high", "plain=0:15"), ("plain", 12, "high", "plain=0:15"),
        ("log", 0.0101, "low", "log=0.001:1:log"), ("log", 0.99, "high", "log=0.01:10:log"),
        ("whole", 10, "high", "whole=2:14"), ("whole", 2, "low", "whole=1:10"),
        ("bounded", 0.895, "high", "bounded=0.5:0.98"),
    ],
)  # fmt: skip
def test_an_edge_is_found_with_a_wider_range_that_the_hyper_parameter_allows(name, value, side, wider, edgy_plan):
    plugin, plan = edgy_plan
    (edge,) = find_edges(plugin, plan, MIDDLE | {name: value})
    assert (edge.name, edge.side, edge.wider) == (name, side, wider)


@pytest.mark.parametrize(
    ("name", "value"), [("plain", 0.4), ("log", 0.012), ("whole", 3), ("bounded", 0.5), ("choice", "a")]
)
def test_a_value_inside_or_at_the_hyper_parameters_own_bound_is_no_edge(name, value, edgy_plan):
    plugin, plan = edgy_plan
    assert not find_edges(plugin, plan, MIDDLE | {name: value})


@pytest.fixture
def edgy_plan(make_plan, register):
    plugin = Plugin("edgy", "none", EdgyConfig, lambda config: None)
    register("edgy", plugin)
    return plugin, make_plan("edgy")


def test_tuning_warns_of_an_edge_and_prints_a_command_that_searches_wider(bowl):
    ranges = "--range whole=0:2 --range x=0:4 --fix y=0.01 --fix shape=4,2"
    answer = bowl(f"tune bowl --trials 8 --seed 1 {ranges} --no-preset")
    assert "warning: whole: the best value, 2, is at the high edge of the range 0–2\n" in answer.err
    (command,) = (text for text in answer.err.splitlines() if text.startswith("search wider: "))
    words = shlex.split(command.removeprefix("search wider: cfbench "))
    options = {"--range=whole=0:3", "--range=x=0:4", "--fix=y=0.01", "--fix=shape=4,2", "--no-preset"}
    assert options | {"bowl-tiny-random90-wider"} <= set(words)
    assert bowl(shlex.join(words)).status == 0
