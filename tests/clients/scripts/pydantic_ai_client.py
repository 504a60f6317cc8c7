"""pydantic-ai: agents over OpenAIChatModel, which checks each answer against its own types."""

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from report import HELLO, KEY, MODEL, STORY, URL, WEATHER, forecast, got, tell

model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=URL, api_key=KEY))
agent = Agent(model)
with_tool = Agent(model)


@with_tool.tool_plain
def get_forecast(city: str, days: int) -> str:
    """The weather forecast."""
    return forecast(city, days)


class Place(BaseModel):
    """A place and for how many days."""

    city: str
    days: int


def kept(call):
    metadata = {"client": "pydantic_ai", "call": call}
    return {"openai_store": True, "extra_body": {"metadata": metadata}}


def heard(call, messages):
    """What the agent took from its run's answers."""
    for response in messages:
        if isinstance(response, ModelResponse):
            got(
                call,
                response.text,
                [(made.tool_name, made.args_as_dict()) for made in response.tool_calls],
                id=response.provider_response_id,
                tool_ids=[made.tool_call_id for made in response.tool_calls],
                usage=[response.usage.input_tokens, response.usage.output_tokens],
            )


def streamed(call, agent, question):
    with agent.run_stream_sync(question, model_settings=kept(call)) as result:
        text = "".join(result.stream_text(delta=True))
        assert text == result.get_output(), text
        heard(call, result.all_messages())


heard("plain", agent.run_sync(HELLO, model_settings=kept("plain")).all_messages())
streamed("stream", agent, STORY)
heard("tools", with_tool.run_sync(WEATHER, model_settings=kept("tools")).all_messages())
streamed("tool stream", with_tool, WEATHER)
structured = Agent(model, output_type=Place)
result = structured.run_sync(WEATHER, model_settings=kept("structured"))
assert isinstance(result.output, Place), result
heard("structured", result.all_messages())
tell()
