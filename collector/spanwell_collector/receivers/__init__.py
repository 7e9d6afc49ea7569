"""OTLP in: over HTTP and gRPC, as protobuf and as JSON. What is accepted becomes one record of the journal."""
