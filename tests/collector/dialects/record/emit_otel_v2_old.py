"""The same with openai-v2 2.1b0, whose content goes through the events API that later SDKs have removed."""

import emit_otel_v2
import tracing
from opentelemetry._events import set_event_logger_provider
from opentelemetry.sdk._events import EventLoggerProvider

tracing.start_logs_and_metrics()
set_event_logger_provider(EventLoggerProvider())
emit_otel_v2.answer()
