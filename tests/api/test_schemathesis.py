"""Requests made up from the descriptions of the API: our own, and OpenAI's as it is observed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support import contract, observed
from support.beside import served
from support.chatkeep_server import KEY

from chatkeep.web.api import openapi
from chatkeep.web.routes import FORWARDED, OPERATIONS

BOUNDED = settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
AUTHORISED = {"authorization": f"Bearer {KEY}"}
# Of the forwarded operations, which are one, the first is enough.
TRIED = [one for one in OPERATIONS if one.path.removeprefix("/v1") not in FORWARDED[1:]]
ours = schemathesis.openapi.from_dict(json.loads(json.dumps(openapi.document(TRIED, ""))))
theirs = schemathesis.openapi.from_dict(observed.observed().document)
# Where the original is not, its tests are deselected, but must be there to be.
recorded = schemathesis.openapi.from_dict(
    contract.openapi() if contract.is_there() else observed.observed().document
)
for one in (theirs, recorded):
    one.config.phases.coverage.enabled = False  # ten seconds for all that a create can be


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("schemathesis")) as chatkeep:
        yield chatkeep.url


@ours.parametrize()
@BOUNDED
def test_every_answer_is_one_that_we_describe(case: schemathesis.Case[Any], url: str) -> None:
    answer = case.call(base_url=url, headers=AUTHORISED)
    checks = [not_a_server_error, status_code_conformance, content_type_conformance]
    if answer.headers["content-type"] == ["application/json"]:
        checks.append(response_schema_conformance)
    case.validate_response(answer, checks=checks)


@theirs.parametrize()
@BOUNDED
def test_openais_requests_end_in_no_error_of_ours(case: schemathesis.Case[Any], url: str) -> None:
    assert_no_error_of_ours(case, url)


@pytest.mark.recordings
@recorded.parametrize()
@BOUNDED
def test_requests_of_the_original_document_end_in_no_error_of_ours(
    case: schemathesis.Case[Any], url: str
) -> None:
    assert_no_error_of_ours(case, url)


def assert_no_error_of_ours(case: schemathesis.Case[Any], url: str) -> None:
    answer = case.call(base_url=f"{url}/v1", headers=AUTHORISED)
    case.validate_response(answer, checks=[not_a_server_error])
