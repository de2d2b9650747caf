from __future__ import annotations

import pickle
import re

import pytest
from installation import ROOT

import splitvault
from splitvault import errors
from splitvault._table import TABLE


def test_table_is_that_of_the_documents() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\S+) \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) > 50
    assert {code: (int(status), retry, advice) for code, status, retry, advice in rows} == {
        code: tuple(row) for code, row in TABLE.items()
    }


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("credential_invalid", splitvault.UnauthorizedError),
        ("token_invalid", splitvault.UnauthorizedError),
        ("not_permitted", splitvault.ForbiddenError),
        ("secret_not_found", splitvault.NotFoundError),
        ("environment_frozen", splitvault.ConflictError),
        ("body_invalid", splitvault.InvalidRequestError),
        ("value_too_large", splitvault.InvalidRequestError),
        ("rate_limited", splitvault.RateLimitError),
        ("unavailable", splitvault.UnavailableError),
        ("internal", splitvault.UnavailableError),
    ],
)
def test_code_has_its_type(code: str, kind: type[splitvault.SplitvaultError]) -> None:
    row = TABLE[code]
    error = errors.refused(row.status, {"code": code, "detail": "the detail", "request_id": "req_1"}, 3.0)
    assert type(error) is kind
    assert (error.code, error.status, error.retry, error.retry_after) == (code, row.status, row.retry, 3.0)
    assert (error.request_id, error.detail) == ("req_1", "the detail")


def test_code_of_a_later_service_is_judged_by_its_status() -> None:
    error = errors.refused(409, {"code": "quite_new"}, None)
    assert type(error) is splitvault.ConflictError
    assert error.retry == "no"


def test_error_travels_between_processes_and_is_made_once_more() -> None:
    error = errors.refused(404, {"code": "secret_not_found", "request_id": "req_2"}, None)
    for other in (pickle.loads(pickle.dumps(error)), error.again()):
        assert type(other) is splitvault.NotFoundError
        assert (str(other), other.code, other.request_id) == (str(error), "secret_not_found", "req_2")
        assert other is not error
