// What both ways into the Vercel AI SDK are asked to do.
import { Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { HELLO, STORY, WEATHER, forecast, got, tell } from "./report.mjs";

const Place = z.object({ city: z.string(), days: z.number().int() });
const tools = {
  get_forecast: tool({
    description: "The weather forecast.",
    inputSchema: Place,
    execute: forecast,
  }),
};

function heard(call, steps) {
  for (const { text, toolCalls, response, finishReason, usage } of steps) {
    const calls = toolCalls.map(({ toolName, input }) => ({ name: toolName, arguments: input }));
    got(call, text, calls, {
      id: response.id,
      tool_ids: toolCalls.map(({ toolCallId }) => toolCallId),
      finish_reason: finishReason.replace("-", "_"),
      usage: [usage.inputTokens, usage.outputTokens],
    });
  }
}

export async function report(model, kept) {
  const asking = (call, prompt) => ({
    model,
    prompt,
    providerOptions: kept(call),
    maxRetries: 0,
    stopWhen: isStepCount(3),
    onError: ({ error }) => {
      throw error;
    },
  });
  heard("plain", (await generateText(asking("plain", HELLO))).steps);
  heard("stream", await streamText(asking("stream", STORY)).steps);
  heard("tools", (await generateText({ ...asking("tools", WEATHER), tools })).steps);
  heard("tool stream", await streamText({ ...asking("tool stream", WEATHER), tools }).steps);
  const output = Output.object({ schema: Place });
  const structured = await generateText({ ...asking("structured", WEATHER), output });
  Place.parse(structured.output);
  heard("structured", structured.steps);
  tell();
}
