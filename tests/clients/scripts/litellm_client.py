"""LiteLLM's SDK. Its `metadata` is its own; the provider's goes in `extra_body`."""

import json

import litellm
from report import HELLO, KEY, MODEL, STORY, URL, WEATHER, forecast, got, tell

TOOL = {
    "type": "function",
    "function": {
        "name": "get_forecast",
        "description": "The weather forecast.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


def ask(call, messages, **options):
    return litellm.completion(
        model=f"openai/{MODEL}",
        api_base=URL,
        api_key=KEY,
        messages=messages,
        store=True,
        extra_body={"metadata": {"client": "litellm", "call": call}},
        num_retries=0,
        **options,
    )


def streamed(call, messages, **options):
    chunks = list(ask(call, messages, stream=True, **options))
    return litellm.stream_chunk_builder(chunks, messages=messages)


def asking(text):
    return [{"role": "user", "content": text}]


def heard(call, response):
    message = response.choices[0].message
    calls = message.tool_calls or []
    got(
        call,
        message.content,
        [(made.function.name, json.loads(made.function.arguments)) for made in calls],
        id=response.id,
        tool_ids=[made.id for made in calls],
        finish_reason=response.choices[0].finish_reason,
        usage=[response.usage.prompt_tokens, response.usage.completion_tokens],
    )
    return message


def used(call, ask):
    messages = asking(WEATHER)
    for _ in range(2):
        message = heard(call, ask(call, messages, tools=[TOOL]))
        messages.append(message)
        for made in message.tool_calls or []:
            output = forecast(**json.loads(made.function.arguments))
            messages.append({"role": "tool", "tool_call_id": made.id, "content": output})


heard("plain", ask("plain", asking(HELLO)))
heard("stream", streamed("stream", asking(STORY), stream_options={"include_usage": True}))
used("tools", ask)
used(
    "tool stream",
    lambda *given, **options: streamed(*given, stream_options={"include_usage": True}, **options),
)
tell()
