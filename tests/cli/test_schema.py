"""`cfbench schema record` prints what the program publishes."""

import json

from cfbench.runs.record_schema import json_schema


def test_it_prints_the_schema_of_a_record(empty_terminal):
    result = empty_terminal("schema record")
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out) == json_schema()


def test_a_schema_that_is_not_there_is_an_error_that_names_those_that_are(empty_terminal):
    result = empty_terminal("schema board")
    assert result.status == 2
    assert "record" in result.err
