// Vercel's AI SDK, unmodified but for its base URL, with three ways to speak: @ai-sdk/openai-compatible,
// @ai-sdk/openai over chat, and over /responses, its default. Prints what came back as JSON.
// node tests/clients/with_vercel.mjs URL KEY

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, apiKey] = process.argv.slice(2);
const HELLO = "Say hello. [[tokens=5]]";
const Person = z.object({ name: z.string(), age: z.number().int() });
const weather = tool({
  description: "Tell the weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => `sunny in ${city}`,
});

const speak = (apiKey) => {
  const compatible = createOpenAICompatible({ name: "grid", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });
  const official = createOpenAI({ baseURL, apiKey });
  return { compatible, chat: official.chat, responses: official };
};

const refused = async (call) => {
  try {
    await call();
    return null;
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error;
    return { status: error.statusCode, message: error.message, again: error.isRetryable };
  }
};

const streamed = async (options) => {
  const result = streamText({ ...options, onError: () => {} });
  const parts = [];
  for await (const part of result.fullStream) parts.push(part);
  const said = parts.filter(({ type }) => type === "text-delta").map(({ text }) => text);
  const errors = parts.filter(({ type }) => type === "error").map(({ error }) => String(error.message ?? error));
  const last = parts.at(-1);
  return { kinds: [...new Set(parts.map(({ type }) => type))], said, errors, end: last.finishReason, usage: last.totalUsage };
};

const calls = {
  async chat(model) {
    const { text, usage, finishReason } = await generateText({ model: model("synthetic"), prompt: HELLO, system: "Be brief." });
    return { text, usage, finishReason };
  },

  stream: (model) => streamed({ model: model("synthetic"), prompt: HELLO }),

  async tools(model) {
    const prompt = "And the weather? [[tool]] [[tokens=3]]";
    const ask = { model: model("synthetic"), prompt, tools: { weather }, stopWhen: stepCountIs(3) };
    const whole = await generateText(ask);
    const found = whole.steps.flatMap(({ toolResults }) => toolResults.map(({ output }) => output));
    return { text: whole.text, found, streamed: await streamed(ask) };
  },

  async parsed(model) {
    const ask = { model: model("synthetic"), schema: Person, prompt: "Who?" };
    const streaming = streamObject(ask);
    for await (const _ of streaming.partialObjectStream);
    return [(await generateObject(ask)).object, await streaming.object];
  },

  async errors(model, stranger) {
    const ask = { prompt: HELLO, maxRetries: 0 };
    return {
      unknown_model: await refused(() => generateText({ ...ask, model: model("nobody") })),
      wrong_key: await refused(() => generateText({ ...ask, model: stranger("synthetic") })),
    };
  },

  error_in_stream: (model) =>
    streamed({ model: model("synthetic"), prompt: "Go on. [[tokens=4]] [[rate=20]] [[reject]]", maxRetries: 0 }),

  async left(model) {
    const prompt = "Go on. [[tokens=100000]] [[rate=50]]";
    const abort = new AbortController();
    const { textStream } = streamText({ model: model("lonely"), prompt, abortSignal: abort.signal, onError: () => {} });
    for await (const _ of textStream) break;
    abort.abort();
    return (await generateText({ model: model("lonely"), prompt: HELLO })).text;
  },
};

const told = {};
const [known, unknown] = [speak(apiKey), speak("wrong")];
for (const [way, model] of Object.entries(known)) {
  told[way] = {};
  for (const [name, call] of Object.entries(calls)) told[way][name] = await call(model, unknown[way]);
}
const embedders = { compatible: known.compatible.embeddingModel("embedder"), official: known.responses.embedding("embedder") };
told.embeddings = {};
for (const [name, model] of Object.entries(embedders)) {
  const { embeddings, usage } = await embedMany({ model, values: ["loom", "grid"] });
  told.embeddings[name] = { embeddings, usage };
}
console.log(JSON.stringify(told));
