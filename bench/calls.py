"""The calls of a soak that are in order: what users do, and whether it is answered as it should."""

import asyncio

from bench import samples
from bench.ledger import as_acknowledged
from bench.mix import Answer, Kind, Mix, completion, kept
from bench.talk import IMAGES, MAX_TURNS, Talk

_TALKS = 24  # at a time
_LEAVES_AFTER = 20  # reads of a stream that has a hundred


async def _create(mix: Mix) -> None:
    await _created(mix, "create", samples.MODEL)


async def _create_twice(mix: Mix) -> None:
    await _created(mix, "two choices", samples.TWICE)


async def _created(mix: Mix, kind: str, model: str) -> None:
    number = mix.number()
    body = samples.filled(samples.create_body(store=True, model=model), number)
    mix.ledger.unsure += 1  # until the answer is here
    answer = await mix.ask("POST", samples.COMPLETIONS, body)
    if mix.good(kind, answer, stored="yes"):
        mix.ledger.unsure -= 1
        mix.created(answer, number, body)


async def _repeat(mix: Mix) -> None:
    """The same call again, as after an answer that was lost: there is one completion."""
    number = mix.number()
    body = samples.filled(samples.create_body(store=True), number)
    headers = {"idempotency-key": f"key-{number}"}
    mix.ledger.unsure += 2
    answers = await asyncio.gather(
        *(mix.ask("POST", samples.COMPLETIONS, body, headers) for _ in range(2))
    )
    good = [mix.good("repeat", answer, stored="yes") for answer in answers]
    if all(good):
        mix.ledger.unsure -= 2
        mix.created(answers[0], number, body)
        unknown = any(answer.headers.get("x-chatkeep-idempotency") == "off" for answer in answers)
        if len({answer.headers["x-chatkeep-id"] for answer in answers}) > 1 and not unknown:
            mix.counted.odd["a repeated call was kept twice"] += 1


async def _stream(mix: Mix) -> None:
    number = mix.number()
    body = samples.filled(samples.create_body(store=True, stream=True), number)
    mix.ledger.unsure += 1
    answer = await mix.ask("POST", samples.COMPLETIONS, body)
    if b": chatkeep stored=no" in answer.body:
        mix.counted.unkept["stream"] += 1
    elif mix.good("stream", answer, stored="pending"):
        if answer.body.endswith(b"data: [DONE]\n\n"):
            mix.ledger.unsure -= 1
            mix.created(answer, number, body)
        else:
            mix.counted.odd["stream without its end"] += 1


async def _leave(mix: Mix) -> None:
    await left(mix, samples.PACED)


async def left(mix: Mix, model: str) -> None:
    """Leaves a stream after a while: what had come of it is kept."""
    body = samples.create_body(store=True, model=model, stream=True)
    mix.ledger.unsure += 1
    url = mix.server.url + samples.COMPLETIONS
    async with mix.http.post(url, data=samples.filled(body, mix.number())) as answer:
        for _ in range(mix.random.randrange(_LEAVES_AFTER)):
            await answer.content.readany()
        answer.close()


async def _go_on(mix: Mix) -> None:
    """The next turn of a conversation, some of which begin with an image."""
    image = mix.random.choice(IMAGES) if mix.random.random() < 1 / 3 else None
    talk = mix.talks.pop(0) if len(mix.talks) >= _TALKS else Talk(image)
    number, messages = mix.number(), talk.messages
    body = talk.question(number)
    mix.ledger.unsure += 1
    try:
        answer = await mix.ask("POST", samples.COMPLETIONS, body)
        if mix.good("go on", answer, stored="yes"):
            mix.ledger.unsure -= 1
            mix.created(answer, number, body, messages)
            talk.went_on(number)
    finally:
        if mix.random.random() < 1 / 20:
            talk.go_back()
        if talk.turns < MAX_TURNS:
            mix.talks.append(talk)


async def _retrieve(mix: Mix) -> None:
    async with mix.taken() as taken:
        if taken is not None:
            id, record = taken
            answer = await mix.ask("GET", completion(id))
            if mix.good("retrieve", answer) and not as_acknowledged(answer.json(), record):
                mix.counted.odd["another record than was stored"] += 1


