// The official SDK's stored chat completions: list, retrieve, update, messages, delete.
import OpenAI, { NotFoundError } from "openai";
import { HELLO, MODEL, key, url } from "./report.mjs";

const { completions } = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 }).chat;

const odd = { "an odd.key[0]": "a & b = “c”" };

async function created(number) {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: [{ type: "text", text: HELLO }, { type: "text", text: number }] },
  ];
  const metadata = { number, ...odd };
  return await completions.create({ model: MODEL, messages, store: true, metadata });
}

async function all(page) {
  return await Array.fromAsync(page);
}

async function refusal(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof NotFoundError) return error.status;
    throw error;
  }
}

const made = [];
for (const number of ["one", "two", "three"]) made.push(await created(number));
const { id, model } = made[1];
const report = {
  created: made.map(({ id }) => id),
  listed: await all(completions.list({ metadata: odd, order: "asc", limit: 2 })),
  filtered: await all(completions.list({ metadata: { ...odd, number: "two" }, model })),
  retrieved: await completions.retrieve(id),
  updated: await completions.update(id, { metadata: { grade: "good" } }),
  graded: await all(completions.list({ metadata: { grade: "good" } })),
  messages: await all(completions.messages.list(id, { order: "desc", limit: 1 })),
  deleted: await completions.delete(id),
  gone: await refusal(completions.retrieve(id)),
  left: await all(completions.list()),
};
process.stdout.write(JSON.stringify(report));
