"""The route table: every operation the server has, once, as data.

The router, the checks of keys and scopes, `/openapi.json` and the tests are derived from it.
"""

from typing import Literal

from msgspec import Struct

from chatkeep.core.accounts.administration import KEYS
from chatkeep.core.model.completion import Scope
from chatkeep.core.records.facets import FACETS
from chatkeep.core.records.filters import CONVERSATION, LIST, MESSAGES, RECORDS
from chatkeep.core.records.stats import STATS
from chatkeep.core.wire.query import Filter

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class Operation(Struct, frozen=True):
    """One method of one path.

    `endpoint` is the name of the function that answers it; `scope` is None for what needs no key.
    `request` and `answer` name schemas; `answer` is None for what is not JSON. What
    `forwards` may end in any answer of the upstream's.
    """

    method: Method
    path: str
    endpoint: str
    scope: Scope | None
    summary: str
    answer: str | None
    request: str | None = None
    query: tuple[Filter, ...] = ()
    refusals: tuple[int, ...] = ()
    media: str = "application/json"
    request_media: str = "application/json"
    forwards: bool = False


COMPLETIONS = "/v1/chat/completions"
COMPLETION = COMPLETIONS + "/{completion_id}"
KEEP_COMPLETIONS = "/keep/v1/completions"
KEEP_COMPLETION = KEEP_COMPLETIONS + "/{completion_id}"
KEEP_KEYS = "/keep/v1/keys"
KEEP_KEY = KEEP_KEYS + "/{key_id}"
KEEP_PROJECTS = "/keep/v1/projects"
KEEP_PROJECT = KEEP_PROJECTS + "/{project}"

# What people use who point one base_url at us: model calls, and nothing that shows the upstream's
# account. Forwarded as they are, never stored.
FORWARDED = (
    "/completions",
    "/embeddings",
    "/responses",
    "/moderations",
    "/rerank",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/images/generations",
    "/images/edits",
    "/images/variations",
)


