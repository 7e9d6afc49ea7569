# Every command a contributor needs. `make help` lists them; `setup` is what the others call by themselves.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
BIN := .venv/bin
INSTALLED := .venv/.installed
LITELLM := .venv-litellm/.installed
PORTKEY := .portkey/.installed
PHOENIX := .venv-phoenix/.installed
CLIENTS := .venv-clients/.installed
VLLM := .vllm/venv/.installed
VLLM_URL ?= http://127.0.0.1:8001

.DEFAULT_GOAL := help
.PHONY: help setup up test check bench-proxy bench-ingest bench-queries test-crash test-race test-clients test-exporters vllm test-vllm lock clean test-tools

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## create .venv from requirements.lock

up: setup  ## start everything; with no configuration, in demo mode
	@$(BIN)/spanwell up

test: setup test-tools  ## run the tests, installing chromium, redis-server and promtool if they are missing
	$(BIN)/pytest -m "not vllm and not npm" -n 2 --dist loadfile

check: setup  ## check format, lint, types and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-proxy: setup $(LITELLM) $(PORTKEY)  ## measure the proxy beside a direct call, LiteLLM's and Portkey's (LONG=1: 200,000 calls)
	@$(BIN)/python -m tests.bench.proxy --litellm .venv-litellm/bin/litellm \
		--portkey .portkey/node_modules/@portkey-ai/gateway $(if $(LONG),--long)

bench-ingest: setup $(PHOENIX)  ## measure what comes in: beside decoding in Python, at a pace, beside Phoenix
	@$(BIN)/python -m tests.bench.collector.ingest --phoenix .venv-phoenix/bin/python

bench-queries: setup  ## measure what is asked: ten million spans and a million texts; needs 10 GB in /tmp
	@$(BIN)/python -m tests.bench.collector.queries

test-crash: setup  ## kill, starve and cut off the collector for minutes; count every acknowledged span
	$(BIN)/python -m tests.crash

test-race: setup test-tools  ## race calls at a budget's edge, through two workers and through two gateways on Redis
	$(BIN)/python -m tests.proxy.limits.race

test-clients: setup $(CLIENTS)  ## call through the proxy with the newest Python and JavaScript clients; needs node and npm
	@cd tests/proxy/npm && npm ci --silent --no-fund --no-audit
	$(BIN)/pytest tests/proxy/newest tests/proxy/npm

test-exporters: setup  ## send with the stock OpenTelemetry exporters of Python and JavaScript; needs node and npm
	@cd tests/exporters && npm install --silent --no-package-lock --no-fund --no-audit
	$(BIN)/pytest tests/exporters

vllm: $(VLLM)  ## build .vllm/ and start a real vLLM server with a tiny model on 127.0.0.1:8001
	@deploy/vllm/serve.sh

test-vllm: setup  ## test proxy and collector against the vLLM server at VLLM_URL
	VLLM_URL=$(VLLM_URL) $(BIN)/pytest -m vllm tests/vllm

lock:  ## pin the dependencies of pyproject.toml, with hashes, into requirements.lock
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --quiet \
		--generate-hashes --no-emit-index-url --no-header --output-file requirements.lock
	rm -rf .venv-lock

clean:  ## remove the environments and caches; data in .spanwell/ stays
	rm -rf .venv .venv-litellm .venv-clients .portkey .venv-phoenix .venv-lock .vllm dist
	rm -rf tests/exporters/node_modules tests/proxy/npm/node_modules
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Spanwell needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Creating .venv from requirements.lock; this takes a minute or two, once"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(LITELLM):
	$(PYTHON) -m venv --clear .venv-litellm
	.venv-litellm/bin/pip install --quiet 'litellm[proxy]==1.106.2'
	@touch $@

$(PORTKEY): tests/bench/proxy/portkey/package.json
	rm -rf .portkey && mkdir .portkey && cp $< .portkey
	npm install --prefix .portkey --silent --no-fund --no-audit
	@touch $@

$(CLIENTS): tests/proxy/newest/requirements.txt
	$(PYTHON) -m venv --clear .venv-clients
	.venv-clients/bin/pip install --quiet --requirement $<
	@touch $@

$(PHOENIX):
	$(PYTHON) -m venv --clear .venv-phoenix
	.venv-phoenix/bin/pip install --quiet 'arize-phoenix==20.26.1'
	@touch $@

$(VLLM): deploy/vllm/requirements.txt
	deploy/vllm/install.sh $(PYTHON)
	@touch $@

test-tools:
	@deploy/test-tools.sh chromium redis-server promtool:prometheus
