// openai (npm), unmodified but for its base URL: API.md §5, calls 31 to 33, and what its users do besides.
// Prints what came back as JSON.   node tests/clients/with_openai.mjs URL KEY REAL_MODEL

import OpenAI, { APIConnectionTimeoutError, APIError, toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const [baseURL, apiKey, realModel] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "synthetic";
const HELLO = [{ role: "user", content: "Say hello. [[tokens=5]]" }];
const HANG = [{ role: "user", content: "Say nothing. [[tokens=0]] [[hang]]" }];
const Person = z.object({ name: z.string(), age: z.number().int() });
const WEATHER = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

const collect = async (many) => {
  const found = [];
  for await (const one of many) found.push(one);
  return found;
};

const refused = async (call) => {
  try {
    await call();
    return null;
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    const { status, type, code, requestID, message } = error;
    return { class: error.constructor.name, status, type, code, requestID, message };
  }
};

const calls = {
  async models() {
    return { listed: (await collect(client.models.list())).map(({ id }) => id), one: await client.models.retrieve("acme/loom-1") };
  },

  async chat() {
    const answer = await client.chat.completions.create({ model, messages: HELLO });
    return { answer, request: answer._request_id };
  },

  async stream() {
    const options = { model, messages: HELLO, stream: true, stream_options: { include_usage: true } };
    return collect(await client.chat.completions.create(options));
  },

  async of_a_real_model() {
    const messages = [{ role: "user", content: "What is the capital of France?" }];
    const ask = { model: realModel, messages, temperature: 0, max_tokens: 12 };
    const chunks = await collect(await client.chat.completions.create({ ...ask, stream: true }));
    const streamed = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    return { streamed, whole: (await client.chat.completions.create(ask)).choices[0].message.content };
  },

  async helper() {
    const runner = client.chat.completions.stream({ model, messages: HELLO });
    const said = [];
    runner.on("content", (piece) => said.push(piece));
    return { text: (await runner.finalMessage()).content, said };
  },

  async left() {
    const messages = [{ role: "user", content: "Go on. [[tokens=100000]] [[rate=50]]" }];
    const stream = await client.chat.completions.create({ model: "lonely", messages, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    const after = await client.chat.completions.create({ model: "lonely", messages: HELLO });
    return after.choices[0].message.content;
  },

  async tools() {
    const weather = { ...WEATHER.function, parse: JSON.parse, function: ({ city }) => `sunny in ${city}` };
    const messages = [{ role: "user", content: "And the weather? [[tool]] [[tokens=3]]" }];
    const runner = client.chat.completions.runTools({ model, messages, tools: [{ type: "function", function: weather }] });
    return { text: await runner.finalContent(), roles: runner.messages.map(({ role }) => role) };
  },

  async streamed_tools() {
    const runner = client.chat.completions.stream({ model, messages: HELLO, tools: [WEATHER], tool_choice: "required" });
    return (await runner.finalMessage()).tool_calls;
  },

  async parsed() {
    const response_format = zodResponseFormat(Person, "person");
    const answer = await client.chat.completions.parse({ model, messages: HELLO, response_format });
    return answer.choices[0].message.parsed;
  },

  async completions() {
    return (await client.completions.create({ model, prompt: "Once [[tokens=4]]" })).choices[0].text;
  },

  async embeddings() {
    const ask = { model: "embedder", input: ["loom", "grid"] };
    const [silent, float] = [await client.embeddings.create(ask), await client.embeddings.create({ ...ask, encoding_format: "float" })];
    return { silent, float, tokens: await client.embeddings.create({ ...ask, input: [[1, 2], [3]] }) };
  },

  async responses() {
    const whole = await client.responses.create({ model, input: "Say hello. [[tokens=5]]" });
    const events = await collect(await client.responses.create({ model, input: "Say hello. [[tokens=5]]", stream: true }));
    return { text: whole.output_text, kinds: [...new Set(events.map(({ type }) => type))], last: events.at(-1).response };
  },

  async errors() {
    const stranger = new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 });
    const broken = [{ role: "user", content: "[[fail]]" }];
    const file = await toFile(Buffer.from("RIFF"), "loom.wav");
    return {
      unknown_model: await refused(() => client.chat.completions.create({ model: "nobody", messages: HELLO })),
      wrong_key: await refused(() => stranger.models.list()),
      broken_engine: await refused(() => client.chat.completions.create({ model, messages: broken })),
      images: await refused(() => client.images.generate({ model, prompt: "a loom" })),
      speech: await refused(() => client.audio.speech.create({ model, voice: "alloy", input: "Loom" })),
      transcription: await refused(() => client.audio.transcriptions.create({ model, file })),
    };
  },

  async patience() {
    try {
      await client.chat.completions.create({ model: "lonely", messages: HANG }, { timeout: 500 });
    } catch (error) {
      if (!(error instanceof APIConnectionTimeoutError)) throw error;
      return (await client.chat.completions.create({ model: "lonely", messages: HELLO })).choices[0].message.content;
    }
    return null;
  },
};

const told = {};
for (const [name, call] of Object.entries(calls)) told[name] = await call();
console.log(JSON.stringify(told));
