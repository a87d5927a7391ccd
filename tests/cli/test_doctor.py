"""`cfbench doctor`."""

import json


def test_doctor_shows_versions_devices_and_folders(terminal):
    facts = json.loads(terminal("doctor --json").out)
    assert {"python", "torch", "devices", "data folder", "results folder"} <= set(facts)
    assert facts["data sets here"] == facts["current data set"] == "tiny"


def test_doctor_says_how_to_move_a_folder(terminal):
    out = terminal("doctor").out
    assert "change with CFBENCH_DATA" in out
    assert "change with --results or CFBENCH_RESULTS" in out
