"""OpenAI's API as it is observed, as an OpenAPI document that answers can be held against."""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
from jsonschema.protocols import Validator
from openapi_schema_validator import OAS31Validator
from support import contract, openai_api
from support.rawhttp import asked, get

BASE = "/v1"

# What chatkeep answers on purpose and the document does not know (DESIGN.md §2).
OUR_STATUSES = {
    403,
    405,
    408,
    409,
    410,
    412,
    431,
    502,
    503,
    504,
    508,
}  # in the envelope, on any route
ON_PURPOSE = re.compile(
    # the answer was cut short
    r"(.*/)?choices/\d+/finish_reason: None is not of type 'string'"
    r"|(.*/)?choices/\d+/finish_reason: None is not one of \['stop', .*"
    # all 19 keys, always, also when the upstream did not give them
    r"|(.*/)?(usage|system_fingerprint): None is not of type '(object|string)'"
)


class Document:
    """An OpenAPI 3.1 document. `base` comes before its paths."""

    def __init__(self, document: Any, base: str = "") -> None:
        self.document = document
        self._base = base
        self._templates = [(template, _pattern(base + template)) for template in document["paths"]]
        self._validators: dict[str, Validator] = {}

    def operation(self, method: str, path: str) -> str | None:
        """The path template of a request's operation, None when there is none."""
        return next(
            (
                template
                for template, fits in self._templates
                if fits.fullmatch(path) and method.lower() in self.document["paths"][template]
            ),
            None,
        )

    def problems(self, method: str, template: str, status: int, body: Any) -> list[str]:
        """What is wrong with a JSON answer, as `where: what`."""
        media = self.media(method, template, status)
        if media is None:
            return [f"{method} {template} does not answer {status}"]
        schema = media.get("application/json", media.get("*/*", {})).get("schema", {})
        return list(self._violations(schema, body))

    def media(self, method: str, template: str, status: int) -> dict[str, Any] | None:
        """The media types an operation answers a status with, None when it does not."""
        answers = self.document["paths"][template][method.lower()]["responses"]
        answer = answers.get(str(status), answers.get("default"))
        return None if answer is None else dict(answer["content"])

    def of_schema(self, name: str, body: Any) -> list[str]:
        return list(self._violations({"$ref": f"#/components/schemas/{name}"}, body))

    def _violations(self, schema: Any, body: Any) -> Iterator[str]:
        for error in self._validator(json.dumps(schema)).iter_errors(body):
            yield f"{'/'.join(map(str, error.absolute_path))}: {error.message}"

    def _validator(self, schema: str) -> Validator:
        if schema not in self._validators:
            whole = {**json.loads(schema), "components": self.document["components"]}
            self._validators[schema] = OAS31Validator(whole)
        return self._validators[schema]


@functools.cache
def observed() -> Document:
    return Document(openai_api.document(), BASE)


@functools.cache
def recorded() -> Document:
    """The document that fits the recordings; `observed` has of it what our tests need."""
    return Document(contract.openapi(), BASE)


async def own(url: str) -> Document:
    """The document the server at this URL describes itself with."""
    return _document((await asked(url, get("/openapi.json", None))).body)


@functools.cache
def _document(text: bytes) -> Document:
    return Document(json.loads(text))


def check(
    method: str, path_template: str, status: int, body: Any, by: Document | None = None
) -> None:
    """Fails when OpenAI's API would not answer so, our documented exceptions apart."""
    document = by or observed()
    if status in OUR_STATUSES:
        found = document.of_schema("ErrorResponse", body)
    else:
        found = document.problems(method, path_template, status, body)
    unexpected = [problem for problem in found if not ON_PURPOSE.fullmatch(problem)]
    assert not unexpected, f"{method} {path_template} {status}: {unexpected} in {body}"


async def check_response(response: httpx2.Response, by: Document | None = None) -> None:
    """Checks an answer under /v1, when it is JSON."""
    request = response.request
    template = observed().operation(request.method, request.url.path)
    if template is not None and _is_json(response):
        body = json.loads(await response.aread())
        check(request.method, template, response.status_code, body, by)


def checking() -> httpx2.AsyncClient:
    """A client that checks every answer it gets; for `openai.AsyncOpenAI(http_client=...)`."""
    return httpx2.AsyncClient(event_hooks={"response": [check_response]}, timeout=30)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)))


def _is_json(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").startswith("application/json")
