# `make` lists the targets. Variables are taken from the command line or the environment.

EXAMPLES ?= 2000
REPORT ?= report
BASE_PYTHON ?= python3

ifeq ($(strip $(PYTHON)),)
python := .venv/bin/python
ready := .venv/ready
else
python := "$(PYTHON)"
ready :=
endif

runtime := numpy scipy torch hypothesis jinja2
cupy := $(if $(filter Linux,$(shell uname)),cupy)

# The checkout's own code, whichever interpreter runs it: an installed script might belong to another one.
refgrad = $(python) -c 'import sys; from oracle.cli import main; sys.exit(main())'

.PHONY: help fuzz test conformance lint bench clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  EXAMPLES=$(EXAMPLES)  programs to run; REPORT=$(REPORT): the page's folder; SEED=K, JOBS=N: as refgrad fuzz --help says"
	@echo "  ARGS='...'     further arguments to refgrad fuzz or to pytest"
	@echo "  PYTHON=PATH    use this interpreter, which has all that is needed, and no .venv"
	@echo "  BASE_PYTHON=$(BASE_PYTHON)  builds .venv, which fuzz, test and lint do where it is missing or stale"

fuzz: $(ready) ## fuzz refgrad against torch.autograd and write the page
	$(call needs,$(runtime) +)
	@$(refgrad) fuzz --examples $(EXAMPLES) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) --report "$(REPORT)" $(ARGS)

test: $(ready) ## run the test suite
	$(call needs,$(runtime) pytest xdist packaging $(cupy) +)
	$(python) -m pytest -n auto $(ARGS)

conformance: $(ready) ## run all samples of torch's operator database
	$(call needs,$(runtime) expecttest +)
	@$(refgrad) ops $(ARGS)

lint: $(ready) ## ruff and mypy
	$(call needs,$(runtime) ruff mypy)
	$(python) -m ruff check
	$(python) -m mypy

bench: $(ready) ## measure: ratios inside one run
	$(call needs,$(runtime) autograd +)
	OMP_NUM_THREADS=1 $(python) -m tests.bench $(ARGS)

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An interpreter without arguments says what it is; with some, whether it can import them ("+": has refgrad's
# entry points). No newer syntax than Python 2's, so that any version gets as far as the message.
define INTERPRETER
import sys
if sys.version_info < (3, 11):
    sys.exit("refgrad needs Python 3.11 or newer, and %s is %s: name one with make $(if $(ready),BASE_PYTHON,PYTHON)=/path/to/python"
             % (sys.executable, ".".join(map(str, sys.version_info[:3]))))
from importlib import metadata, util
if len(sys.argv) == 1:
    print(sys.version.split()[0], sys.base_prefix)
missing = [name for name in sys.argv[1:] if name != "+" and util.find_spec(name) is None]
if "+" in sys.argv and not any(metadata.distributions(name="refgrad")):
    missing.append("refgrad's own entry points")
if missing:
    sys.exit("PYTHON=%s lacks %s: equip it (%s -m pip install -c constraints.txt -e '.[test]') or leave PYTHON out"
             % (sys.executable, ", ".join(missing), sys.executable))
endef
export INTERPRETER

inspect = { command -v "$(1)" >/dev/null || { echo "$(1): no such program; refgrad needs Python 3.11 or newer" >&2; exit 1; }; \
	"$(1)" -c "$$INTERPRETER" $(2); }
needs = $(if $(ready),,@$(call inspect,$(PYTHON),$(1)))

# The stamp says what .venv was made from: interpreter, place, version and pins. It is written last, so that
# an install that failed or was interrupted leaves none and the next run starts afresh. Of the two variables,
# old pips hold what they build with to the first, new ones to the second.
.venv/ready: FORCE
	@home=$$($(call inspect,$(BASE_PYTHON))) || exit 1; \
	made_from="$$home $$(pwd) $$({ cat pyproject.toml constraints.txt && grep __version__ refgrad/__init__.py; } | cksum)"; \
	[ "$$made_from" = "$$(cat $@ 2>/dev/null)" ] && exit 0; \
	echo "building .venv with Python $$home"; \
	rm -f $@ && \
	"$(BASE_PYTHON)" -m venv --clear .venv && \
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
		.venv/bin/python -m pip install --disable-pip-version-check -e '.[test]' && \
	echo "$$made_from" > $@
