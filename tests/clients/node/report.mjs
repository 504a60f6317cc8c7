// How a client's script is called and how it tells what it got: see ../scripts/report.py.
export const [url, key] = process.argv.slice(2);
export const MODEL = "gpt-4o-mini";

export const HELLO = "Say hello to Zoë 👋🏽.";
export const STORY = "Tell me\na story  of two “lines”.";
export const WEATHER = "Will it rain in Zürich or 東京?";

const rows = [];

export function forecast({ city, days }) {
  return `${days} dry days in ${city}`;
}

export function got(call, text, tools = [], told = {}) {
  rows.push({ call, text: text ?? "", tools, ...told });
}

export function tell() {
  process.stdout.write(JSON.stringify(rows));
}
