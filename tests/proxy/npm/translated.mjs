// Asks backends of the other dialect through the stock clients, and prints what came: node translated.mjs URL KEY
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [url, key] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const claude = "claude/claude-sonnet-4-5";
const messages = [{ role: "user", content: "Is it warm in Rome?" }];
const parameters = { type: "object", properties: { city: { type: "string" } } };

const tools = [{ type: "function", function: { name: "weather", parameters } }];
const chat = openai.chat.completions.stream({ model: claude, messages, tools, reasoning_effort: "low", max_tokens: 4096 });
const chatCall = (await chat.finalChatCompletion()).choices[0].message.tool_calls[0];
const flat = [{ type: "function", name: "weather", parameters, strict: false }];
const response = openai.responses.stream({ model: claude, input: "Is it warm in Rome?", tools: flat });
const responseCall = (await response.finalResponse()).output.at(-1);
const native = [{ name: "weather", input_schema: parameters }];
const message = anthropic.messages.stream({ model: "gpt", max_tokens: 64, messages, tools: native });
const messageCall = (await message.finalMessage()).content[0];
const text = anthropic.messages.stream({ model: "gpt", max_tokens: 64, messages });
const counted = await anthropic.messages.countTokens({ model: "gpt", messages });

const found = {
  chat: [chatCall.function.name, JSON.parse(chatCall.function.arguments)],
  response: [responseCall.name, JSON.parse(responseCall.arguments)],
  message: [messageCall.name, messageCall.input],
  text: await text.finalText(),
  counted: counted.input_tokens > 0,
};
console.log(JSON.stringify(found));
