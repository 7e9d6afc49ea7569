// Sends spans with a stock exporter of the OpenTelemetry JS SDK: node send.mjs KIND URL COUNT
// Prints how many exports were accepted, as JSON. Every span carries its number, and text that JSON has to escape.
import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [kind, url, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const exporters = { grpc: GrpcExporter, json: JsonExporter, proto: ProtoExporter };
const exporter = new exporters[kind]({ url, compression: kind === "proto" ? "gzip" : "none" });

let accepted = 0;
let refused = 0;
const counting = {
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      result.code === 0 ? (accepted += spans.length) : (refused += spans.length);
      done(result);
    }),
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
};

const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": `js-${kind}` }),
  spanProcessors: [new BatchSpanProcessor(counting, { maxQueueSize: count, maxExportBatchSize: 500 })],
});
const tracer = provider.getTracer("js-load");
for (let number = 0; number < count; number++) {
  const span = tracer.startSpan(`chat small ${number}`, { kind: SpanKind.CLIENT });
  span.setAttributes({
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": number,
    "gen_ai.usage.output_tokens": 7,
    "load.text": `"quoted" \\ ✓ 漢字 ${number}`,
    "load.flag": true,
    "load.ratio": 0.5,
    "load.list": ["a", "b"],
  });
  span.setStatus({ code: SpanStatusCode.OK });
  span.end();
}
await provider.forceFlush();
await provider.shutdown();
console.log(JSON.stringify({ accepted, refused }));
