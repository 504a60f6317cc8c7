"""LlamaIndex: OpenAILike, its class for servers other than OpenAI's."""

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from report import HELLO, KEY, MODEL, STORY, URL, WEATHER, forecast, got, tell


def get_forecast(city: str, days: int) -> str:
    """The weather forecast."""
    return forecast(city, days)


tool = FunctionTool.from_defaults(get_forecast)


def model(call):
    kept = {"store": True, "metadata": {"client": "llamaindex", "call": call}}
    return OpenAILike(
        model=MODEL,
        api_base=URL,
        api_key=KEY,
        additional_kwargs=kept,
        is_chat_model=True,
        is_function_calling_model=True,
    )


def heard(call, llm, response):
    raw = response.raw
    calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    got(
        call,
        response.message.content,
        [(made.tool_name, made.tool_kwargs) for made in calls],
        id=raw.id,
        tool_ids=[made.tool_id for made in calls],
    )
    return calls


def last(responses):
    """Each response of a stream holds all that came before it."""
    *_, whole = responses
    return whole


def used(call, ask):
    llm = model(call)
    history = [ChatMessage(role="user", content=WEATHER)]
    for _ in range(2):
        response = ask(llm, history)
        history.append(response.message)
        for made in heard(call, llm, response):
            output = tool.call(**made.tool_kwargs)
            extra = {"tool_call_id": made.tool_id}
            history.append(
                ChatMessage(role="tool", content=output.content, additional_kwargs=extra)
            )


plain, stream = model("plain"), model("stream")
heard("plain", plain, plain.chat([ChatMessage(role="user", content=HELLO)]))
heard("stream", stream, last(stream.stream_chat([ChatMessage(role="user", content=STORY)])))
given = {"tools": [tool], "allow_parallel_tool_calls": True}
used("tools", lambda llm, seen: llm.chat_with_tools(chat_history=seen, **given))
used("tool stream", lambda llm, seen: last(llm.stream_chat_with_tools(chat_history=seen, **given)))
tell()
