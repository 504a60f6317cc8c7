// The Vercel AI SDK over @ai-sdk/openai's chat models.
import { createOpenAI } from "@ai-sdk/openai";
import { report } from "./ai_sdk_calls.mjs";
import { MODEL, key, url } from "./report.mjs";

const model = createOpenAI({ baseURL: url, apiKey: key }).chat(MODEL);
await report(model, (call) => ({
  openai: { store: true, metadata: { client: "ai_sdk", call } },
}));
