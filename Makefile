# The two that matter: make demo, make test.
PYTHON ?= /usr/bin/python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help demo test lint check format images cluster cluster-down bench bench-agent bench-hintsvc bench-operator generate lock clean

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(STAMP) ## apply a policy on a real cluster and watch it pace a stream (CLUSTER=existing|kind|bare)
	$(BIN)/python -m e2e.demo $(if $(CLUSTER),--cluster $(CLUSTER))

test: $(STAMP) lint ## everything that CI runs
	$(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP) ## style, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tokenflow_api.crdgen --check
	$(BIN)/python -m tokenflow_api.reference --check
	$(BIN)/python -m tokenflow_operator.permissions --check

format: $(STAMP) ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

images: $(STAMP) ## build all images
	$(BIN)/python -m e2e.images

cluster: $(STAMP) ## bring up three nodes on this machine
	$(BIN)/python -m e2e.cluster up

cluster-down: $(STAMP) ## take them away
	$(BIN)/python -m e2e.cluster down

bench: $(STAMP) ## measure what pacing does for readers, and write docs/benchmarks.md and its report (ARGS=--fresh)
	$(BIN)/python -m e2e.bench.pacing --results docs/benchmarks/pacing $(ARGS)
	$(BIN)/python -m e2e.bench.pacing.report --results docs/benchmarks/pacing \
	  --markdown docs/benchmarks.md --html docs/benchmarks/pacing.html

bench-agent: $(STAMP) ## measure the node agent, and write docs/benchmarks/agent.md
	$(BIN)/python -m e2e.bench.agent --markdown docs/benchmarks/agent.md --json docs/benchmarks/agent.json

bench-hintsvc: $(STAMP) ## measure the hint service, and write docs/benchmarks/hintsvc.md
	$(BIN)/python -m e2e.bench.hintsvc --markdown docs/benchmarks/hintsvc.md --json docs/benchmarks/hintsvc.json

bench-operator: $(STAMP) ## measure the operator, and write docs/benchmarks/operator.md
	$(BIN)/python -m e2e.bench.operator --markdown docs/benchmarks/operator.md --json docs/benchmarks/operator.json

generate: $(STAMP) ## write the CRDs and their reference from the models, and the operator's rights from its table
	$(BIN)/python -m tokenflow_api.crdgen
	$(BIN)/python -m tokenflow_api.reference
	$(BIN)/python -m tokenflow_operator.permissions

COMPILE := $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

lock: $(STAMP) ## resolve all dependencies anew, with hashes
	@for pair in tests:dev operator:operator agent:agent hintsvc:hintsvc,gateway; do \
	  folder=$${pair%%:*}; extras=$${pair#*:}; \
	  $(COMPILE) pyproject.toml $$(echo $$extras | sed 's/[^,]*/--extra &/g; s/,/ /g') \
	    $$([ $$folder = tests ] || echo --constraints tests/requirements.lock) \
	    --output-file $$folder/requirements.lock; \
	done
	@echo hatchling | $(COMPILE) - --constraints tests/requirements.lock --output-file build.lock
	@$(COMPILE) e2e/clients/langchain/requirements.in --output-file e2e/clients/langchain/requirements.lock
	@npm install --prefix e2e/clients/node --package-lock-only --ignore-scripts --no-audit --no-fund

clean: ## remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# bcc is a package of the distribution (python3-bpfcc), so the environment sees the system's packages.
$(STAMP): pyproject.toml tests/requirements.lock
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r tests/requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