async def _look_into(mix: Mix) -> None:
    """Its messages, its conversation, and its image when there is one."""
    async with mix.taken() as taken:
        if taken is None:
            return
        id, record = taken
        answer = await mix.ask("GET", completion(id) + "/messages", query={"limit": "100"})
        if mix.good("messages", answer) and len(answer.json()["data"]) != record.messages:
            mix.counted.odd["other messages than were sent"] += 1
        mix.good("conversation", await mix.ask("GET", kept(id) + "/conversation"))
        part = await mix.ask("GET", kept(id) + "/parts/0")
        if part.status != 404 and mix.good("part", part) and part.body not in IMAGES:
            mix.counted.odd["another image than was sent"] += 1


async def _search(mix: Mix) -> None:
    async with mix.taken() as taken:
        if taken is not None:
            id, record = taken
            answer = await mix.ask("GET", samples.RECORDS, query={"q": f"{record.number:012d}"})
            if mix.good("search", answer) and id not in _ids(answer):
                mix.counted.odd["not found by what it says"] += 1


async def _list(mix: Mix) -> None:
    run = mix.random.randrange(samples.RUNS)
    query = mix.random.choice(({}, {"metadata[run]": f"{run:02d}"}, {"model": "none"}))
    mix.good("list", await mix.ask("GET", samples.COMPLETIONS, query=query))


async def _figures(mix: Mix) -> None:
    for name in ("facets", "stats"):
        mix.good(name, await mix.ask("GET", f"/keep/v1/{name}"))


async def _update(mix: Mix) -> None:
    async with mix.taken() as taken:
        if taken is not None:
            id, record = taken
            grade = mix.number()
            pairs = f'"n":"{record.number:012d}","grade":"{grade:012d}"'
            answer = await mix.ask("POST", completion(id), f'{{"metadata":{{{pairs}}}}}')
            if mix.good("update", answer):
                record.marks["grade"] = grade


async def _patch(mix: Mix) -> None:
    """A pair of its own in a record that others change at the same time."""
    if mix.shared:
        id, key, value = mix.random.choice(mix.shared), mix.worker(), mix.number()
        record = mix.ledger.records[id]
        path = kept(id) + "/metadata"
        answer = await mix.ask("PATCH", path, f'{{"{key}":"{value}"}}')
        if mix.good("patch", answer):
            record.marks[key] = value


async def _delete(mix: Mix) -> None:
    async with mix.taken() as taken:
        if taken is not None:
            id, _ = taken
            surely = False
            try:
                surely = mix.good("delete", await mix.ask("DELETE", completion(id)))
            finally:
                mix.ledger.gone(id, surely=surely)


async def _bulk(mix: Mix) -> None:
    """Counts the records of a run, and changes the metadata of a few."""
    run = f'"metadata":{{"run":"{mix.random.randrange(samples.RUNS):02d}"}}'
    path = samples.RECORDS + "/bulk"
    counting = f'{{"filter":{{{run}}},"delete":true,"dry_run":true}}'
    mix.good("bulk dry run", await mix.ask("POST", path, counting))
    async with mix.taken() as taken:
        if taken is not None:
            only = f'"metadata":{{"n":"{taken[1].number:012d}"}}'
            changing = f'{{"filter":{{{only}}},"metadata":{{"seen":"{mix.number()}"}}}}'
            answer = await mix.ask("POST", path, changing)
            if mix.good("bulk", answer) and answer.json()["changed"] != 1:
                mix.counted.odd[f"bulk: {answer.body!r}"] += 1


def _ids(answer: Answer) -> set[str]:
    return {item["id"] for item in answer.json()["data"]}


CALLS = (
    Kind("create", 22, _create, makes=True),
    Kind("two choices", 3, _create_twice, makes=True),
    Kind("repeat", 4, _repeat, makes=True),
    Kind("stream", 12, _stream, makes=True),
    Kind("leave mid-stream", 4, _leave),
    Kind("go on", 14, _go_on, makes=True),
    Kind("retrieve", 12, _retrieve),
    Kind("look into", 4, _look_into),
    Kind("search", 4, _search),
    Kind("list", 5, _list),
    Kind("facets and stats", 1, _figures),
    Kind("update", 10, _update),
    Kind("patch", 8, _patch),
    Kind("delete", 10, _delete),
    Kind("bulk", 1, _bulk),
)
