"""The JSON Schema of a record: every published record fits it, and a wrong one does not."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from cfbench.runs.record import Record
from cfbench.runs.record_schema import json_schema

ROOT = Path(__file__).parents[2]
RECORDS = sorted(ROOT.glob("results/*/*/*/2*/record.json"))


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_published_records_fit_it(validator):
    for path in RECORDS:
        validator.validate(json.loads(path.read_bytes()))
    assert len(RECORDS) > 50


@pytest.mark.parametrize("path", [("outcome", "status"), ("request", "dataset", "ratings"), ("machine", "cores")])
def test_a_record_with_another_kind_of_value_does_not_fit(validator, path):
    record = json.loads(RECORDS[0].read_bytes())
    *folders, name = path
    place = record
    for folder in folders:
        place = place[folder]
    place[name] = ["neither a number nor a text"]
    with pytest.raises(ValidationError):
        validator.validate(record)


def test_only_the_first_version_of_a_field_is_required():
    schema = json_schema()
    required = {"schema_version", "request", "outcome", "machine", "files"}
    assert set(schema["required"]) < required == set(schema["properties"])
    assert schema["title"] == Record.__name__


def test_fields_are_described_by_their_docstrings():
    definitions = json_schema()["$defs"]
    assert definitions["Request"]["properties"]["origins"]["description"].startswith("Where each value")
    assert definitions["Machine"]["properties"]["accelerator"]["description"].startswith("Name of the GPU")
    assert definitions["Outcome"]["properties"]["rmse"]["description"] == (
        "On the test part, of predictions clipped to the scale."
    )
