-- Rendered for both kinds of spans.

CREATE MATERIALIZED VIEW spanwell.{{source}}_to_texts TO spanwell.texts AS
SELECT
    multiIf(attrs['spanwell.project'] != '', attrs['spanwell.project'],
            resource['spanwell.project'] != '', resource['spanwell.project'],
            default_project) AS project,
    ts,
    trace_id,
    span_id,
    if(attrs['gen_ai.input.messages'] != '', attrs['gen_ai.input.messages'], attrs['spanwell.input']) AS input,
    if(attrs['gen_ai.output.messages'] != '', attrs['gen_ai.output.messages'], attrs['spanwell.output']) AS output
FROM spanwell.{{source}}
WHERE input != '' OR output != '';

CREATE MATERIALIZED VIEW spanwell.{{source}}_to_trace_index TO spanwell.trace_index AS
SELECT trace_id, min(ts) AS first_ts, max(ts) AS last_ts
FROM spanwell.{{source}}
GROUP BY trace_id;
