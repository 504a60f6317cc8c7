// The Vercel AI SDK over @ai-sdk/openai-compatible, its package for servers other than OpenAI's.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { report } from "./ai_sdk_calls.mjs";
import { MODEL, key, url } from "./report.mjs";

const provider = createOpenAICompatible({
  name: "chatkeep",
  baseURL: url,
  apiKey: key,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
await report(provider.chatModel(MODEL), (call) => ({
  chatkeep: { store: true, metadata: { client: "ai_sdk_compatible", call } },
}));
