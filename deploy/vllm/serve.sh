#!/usr/bin/env bash
# Starts the real vLLM OpenAI server on the CPU with the tiny model; its spans go to Spanwell's collector.
#   VLLM_PORT=8001  VLLM_API_KEY=…  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4318/v1/traces
# Arguments are handed on to vLLM.
set -euo pipefail
cd "$(dirname "$0")/../.."

home=$PWD/.vllm
export PATH=$home/venv/bin:$PATH
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
export XDG_CACHE_HOME=$home/cache XDG_CONFIG_HOME=$home/config
export VLLM_CPU_KVCACHE_SPACE=1 # GiB
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
export OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf
export OTEL_BSP_SCHEDULE_DELAY=${OTEL_BSP_SCHEDULE_DELAY:-500} # ms: a trace is whole half a second later

model=$home/tiny-llama
[ -f "$model/model.safetensors" ] || python deploy/vllm/make_tiny_model.py "$model"

# `vllm serve` looks for a distribution called vllm, which this build for the CPU is not: its module starts all the same.
exec python -m vllm.entrypoints.openai.api_server \
  --model "$model" --served-model-name tiny \
  --host 127.0.0.1 --port "${VLLM_PORT:-8001}" \
  --dtype bfloat16 --max-model-len 8192 --max-num-seqs 16 --enforce-eager \
  --enable-prompt-tokens-details --enable-request-id-headers \
  --enable-auto-tool-choice --tool-call-parser hermes \
  --structured-outputs-config '{"backend": "xgrammar", "disable_any_whitespace": true}' \
  --otlp-traces-endpoint "${OTEL_EXPORTER_OTLP_TRACES_ENDPOINT:-http://127.0.0.1:4318/v1/traces}" \
  "$@"
