# Everything that a fresh clone needs: git, make and Python 3.11 or later.
# `make demo` and `make test` build .venv with the standard library's venv and pip.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Exact versions, so that two machines run the same.
PINNED := -c requirements/dev.txt
# What needs no PostgreSQL, no processes and no seconds of waiting, in the files that OF names; what
# ARGS picks runs in this process, whatever it needs. The conftest of tests/browser needs playwright,
# which the gate installs.
named = $(filter-out tests/browser/%,$(wildcard tests/*/test_$(1)*.py))
FILES := $(foreach name,$(OF),$(or $(call named,$(name)),$(error no fast tests/*/test_$(name)*.py)))
FAST := $(if $(ARGS),$(ARGS),-m 'not gate and not full' -n 3 --dist loadscope $(FILES))
# What the tests of integrations run is not measured by `make test`: they need the gate's libraries.
UNMEASURED := src/remit/integrations/*,src/remit/otel/*,tests/integrations/*,tests/scenarios.py,tests/model_clients.py
# CI imports little of what pip would compile; Python compiles that itself.
UNCOMPILED := $(if $(CI),--no-compile)
# The same sessions as nox runs, in .venv instead of an environment for each.
NOX := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nox --no-venv -s

# Interpreters to try, best first. A version manager's shim may be there and still not run. Libraries of
# the gate and of the tools have no wheels for 3.15 yet: ddtrace, the pinned numpy, zstandard.
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python3.15 python

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test gate full lint types lowest docs pictures package bench requirements clean

help: ## say what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-13s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## run the example agent and show what was recorded
	@$(BIN)/remit demo

test: $(VENV)/.test ## run the tests of a desk; OF=spool: of these files; ARGS="-k name" picks some of all
	@if [ "$(CI)" = true ]; then \
	  $(BIN)/python -m coverage run -m pytest --strict-skips $(FAST) \
	  && $(BIN)/coverage combine --quiet && $(BIN)/coverage report --omit '$(UNMEASURED)'; \
	else $(BIN)/python -m pytest $(FAST); fi

gate: $(VENV)/.gate ## run the tests with processes, PostgreSQL and broken back ends
	@$(BIN)/python -m pytest --strict-skips -m 'gate and not full and not browser' -n 4 --dist loadscope $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m pytest --strict-skips tests/browser -n 3 --dist loadscope)

full: $(VENV)/.dev ## run the tests with all that they can do, on each Python; takes hours
	@REMIT_TEST_FULL=1 REMIT_TEST_SCRIPTS=5 REMIT_TEST_KILLS=50 REMIT_TEST_API_EXAMPLES=120 \
	REMIT_TEST_MODEL_EXAMPLES=1000 REMIT_TEST_FORKS=200 REMIT_TEST_ASKS=1000 \
	REMIT_TEST_SPANS=1000000 REMIT_TEST_STOP_S=60 \
	$(BIN)/python -m coverage run --branch -m pytest -m "not browser" --timeout 7200 $(ARGS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report --fail-under=97
	@$(BIN)/nox -s lowest pythons
	@$(MAKE) bench ARGS=--quick

lint: $(VENV)/.dev ## check style, format, floors and changelog fragments
	@$(NOX) lint

types: $(VENV)/.dev ## check types with mypy and pyright
	@$(NOX) types

lowest: $(VENV)/.dev ## run the tests of Python 3.11, on the lowest versions of the libraries
	@$(BIN)/nox -s lowest

docs: $(VENV)/.dev ## build the documentation into build/site
	@$(NOX) docs

pictures: $(VENV)/.dev ## draw the pictures of the page in docs/pictures
	@$(BIN)/python -m tools.pictures

package: $(VENV)/.dev ## build the sdist and the wheel and try the wheel
	@$(NOX) package

bench: $(VENV)/.dev ## measure, side by side with peers; ARGS=--quick for a little of it
	@$(NOX) bench $(if $(ARGS),-- $(ARGS))

requirements: $(BIN)/python ## write down the versions that are installed now
	@$(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools \
	| grep -E '^[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+$$' > requirements/dev.txt.new
	@mv requirements/dev.txt.new requirements/dev.txt

clean: ## remove what these targets made
	rm -rf $(VENV) .nox .pythons .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
	  .pytest_cache .ruff_cache build dist htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What each target needs: remit itself, the fast tests' libraries, those of the gate, every tool.
# The build backend comes first, so that the project is built with the pinned one.
$(VENV)/.demo: EXTRAS := collector
$(VENV)/.test: EXTRAS := all,test
$(VENV)/.gate: EXTRAS := all,test-gate
$(VENV)/.dev: EXTRAS := all,dev
$(VENV)/.gate: HOLDS := $(VENV)/.test
$(VENV)/.dev: HOLDS := $(VENV)/.test $(VENV)/.gate
$(VENV)/.demo $(VENV)/.test $(VENV)/.gate $(VENV)/.dev: $(BIN)/python pyproject.toml requirements/dev.txt
	@echo "installing remit[$(EXTRAS)] into $(VENV)"
	@$(PIP) install --quiet $(UNCOMPILED) $(PINNED) hatchling editables
	@$(PIP) install --quiet $(UNCOMPILED) $(PINNED) --no-build-isolation --editable '.[$(EXTRAS)]'
	@touch $@ $(HOLDS)

$(BIN)/python:
	@for python in $(PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  found="$$python"; \
	  "$$python" -c 'import ensurepip, sqlite3, ssl, venv' 2>/dev/null || continue; \
	  echo "making $(VENV) with $$("$$python" -V) ($$python)"; \
	  "$$python" -m venv $(VENV) && exit 0; \
	  rm -rf $(VENV); exit 1; \
	done; \
	if [ -n "$$found" ]; then \
	  echo "remit: $$found lacks ensurepip, venv, sqlite3 or ssl; install the rest of it" >&2; \
	  echo "       (Debian and Ubuntu: apt-get install python3-venv)" >&2; \
	else \
	  echo "remit: Python 3.11 or later is needed; none of these is one: $(PYTHONS)" >&2; \
	fi; exit 1
