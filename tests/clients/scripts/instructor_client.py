"""instructor: answers as checked pydantic models, by tool and by JSON schema."""

import json

import instructor
import openai
from pydantic import BaseModel
from report import HELLO, KEY, MODEL, STORY, URL, WEATHER, got, tell

client = openai.OpenAI(base_url=URL, api_key=KEY)


class Place(BaseModel):
    """A place and for how many days."""

    city: str
    days: int


def kept(call):
    metadata = {"client": "instructor", "call": call}
    return {"model": MODEL, "store": True, "metadata": metadata, "max_retries": 0}


def asking(text):
    return [{"role": "user", "content": text}]


by_tool = instructor.from_openai(client, mode=instructor.Mode.TOOLS)
by_schema = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)

plain = by_tool.create(response_model=None, messages=asking(HELLO), **kept("plain"))
got("plain", plain.choices[0].message.content, id=plain.id)

chunks = by_tool.create(response_model=None, messages=asking(STORY), stream=True, **kept("stream"))
deltas = [(chunk.id, chunk.choices[0].delta.content or "") for chunk in chunks if chunk.choices]
got("stream", "".join(text for _, text in deltas), id=deltas[0][0])

place, raw = by_tool.create_with_completion(
    response_model=Place, messages=asking(WEATHER), **kept("tools")
)
got("tools", None, [("Place", place.model_dump())], id=raw.id)

*_, place = by_tool.create_partial(
    response_model=Place, messages=asking(WEATHER), **kept("tool stream")
)
got("tool stream", None, [("PartialPlace", place.model_dump())])

place, raw = by_schema.create_with_completion(
    response_model=Place, messages=asking(WEATHER), **kept("structured")
)
text = raw.choices[0].message.content
assert place.model_dump() == json.loads(text), place
got("structured", text, id=raw.id)
tell()
