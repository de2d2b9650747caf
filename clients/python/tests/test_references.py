from __future__ import annotations

import json
from typing import Any

import pytest
from installation import ROOT

from splitvault import ConfigurationError, Reference
from splitvault.references import canonical, field_of

VECTORS = ROOT / "tests/references"
GRAMMAR = json.loads((VECTORS / "grammar.json").read_text())
PATHS = json.loads((VECTORS / "paths.json").read_text())


def test_vectors_are_there() -> None:
    assert len(GRAMMAR["positive"]) > 10
    assert len(GRAMMAR["negative"]) > 30
    assert len(PATHS["keys"]) > 5


@pytest.mark.parametrize("vector", GRAMMAR["positive"], ids=lambda vector: vector["text"][:40])
def test_reference_is_read_and_written_as_the_same_text(vector: dict[str, Any]) -> None:
    reference = Reference.parse(vector["text"])
    told = {name: value for name, value in reference._asdict().items() if value is not None}
    assert told == {name: value for name, value in vector.items() if name != "text"}
    assert str(reference) == vector["text"]


@pytest.mark.parametrize("vector", GRAMMAR["negative"], ids=lambda vector: vector["why"])
def test_text_out_of_form_is_refused_and_not_repeated(vector: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Reference.parse(vector["text"])
    assert len(vector["text"]) < 12 or vector["text"][5:] not in str(refused.value)


@pytest.mark.parametrize("vector", PATHS["keys"], ids=lambda vector: vector["path"])
def test_dotted_path_means_the_one_with_slashes(vector: dict[str, str]) -> None:
    assert canonical(vector["path"]) == vector["key"]


def test_field_is_read_by_its_name_and_errors_hold_no_value() -> None:
    value = '{"a": "b", "port": 5432, "on": true, "e": -1.50, "none": null, "deep": {"x": 1}}'
    assert [field_of(value, name) for name in ("a", "port", "on", "e")] == ["b", "5432", "true", "-1.50"]
    for document, name in [
        (value, "none"),
        (value, "deep"),
        (value, "missing"),
        ('{"a": "s3cret", "a": "t"}', "a"),
        ("s3cret", "a"),
        ("[1]", "0"),
    ]:
        with pytest.raises(ConfigurationError) as refused:
            field_of(document, name)
        assert refused.value.__context__ is None
        assert "s3cret" not in str(refused.value)
