# make demo PROMPT="a red apple"   set everything up, draw a picture, say where it is
# make test                        set everything up, run the whole test suite
# make check                       ruff, mypy, floors, fast tests, one real pipe: a minute and a half
# make bench / train               measure / train pocket again (its decoder wants a GPU, see models/TRAINING.md)
# make install / clean             only set up / remove what the targets made

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
BIN = $(VENV)/bin
PYTEST = pytest -n logical --maxprocesses 4 --dist worksteal
RECIPE ?= models/pocket/recipe.toml
export PROMPT ?= a red apple
export SEED ?= 0

.PHONY: demo test check bench train install dev clean

demo: install
	@$(BIN)/janus draw "$$PROMPT" --seed "$$SEED" --force -o "$(CURDIR)/{prompt}.png"

test: dev
	$(BIN)/python -m $(PYTEST)

check: dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/ruff format --check .
	$(BIN)/python -m $(PYTEST) -m "not slow"
	$(BIN)/janus tokenize text "a red apple" | $(BIN)/janus generate -q | $(BIN)/janus denoise -q \
	  | $(BIN)/janus upsample -q | $(BIN)/janus decode -q | $(BIN)/janus tokenize image -q | $(BIN)/janus info

bench: dev
	$(BIN)/python -m bench

train: dev
	$(BIN)/janus train $(RECIPE) --resume

install: $(VENV)/.installed
dev: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[train,dev]"
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
