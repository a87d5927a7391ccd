"""The cost of a run with the runs that it blends: hand-made records whose numbers are distinct powers of two."""

from datetime import UTC, datetime

import pytest

from cfbench.runs.costs import Cost, Costs
from cfbench.runs.machine import Machine
from cfbench.runs.record import DatasetFacts, Outcome, PluginFacts, Record, Request, SplitFacts
from cfbench.runs.results import Results

UNKNOWN = (None,) * 6


class Store:
    """Stored runs; run number k took 2ᵏ seconds, and its other numbers are multiples of that."""

    def __init__(self, root):
        self.results, self.number = Results(root), 0

    def add(self, name, *members, plugin="bias", config=None, **outcome):
        unit = 2**self.number
        self.number += 1
        facts = {
            "fit_seconds": unit, "fit_cpu_seconds": 2 * unit, "predict_seconds": 3 * unit, "parameters": 5 * unit,
            "peak_memory": 100 + unit,
        } | outcome  # fmt: skip
        request = Request(
            run=name, started=datetime(2026, 1, 1, tzinfo=UTC), members=members, preset=None, config=config or {},
            plugin=PluginFacts(name=plugin, title="t", package="p"), origins={}, seed=0, device="cpu",
            dataset=DatasetFacts(name="d", card_version=1, fingerprint="f", users=1, items=1, ratings=1),
            split=SplitFacts(name="random90", protocol="", definition={}, fingerprint="f", report={}),
        )  # fmt: skip
        machine = Machine(system="s", processor="p", cores=1, threads=None, python="3", libraries={})
        record = Record(request=request, outcome=Outcome(status="finished", **facts), machine=machine)
        return self.results.publish(self.results.create(request), record)[0]

    def cost(self, record):
        return Costs(self.results).of(record)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def numbers(cost):
    """The times, the parameters and the memory."""
    return (
        cost.fit_seconds, cost.fit_cpu_seconds, cost.predict_seconds, cost.parameters, cost.peak_memory,
        cost.peak_device_memory,
    )  # fmt: skip


def test_a_run_without_members_costs_what_its_record_says(store):
    assert store.cost(store.add("a", peak_device_memory=9)) == Cost(1, 2, 3, 5, 101, 9)


def test_an_ensemble_costs_the_sum_of_its_members_and_itself_and_the_largest_memory(store):
    for name in ("a", "b"):
        store.add(name)
    assert store.cost(store.add("c", "a", "b", peak_memory=50)) == Cost(7, 14, 21, 35, 102, None, members=2)


def test_a_member_that_two_ensembles_share_is_counted_once(store):
    for name in ("a", "b", "c"):
        store.add(name)
    store.add("ab", "a", "b")
    store.add("bc", "b", "c")
    cost = store.cost(store.add("all", "ab", "bc", "b"))
    assert (cost.fit_seconds, cost.members) == (2**6 - 1, 5)


def test_members_of_older_records_are_found_in_the_config_of_the_ensemble(store):
    store.add("a")
    older = store.add("b", plugin="ensemble", config={"members": ["a"]})
    assert store.cost(older) == Cost(3, 6, 9, 15, 102, None, members=1)


def test_a_hyper_parameter_that_is_called_members_names_no_runs_in_another_plugin(store):
    store.add("a")
    assert store.cost(store.add("b", config={"members": ["a"]})).members == 0


def test_the_cost_with_a_missing_member_is_unknown_and_the_member_is_named(store):
    store.add("a")
    store.add("inner", "a", "gone")
    cost = store.cost(store.add("outer", "inner"))
    assert numbers(cost) == UNKNOWN
    assert (cost.members, cost.missing) == (3, ("gone",))


def test_a_member_with_an_unreadable_record_is_missing(store):
    member = store.add("a")
    outer = store.add("b", "a")
    (store.results.place(member.request) / "record.json").write_text("{")
    assert store.cost(outer).missing == ("a",)


@pytest.mark.parametrize("name", ["fit_seconds", "fit_cpu_seconds", "predict_seconds", "parameters", "peak_memory"])
def test_a_number_that_one_member_does_not_have_is_unknown_and_the_others_are_not(store, name):
    store.add("a", **{name: None})
    store.add("b")
    cost = store.cost(store.add("c", "a", "b"))
    assert getattr(cost, name) is None
    assert [number is None for number in numbers(cost)[:5]].count(True) == 1


def test_device_memory_is_the_largest_of_the_runs_that_have_any(store):
    store.add("a", peak_device_memory=7)
    store.add("b", peak_device_memory=8)
    assert store.cost(store.add("c", "a", "b")).peak_device_memory == 8


def energy(wh):
    return {"wh": wh, "co2_grams": 1, "parts": {}, "measured": (), "guessed": (), "source": "planted"}


def test_the_energy_of_an_ensemble_is_that_of_all_its_members_or_unknown(store):
    store.add("a", energy=energy(1.0))
    assert store.cost(store.add("b", "a", energy=energy(0.5))).energy_wh == 1.5
    store.add("c")
    assert store.cost(store.add("d", "a", "c", energy=energy(0.5))).energy_wh is None
