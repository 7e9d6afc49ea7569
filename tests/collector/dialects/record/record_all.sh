#!/usr/bin/env bash
# Records every fixture but vLLM's: record_all.sh ENVIRONMENTS, the folder made as README.md says. From anywhere.
set -euo pipefail
envs=$(realpath "$1")
cd "$(dirname "$0")"

record() { # FIXTURE ENVIRONMENT EMITTER
  echo "$1"
  python3 record.py "$1" "$envs/$2/bin/python" "emit_$3.py"
}

record openinference_openai openinference openinference_openai
record openinference_anthropic openinference openinference_anthropic
record anthropic_sdk openinference anthropic_sdk
record openllmetry_openai openllmetry openllmetry_openai
record openllmetry_anthropic openllmetry openllmetry_anthropic
record openllmetry_old openllmetry_old openllmetry_openai
record otel_v2_default otel_v2_default otel_v2
record otel_v2_latest otel_v2_latest otel_v2_latest
record otel_v2_old otel_v2_old otel_v2_old
record langfuse langfuse langfuse
record logfire logfire logfire
record mlflow mlflow mlflow
MLFLOW_ENABLE_OTEL_GENAI_SEMCONV=true record mlflow_genai mlflow mlflow

# Node resolves imports from where the script lies.
for version in v6 v7; do
  echo "vercel_ai_$version"
  cp "emit_vercel_ai_$version.mjs" "$envs/vercel_$version/"
  python3 record.py "vercel_ai_$version" node "$envs/vercel_$version/emit_vercel_ai_$version.mjs"
done
