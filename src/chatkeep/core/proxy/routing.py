"""The upstreams a project may use; all others are not there for it."""

from collections.abc import Sequence

from chatkeep.core.model.completion import Project
from chatkeep.core.ports.upstream import Route, Upstream, Upstreams
from chatkeep.errors import ModelNotFound


def routes(upstreams: Upstreams, project: Project, model: str) -> Sequence[Route]:
    """Where to try. Raises ModelNotFound when no upstream that may be used has the model."""
    found = upstreams.routes(model)
    if project.upstreams is None:
        return found
    allowed = [route for route in found if route.upstream.name in project.upstreams]
    if not allowed:
        raise ModelNotFound("model", model=model)
    return allowed


def those(upstreams: Upstreams, project: Project | None) -> Sequence[Upstream]:
    """The ones a project may use; all of them for nobody in particular."""
    if project is None or project.upstreams is None:
        return upstreams.all()
    return [upstream for upstream in upstreams.all() if upstream.name in project.upstreams]


def serves(upstream: Upstream, upstreams: Upstreams, project: Project | None, model: str) -> bool:
    """Whether a project's calls for the model go to this upstream first."""
    names = None if project is None else project.upstreams
    for route in upstreams.routes(model):
        if names is None or route.upstream.name in names:
            return route.upstream is upstream
    return False
