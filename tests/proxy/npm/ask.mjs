// Asks a gateway through the stock clients of OpenAI and Anthropic, and prints what came: node ask.mjs URL KEY
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [url, key] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const model = "fox";
const messages = [{ role: "user", content: "Do foxes sleep?" }];

async function join(stream, read) {
  let text = "";
  for await (const event of stream) text += read(event) ?? "";
  return text;
}

async function refuse(ask) {
  try {
    await ask();
    return "answered";
  } catch (error) {
    return `${error.constructor.name} ${error.status}`;
  }
}

const chat = await openai.chat.completions.create({ model, messages });
const chatStream = await openai.chat.completions.create({ model, messages, stream: true });
const completion = await openai.completions.create({ model, prompt: "x" });
const completionStream = await openai.completions.create({ model, prompt: "x", stream: true });
const embedding = await openai.embeddings.create({ model, input: ["a", "b"] });
const response = await openai.responses.create({ model, input: "x" });
const responseStream = openai.responses.stream({ model, input: "x" });
const responseText = await join(responseStream, (event) => event.delta);
const kept = await openai.responses.retrieve(response.id);
const message = await anthropic.messages.create({ model, max_tokens: 64, messages });
const messageStream = anthropic.messages.stream({ model, max_tokens: 64, messages });
const counted = await anthropic.messages.countTokens({ model, messages });
const models = await openai.models.list();

const found = {
  chat: chat.choices[0].message.content,
  chatStream: await join(chatStream, (chunk) => chunk.choices[0]?.delta.content),
  completion: completion.choices[0].text,
  completionStream: await join(completionStream, (chunk) => chunk.choices[0]?.text),
  embeddings: embedding.data.map((item) => item.embedding),
  response: response.output_text,
  responseStream: responseText,
  responseFinal: (await responseStream.finalResponse()).output_text,
  responseKept: kept.id === response.id,
  message: message.content[0].text,
  messageStream: await messageStream.finalText(),
  counted: counted.input_tokens,
  models: models.data.map((one) => one.id),
  openaiRefusal: await refuse(() => openai.chat.completions.create({ model: "owl", messages })),
  anthropicRefusal: await refuse(() => anthropic.messages.create({ model: "owl", max_tokens: 1, messages })),
};
console.log(JSON.stringify(found));