def _forwarded(path: str) -> Operation:
    return Operation(
        "POST",
        "/v1" + path,
        "forward",
        "create",
        "Forwarded to the upstream of its model; never stored.",
        "Anything",
        request="Anything",
        refusals=(404, 413, 415, 429, 502, 504),
        media="*/*",
        request_media="*/*",
        forwards=True,
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        COMPLETIONS,
        "create_completion",
        "create",
        "Create a chat completion; with store: true it is kept.",
        "Completion",
        request="CreateCompletion",
        refusals=(400, 404, 409, 410, 413, 415, 429, 502, 504),
        forwards=True,
    ),
    Operation(
        "GET",
        COMPLETIONS,
        "list_completions",
        "read",
        "List stored chat completions.",
        "CompletionList",
        query=LIST,
        refusals=(400, 503),
    ),
    Operation(
        "GET",
        COMPLETION,
        "retrieve_completion",
        "read",
        "Retrieve a stored chat completion.",
        "StoredCompletion",
        refusals=(404, 503),
    ),
    Operation(
        "POST",
        COMPLETION,
        "update_completion",
        "write",
        "Replace the metadata of a stored chat completion.",
        "StoredCompletion",
        request="UpdateCompletion",
        refusals=(400, 404, 412, 413, 415, 503),
    ),
    Operation(
        "DELETE",
        COMPLETION,
        "delete_completion",
        "write",
        "Delete a stored chat completion.",
        "DeletedCompletion",
        refusals=(404, 503),
    ),
    Operation(
        "GET",
        COMPLETION + "/messages",
        "list_messages",
        "read",
        "List the input messages of a stored chat completion.",
        "MessageList",
        query=MESSAGES,
        refusals=(400, 404, 410, 503),
    ),
    Operation(
        "GET",
        "/v1/models",
        "list_models",
        "create",
        "List the models of all upstreams.",
        "ModelList",
        refusals=(502, 504),
    ),
    Operation(
        "GET",
        "/v1/models/{model:path}",
        "retrieve_model",
        "create",
        "Retrieve a model.",
        "Model",
        refusals=(404, 502, 504),
    ),
    *map(_forwarded, FORWARDED),
    Operation(
        "GET",
        KEEP_COMPLETIONS,
        "list_records",
        "read",
        "List stored chat completions with what else is known of them.",
        "RecordList",
        query=RECORDS,
        refusals=(400, 503),
    ),
    Operation(
        "POST",
        KEEP_COMPLETIONS + "/bulk",
        "bulk_completions",
        "write",
        "Delete all completions that a filter finds, or change their metadata, or count them.",
        "BulkOutcome",
        request="Bulk",
        refusals=(400, 413, 415, 503),
    ),
    Operation(
        "PATCH",
        KEEP_COMPLETION + "/metadata",
        "merge_metadata",
        "write",
        "Change single pairs of the metadata; null removes one. Answers the whole map.",
        "Metadata",
        request="MetadataPatch",
        refusals=(400, 404, 412, 413, 415, 503),
    ),
    Operation(
        "GET",
        KEEP_COMPLETION + "/conversation",
        "conversation",
        "read",
        "List the completions of its conversation in every branch, each with its parent.",
        "Conversation",
        query=CONVERSATION,
        refusals=(400, 404, 503),
    ),
    Operation(
        "GET",
        KEEP_COMPLETION + "/parts/{part}",
        "attachment",
        "read",
        "An image, sound or file that was sent within the messages; they are numbered from 0.",
        None,
        refusals=(404, 410, 503),
        media="*/*",
    ),
    Operation(
        "GET",
        KEEP_COMPLETION + "/raw/request",
        "raw_request",
        "read",
        "The request's bytes as the client sent them.",
        "Anything",
        refusals=(404, 410, 503),
    ),
    Operation(
        "GET",
        KEEP_COMPLETION + "/raw/answer",
        "raw_answer",
        "read",
        "The answer's bytes as the client got them; of a stream, the completion assembled.",
        "Anything",
        refusals=(404, 410, 503),
    ),
    Operation(
        "GET",
        "/keep/v1/facets",
        "facets",
        "read",
        "Which values the newest completions have, and how often.",
        "Facets",
        query=FACETS,
        refusals=(400, 503),
    ),
    Operation(
        "GET",
        "/keep/v1/stats",
        "stats",
        "read",
        "Calls, tokens, cost and durations, summed by the hour, also of what was not stored.",
        "Stats",
        query=STATS,
        refusals=(400, 503),
    ),
    Operation(
        "GET",
        "/keep/v1/upstreams",
        "list_upstreams",
        "admin",
        "How the upstreams answer just now.",
        "UpstreamList",
    ),
    Operation(
        "GET",
        KEEP_KEYS,
        "list_keys",
        "admin",
        "List keys, ended ones included: the project's, with root all.",
        "KeyList",
        query=KEYS,
        refusals=(400, 404, 503),
    ),
    Operation(
        "POST",
        KEEP_KEYS,
        "create_key",
        "admin",
        "Create a key; its secret is in this answer only.",
        "NewKey",
        request="CreateKey",
        refusals=(400, 404, 413, 415, 503),
    ),
    Operation(
        "GET",
        KEEP_KEY,
        "retrieve_key",
        "admin",
        "Retrieve a key.",
        "Key",
        refusals=(404, 503),
    ),
    Operation(
        "PATCH",
        KEEP_KEY,
        "change_key",
        "admin",
        "Change a key's name or when it expires.",
        "Key",
        request="ChangeKey",
        refusals=(400, 404, 413, 415, 503),
    ),
    Operation(
        "DELETE",
        KEEP_KEY,
        "revoke_key",
        "admin",
        "Revoke a key, for good; it stays listed.",
        "Key",
        refusals=(404, 503),
    ),
    Operation(
        "GET",
        KEEP_PROJECTS,
        "list_projects",
        "admin",
        "List projects with their settings: the key's own, with root all.",
        "ProjectList",
        refusals=(503,),
    ),
    Operation(
        "POST",
        KEEP_PROJECTS,
        "create_project",
        "root",
        "Create a project.",
        "Project",
        request="CreateProject",
        refusals=(400, 409, 413, 415, 503),
    ),
    Operation(
        "GET",
        KEEP_PROJECT,
        "retrieve_project",
        "admin",
        "Retrieve a project.",
        "Project",
        refusals=(404, 503),
    ),
    Operation(
        "PATCH",
        KEEP_PROJECT,
        "change_project",
        "admin",
        "Change settings of a project; those not given stay, null unsets one.",
        "Project",
        request="ChangeProject",
        refusals=(400, 404, 413, 415, 503),
    ),
    Operation("GET", "/healthz", "health", None, "Whether the process answers.", "ServerStatus"),
    Operation(
        "GET",
        "/readyz",
        "ready",
        None,
        "Whether the store answers.",
        "ServerStatus",
        refusals=(503,),
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        None,
        "Figures for Prometheus.",
        None,
        media="text/plain",
    ),
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        None,
        "This description.",
        "OpenApi",
    ),
)
