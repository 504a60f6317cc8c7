"""The models of all upstreams as one list, and which upstreams a project may use."""

import msgspec
import pytest
from support.proxying import FakeAnswer, FakeUpstream, FakeUpstreams

from chatkeep.core.model.completion import Project, ProjectId
from chatkeep.core.ports.upstream import Route
from chatkeep.core.proxy import routing
from chatkeep.core.proxy.models import Models
from chatkeep.errors import ModelNotFound, UpstreamFailed, UpstreamUnreachable

OURS = Project(ProjectId(1), "ours", b"secret", upstreams=("a",))


class Routed(FakeUpstreams):
    """Each model goes to the upstream its name begins with."""

    def routes(self, model: str) -> list[Route]:
        return [route for route in super().routes(model) if model.startswith(route.upstream.name)]


def offering(name: str, *models: str) -> FakeUpstream:
    upstream = FakeUpstream(name)
    listed = b",".join(b'{"id":"%b","object":"model"}' % model.encode() for model in models)
    upstream.will(FakeAnswer(b'{"object":"list","data":[%b]}' % listed).end())
    return upstream


def failing(name: str) -> FakeUpstream:
    upstream = FakeUpstream(name)
    upstream.will(UpstreamUnreachable(upstream=name, detail="it is off"))
    return upstream


def names(body: bytes) -> list[str]:
    return [model["id"] for model in msgspec.json.decode(body)["data"]]


async def test_each_model_is_listed_by_the_upstream_its_calls_go_to() -> None:
    models = Models(Routed(offering("a", "a-1", "b-1"), offering("b", "a-1", "b-2")))
    assert names(await models.list()) == ["a-1", "b-2"]


async def test_a_project_sees_the_upstreams_it_may_use() -> None:
    models = Models(Routed(offering("a", "a-1"), offering("b", "b-1")))
    assert names(await models.list(OURS)) == ["a-1"]


async def test_an_upstream_that_does_not_answer_is_left_out_while_another_does() -> None:
    assert names(await Models(Routed(failing("a"), offering("b", "b-1"))).list()) == ["b-1"]
    with pytest.raises(UpstreamUnreachable):
        await Models(Routed(failing("a"), failing("b"))).list()


@pytest.mark.parametrize(
    "answer",
    [FakeAnswer, lambda *_: FakeAnswer(b"{}", status=500)],
    ids=["no JSON", "an error"],
)
async def test_a_list_that_cannot_be_read_is_a_failure(answer: type[FakeAnswer]) -> None:
    upstream = FakeUpstream("a")
    upstream.will(answer(b'{"data":[').end())
    with pytest.raises(UpstreamFailed):
        await Models(Routed(upstream)).list()


async def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        await Models(Routed(offering("a", "a-1"))).retrieve("a-2")


async def test_health_says_of_each_upstream_how_it_answers() -> None:
    ticks = iter(range(100))
    models = Models(Routed(offering("a", "a-1", "a-2"), failing("b")))
    a, b = await models.health(lambda: next(ticks))
    assert (a.upstream, a.ok, a.models, a.error) == ("a", True, 2, None)
    assert (b.upstream, b.ok, b.models) == ("b", False, 0)
    assert b.error is not None
    assert "it is off" in b.error


def test_a_model_of_an_upstream_that_may_not_be_used_has_no_route() -> None:
    upstreams = Routed(FakeUpstream("a"), FakeUpstream("b"))
    assert [route.upstream.name for route in routing.routes(upstreams, OURS, "a-1")] == ["a"]
    with pytest.raises(ModelNotFound):
        routing.routes(upstreams, OURS, "b-1")
