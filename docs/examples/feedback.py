"""A user's thumb goes to the call it is about: the gateway's answer says which trace that was."""

from openai import OpenAI

import spanwell

client = OpenAI()
raw = client.chat.completions.with_raw_response.create(
    model="support-chat", messages=[{"role": "user", "content": "Can I return a gift?"}]
)
print(raw.parse().choices[0].message.content)
_, trace_id, span_id, _ = raw.headers["traceparent"].split("-")

spanwell.score("thumb", 1.0, trace_id=trace_id, span_id=span_id, source="user", comment="That helped, thank you.")
print(spanwell.flush())
