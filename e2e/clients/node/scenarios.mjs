// The scenarios with the openai package for Node: node scenarios.mjs URL KEY
import OpenAI from "openai";

const TIMEOUT_MS = 20_000;
const SHORT_MS = 1_000;
const messages = [{ role: "user", content: "hello" }];
const tools = ["weather", "clock"].map((name) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: {} } },
}));

const [url, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: TIMEOUT_MS });

const create = (model, options = {}, settings = {}) =>
  client.chat.completions.create({ model, messages, ...options }, settings);

async function collected(items) {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
}

// What a stream brought, put together.
async function gathered(stream) {
  const contents = [];
  const finishReasons = [];
  const calls = [];
  const logprobs = [];
  let usage = null;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    for (const { index, delta, finish_reason: reason, logprobs: probabilities } of chunk.choices) {
      contents[index] = (contents[index] ?? "") + (delta.content ?? "");
      if (reason) finishReasons[index] = reason;
      logprobs.push(...(probabilities?.content ?? []).map((each) => each.token));
      for (const part of delta.tool_calls ?? []) {
        const call = (calls[part.index] ??= { id: "", name: "", arguments: "" });
        call.id += part.id ?? "";
        call.name += part.function?.name ?? "";
        call.arguments += part.function?.arguments ?? "";
      }
    }
  }
  return { contents, finish_reasons: finishReasons, tool_calls: calls, logprobs, usage };
}

async function failure(call) {
  try {
    await call();
  } catch (error) {
    if (error.status === undefined) return { class: error.constructor.name };
    return {
      class: error.constructor.name,
      status: error.status,
      code: error.code,
      type: error.type,
      message: error.error?.message ?? null,
      retry_after: error.headers.get("retry-after"),
    };
  }
  return { class: "none" };
}

const called = (completion) =>
  completion.choices[0].message.tool_calls.map((call) => [call.id, call.function.name, call.function.arguments]);

const scenarios = {
  models: async () => (await client.models.list()).data.map((model) => model.id).sort(),

  answer: async () => {
    const { choices, usage } = await create("chat");
    return { content: choices[0].message.content, finish_reason: choices[0].finish_reason, usage };
  },

  stream: async () => gathered(await create("chat", { stream: true })),

  stream_usage: async () => gathered(await create("chat", { stream: true, stream_options: { include_usage: true } })),

  several_choices: async () => ({
    whole: (await create("chat", { n: 3 })).choices.map((choice) => choice.message.content),
    stream: await gathered(await create("chat", { n: 3, stream: true })),
  }),

  tools: async () => ({
    whole: called(await create("tools", { tools })),
    stream: await gathered(await create("tools", { tools, stream: true })),
  }),

  tools_by_helper: async () =>
    called(await client.chat.completions.stream({ model: "tools", messages, tools }).finalChatCompletion()),

  json_mode: async () => {
    const options = { response_format: { type: "json_object" } };
    return {
      whole: JSON.parse((await create("json", options)).choices[0].message.content),
      stream: await gathered(await create("json", { ...options, stream: true })),
    };
  },

  logprobs: async () => (await gathered(await create("chat", { stream: true, logprobs: true }))).logprobs,

  completion: async () => {
    const asked = { model: "chat", prompt: "hello" };
    const parts = await collected(await client.completions.create({ ...asked, stream: true }));
    return {
      whole: (await client.completions.create(asked)).choices[0].text,
      stream: parts.map((part) => part.choices[0].text).join(""),
    };
  },

  response: async () => {
    const asked = { model: "chat", input: "hello" };
    const events = await collected(await client.responses.create({ ...asked, stream: true }));
    const kinds = events.map((event) => event.type);
    return {
      whole: (await client.responses.create(asked)).output_text,
      stream: events.flatMap((event) => (event.type === "response.output_text.delta" ? [event.delta] : [])).join(""),
      events: kinds.filter((kind, index) => kind !== kinds[index - 1]),
    };
  },

  embeddings: async () =>
    (await client.embeddings.create({ model: "chat", input: ["a", "b"] })).data.map((item) => item.embedding),

  error_400: () => failure(() => create("refused-400", { stream: true })),
  error_429: () => failure(() => create("refused-429", { stream: true })),
  error_500: () => failure(() => create("failed-500")),

  // Who knows the model's absence puts it into their own words.
  error_unknown_model: async () => {
    const told = await failure(() => create("no-such-model"));
    return { class: told.class, status: told.status, code: told.code };
  },

  timeout: () => failure(() => create("slow", { stream: true }, { timeout: SHORT_MS })),

  // The words of the break are the gateway's, and better: only that there is one is compared.
  broken_stream: async () => {
    let content = "";
    let failed = false;
    try {
      for await (const chunk of await create("breaks", { stream: true })) {
        content += chunk.choices[0].delta.content ?? "";
      }
    } catch {
      failed = true;
    }
    return { content, failed };
  },

  cancel: async () => {
    const stream = await create("endless", { stream: true });
    let seen = 0;
    for await (const chunk of stream) {
      seen += chunk.choices.length;
      if (seen >= 3) stream.controller.abort();
    }
    return seen >= 3;
  },

  cancel_async: async () => {
    const controller = new AbortController();
    const stream = await create("endless", { stream: true }, { signal: controller.signal });
    for await (const _ of stream) setImmediate(() => controller.abort());
    return controller.signal.aborted ? "cancelled" : "ended";
  },
};

const seen = {};
for (const [name, play] of Object.entries(scenarios)) {
  try {
    seen[name] = await play();
  } catch (error) {
    seen[name] = { raised: `${error.constructor.name}: ${error.message}` };
  }
}
console.log(JSON.stringify(seen));
