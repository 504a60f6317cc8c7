"""langchain-openai: ChatOpenAI. Its `metadata` is for traces; the API's goes in `extra_body`."""

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from report import HELLO, KEY, MODEL, STORY, URL, WEATHER, forecast, got, tell


@tool
def get_forecast(city: str, days: int) -> str:
    """The weather forecast."""
    return forecast(city, days)


class Place(BaseModel):
    """A place and for how many days."""

    city: str
    days: int


def model(call):
    kept = {"metadata": {"client": "langchain", "call": call}}
    return ChatOpenAI(
        model=MODEL, base_url=URL, api_key=KEY, stream_usage=True, store=True, extra_body=kept
    )


def heard(call, message):
    """Streams add their chunks up to a message, too."""
    got(
        call,
        message.text,
        [(tool_call["name"], tool_call["args"]) for tool_call in message.tool_calls],
        id=message.response_metadata.get("id"),  # streams: LangChain's own id instead
        tool_ids=[tool_call["id"] for tool_call in message.tool_calls],
        finish_reason=message.response_metadata["finish_reason"],
        usage=[message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]],
    )


def streamed(runnable, messages):
    whole = None
    for chunk in runnable.stream(messages):
        whole = chunk if whole is None else whole + chunk
    return whole


def used(call, ask):
    """A tool's whole round: asked for, run, answered."""
    with_tools = model(call).bind_tools([get_forecast])
    messages = [HumanMessage(WEATHER)]
    for _ in range(2):
        message = ask(with_tools, messages)
        heard(call, message)
        outputs = [get_forecast.invoke(tool_call) for tool_call in message.tool_calls]
        messages += [message, *outputs]


heard("plain", model("plain").invoke(HELLO))
heard("stream", streamed(model("stream"), STORY))
used("tools", lambda with_tools, messages: with_tools.invoke(messages))
used("tool stream", streamed)
answer = model("structured").with_structured_output(Place, include_raw=True).invoke(WEATHER)
assert answer["parsed"] == Place.model_validate_json(answer["raw"].text), answer
heard("structured", answer["raw"])
tell()
