-- OTLP traces as the engine parses them. All tables here hold nothing (ENGINE = Null): a row goes on to the views.
-- An unset member of a protobuf oneof arrives as NULL. What nests deeper than this was made JSON text before.

CREATE TABLE spanwell.otlp_in
(
    default_project String,
    resource_spans Array(Tuple(
        resource Tuple(
            attributes Array(Tuple(key String, value Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                double_value Nullable(Float64), bytes_value Nullable(String))))),
        scope_spans Array(Tuple(
            scope Tuple(name String, version String),
            spans Array(Tuple(
                trace_id String,
                span_id String,
                parent_span_id String,
                name String,
                kind Int32,
                start_time_unix_nano UInt64,
                end_time_unix_nano UInt64,
                attributes Array(Tuple(key String, value Tuple(
                    string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                    double_value Nullable(Float64), bytes_value Nullable(String),
                    array_value Tuple(values Array(Tuple(
                        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                        double_value Nullable(Float64), bytes_value Nullable(String)))),
                    kvlist_value Tuple(values Array(Tuple(key String, value Tuple(
                        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                        double_value Nullable(Float64), bytes_value Nullable(String)))))))),
                events Array(Tuple(
                    time_unix_nano UInt64,
                    name String,
                    attributes Array(Tuple(key String, value Tuple(
                        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                        double_value Nullable(Float64), bytes_value Nullable(String)))))),
                status Tuple(message String, code Int32)))))))
)
ENGINE = Null;

-- The same for spans that are not the proxy's own: their attributes may have other names, and their cost is to be found.
CREATE TABLE spanwell.otlp_dialects_in AS spanwell.otlp_in ENGINE = Null;

CREATE TABLE spanwell.otlp_spans
(
    default_project String,
    ts              DateTime64(6, 'UTC'),
    trace_id        String,
    span_id         String,
    parent_span_id  String,
    name            String,
    kind            Int32,
    duration_ms     Float64,
    status_code     Int32,
    status_message  String,
    scope           String,
    attrs           Map(String, String),  -- every attribute; what is left when the columns are filled is `attributes`
    resource        Map(String, String),
    events          Array(Tuple(ts DateTime64(6, 'UTC'), name String, attributes Map(String, String)))
)
ENGINE = Null;

CREATE TABLE spanwell.otlp_dialect_spans AS spanwell.otlp_spans ENGINE = Null;
