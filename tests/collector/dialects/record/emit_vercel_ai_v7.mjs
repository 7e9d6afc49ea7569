// Vercel's AI SDK 7 with @ai-sdk/otel. Ids go as runtimeContext, which only the outer spans carry.
import { OpenTelemetry } from "@ai-sdk/otel";
import { createOpenAI } from "@ai-sdk/openai";
import { trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { embedMany, generateText, registerTelemetry, streamText, tool } from "ai";
import { z } from "zod";

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "assistant", "deployment.environment.name": "test" }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
registerTelemetry(new OpenTelemetry({ runtimeContext: true, embedding: true }));

const openai = createOpenAI({ baseURL: `${process.env.BACKEND_URL}/v1`, apiKey: "none" });
const ids = { userId: "user-7", sessionId: "session-42" };
const telemetry = (functionId) => ({
  functionId, recordInputs: true, recordOutputs: true, includeRuntimeContext: { userId: true, sessionId: true },
});
const chat = (functionId) => ({
  model: openai.chat("gpt-4o-mini"), maxRetries: 0, runtimeContext: ids, telemetry: telemetry(functionId),
});
const weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny, 21 degrees in ${city}`,
});
const tracer = trace.getTracer("assistant");
const inSpan = (name, work) => tracer.startActiveSpan(name, async (span) => {
  try { return await work(); } finally { span.end(); }
});

await inSpan("assistant", async () => {
  await embedMany({
    model: openai.embedding("text-embedding-3-small"), values: ["first text", "second text"], maxRetries: 0,
    telemetry: telemetry("index"),
  });
  await inSpan("retrieve", async () => ["Paris is the capital of France.", "Lyon is a city of France."]);
  await generateText({
    ...chat("answer"), system: "Answer in three words.", prompt: "What is the capital of France? ✓",
    temperature: 0.2, maxOutputTokens: 64,
  });
  await streamText({ ...chat("count"), prompt: "Count to three, then see." }).consumeStream();
  await generateText({ ...chat("weather"), prompt: "What is the weather in Paris?", tools: { get_weather: weather } });
  await generateText({ ...chat("failure"), prompt: "Now please fail." }).catch(() => {});
});

await provider.shutdown();
