# Every command of this repository; `make` alone lists them. Each one makes the environment it needs in .venv.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check install bench openapi format lock clean

PYTHON ?= python3
# Where nobody named a Python and python3 is too old, a newer one beside it will do.
PYTHONS := $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.13 python3.12 python3.11)
PY := .venv/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# A moved or copied checkout would still run the code of its old place.
ifneq ($(wildcard .venv/.made),)
ifneq ($(shell cat .venv/.made),$(CURDIR))
$(shell rm -f .venv/.made)
endif
endif

help:    ## list these targets
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

demo: .venv/.server    ## run the whole loop on a sample product and show what happens (EXIT=1: end when it is done)
	@$(PY) -m trimtab demo $(if $(EXIT),--exit)

test: .venv/.dev    ## run every test on all cores (ARGS="-k redact" is handed to pytest)
	$(PY) -m pytest -n auto $(ARGS)

check: .venv/.dev    ## lint, format, types and the floors of the architecture; all four, then the verdict
	@failed=; \
	run() { echo "== $$*"; "$$@" || failed="$$failed  $$*;"; }; \
	run .venv/bin/ruff check .; \
	run .venv/bin/ruff format --check .; \
	run .venv/bin/mypy; \
	run .venv/bin/lint-imports --no-logo; \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed"; exit 1; fi; echo "All four are clean."

install: .venv/.server    ## install Trimtab with its server into .venv
	@echo "Installed. Start with: .venv/bin/trimtab --help"

bench: .venv/.dev    ## run every bench: each prints a table and writes its JSON to benches/results/
	@for bench in benches/bench_*.py; do echo "== $$bench"; $(PY) "$$bench" || exit 1; done

openapi: .venv/.server    ## rewrite docs/openapi.json from the routes and records
	@$(PY) -c 'from pathlib import Path; from trimtab.server import app, openapi; \
	  Path("docs/openapi.json").write_bytes(openapi.encoded(app.ROUTES, app.API_VERSION))'

format: .venv/.dev    ## rewrite the sources as `make check` wants them, as far as a machine can
	@.venv/bin/ruff check --fix-only --quiet . ; .venv/bin/ruff format .

lock: .venv/.made    ## resolve constraints.txt again from pyproject.toml (UPGRADE=1: to the newest versions)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --extra server --extra postgres --extra dev --no-annotate \
	  --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --output-file constraints.txt pyproject.toml
	@echo "constraints.txt is up to date."

clean:    ## remove .venv, caches and build results
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benches -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Trimtab needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; \
	fi; \
	echo "Making .venv with $$("$$python" --version)."; \
	if ! "$$python" -m venv --clear .venv; then \
	  rm -rf .venv; \
	  echo "Python could not make a virtual environment (see above)." >&2; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv, then the same command again." >&2; exit 1; \
	fi; \
	printf '%s\n' "$(CURDIR)" > .venv/.made

.venv/.server: .venv/.made pyproject.toml constraints.txt
	@echo "Installing Trimtab and its server into .venv (about a minute the first time)."
	@$(PIP_INSTALL) --editable '.[server]'
	@touch $@

.venv/.dev: .venv/.made pyproject.toml constraints.txt
	@echo "Installing Trimtab, its server and the tools for its tests into .venv (about a minute the first time)."
	@$(PIP_INSTALL) --editable '.[server,dev]'
	@touch .venv/.server $@
