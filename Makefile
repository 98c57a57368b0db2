# Two commands matter: `make run` serves, `make test` tests. Everything else is listed by `make help`.

PYTHON ?= python3
PIP = .venv/bin/python -m pip install --disable-pip-version-check --quiet
NODE_MODULES = tests/node_modules/.package-lock.json
# Programs of the environment (node, npm, ruff) come first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test test-long bench doctor lock docs check install-needs

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' Makefile

run: .venv/demo ## Serve the provider, a sample product, a sample company, social stand-ins and a mailbox, until Ctrl-C
	@.venv/bin/python deploy/demo/run_demo.py

test: .venv/test install-needs $(NODE_MODULES) check ## Everything that must hold: style, types, documents, all tests
	.venv/bin/python -m pytest -m "not long" --numprocesses auto --dist loadfile $(ARGS)

test-long: .venv/test install-needs $(NODE_MODULES) ## The big runs: millions of rows, long loads
	.venv/bin/python -m pytest -m long --timeout 3600 $(ARGS)

bench: .venv/test install-needs $(NODE_MODULES) ## Measure speed beside the machine's limits and a peer
	.venv/bin/python -m tests.bench $(ARGS)

doctor: .venv/test ## Does any form tell who has an account, by its answer or by its time? About two minutes, on a machine at rest
	GOOGLE_SECRET=nothing-secret IDP_ISSUER=http://localhost:8000 IDP_PROVIDERS=tests/admin/providers.yaml \
		.venv/bin/python -m idp doctor enumeration

lock: .venv/made ## Resolve the dependencies anew into deploy/requirements.txt
	$(PIP) --editable '.[lock]'
	.venv/bin/uv pip compile setup.cfg --universal --python-version 3.11 --generate-hashes \
		--upgrade --quiet --custom-compile-command "make lock" --output-file deploy/requirements.txt

docs: .venv/test ## Generate the documents that come from the code
	.venv/bin/python docs/generate.py

# Style and types; the generated documents are compared by the tests.
check: .venv/test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

install-needs:
	@$(PYTHON) tests/needs.py

# --- the environment -----------------------------------------------------------------------------------------------------

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.13'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv; \
		else \
			echo 'This Python comes without venv. Once: sudo apt-get install python3-venv'; exit 1; \
		fi
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/demo: setup.cfg pyproject.toml .venv/made
	@echo 'Installing packages into .venv, about a minute …'
	@$(PIP) --editable '.[demo]'
	@touch $@

.venv/test: setup.cfg pyproject.toml .venv/made
	@echo 'Installing packages into .venv, about a minute …'
	@$(PIP) --editable '.[demo,test]'
	@touch .venv/demo
	@touch $@

$(NODE_MODULES): tests/package-lock.json .venv/test
	@echo 'Installing the counterparties of the tests …'
	@npm ci --prefix tests --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
