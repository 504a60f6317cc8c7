// The official SDK: create, its stream helper and its tool runner.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { HELLO, MODEL, STORY, WEATHER, forecast, got, key, tell, url } from "./report.mjs";

const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const Place = z.object({ city: z.string(), days: z.number().int() });

function asking(call, content, more = {}) {
  const messages = [{ role: "user", content }];
  const metadata = { client: "openai_node", call };
  return { model: MODEL, messages, store: true, metadata, ...more };
}

function heard(call, completion) {
  const [{ message, finish_reason }] = completion.choices;
  const calls = message.tool_calls ?? [];
  const tools = calls.map(({ function: { name, arguments: text } }) => ({
    name,
    arguments: JSON.parse(text),
  }));
  const { prompt_tokens, completion_tokens } = completion.usage;
  got(call, message.content, tools, {
    id: completion.id,
    tool_ids: calls.map(({ id }) => id),
    finish_reason,
    usage: [prompt_tokens, completion_tokens],
  });
}

const tools = [
  {
    type: "function",
    function: {
      name: "get_forecast",
      description: "The weather forecast.",
      parse: JSON.parse,
      parameters: z.toJSONSchema(Place),
      function: forecast,
    },
  },
];
const counted = { stream_options: { include_usage: true } };

heard("plain", await client.chat.completions.create(asking("plain", HELLO)));

const stream = client.chat.completions.stream(asking("stream", STORY, counted));
heard("stream", await stream.finalChatCompletion());

const runner = client.chat.completions.runTools(asking("tools", WEATHER, { tools }));
await runner.done();
for (const completion of runner.allChatCompletions()) heard("tools", completion);

const streaming = { tools, stream: true, ...counted };
const running = client.chat.completions.runTools(asking("tool stream", WEATHER, streaming));
await running.done();
for (const completion of running.allChatCompletions()) heard("tool stream", completion);

const format = { response_format: zodResponseFormat(Place, "place") };
const parsed = await client.chat.completions.parse(asking("structured", WEATHER, format));
Place.parse(parsed.choices[0].message.parsed);
heard("structured", parsed);
tell();
