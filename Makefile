# make demo   a first model, served, in minutes        make test   everything CI runs
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHON ?= python3.11
BIN := .venv/bin
STARTER := training/data/starter
DEMO := artifacts/demo
PORT ?= 3000
# further options for `feedback train` in the demo, e.g. TRAIN='--encoder none'
TRAIN ?=

.PHONY: help install demo labelstudio bench bench-quality bench-labels bench-store test coverage soak chromium browser lint clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

.venv/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/installed
	@$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

# Label Studio wants versions that this project cannot use: it has an environment of its own, of 1 GB
.venv-labelstudio/installed: labeling/server-constraints.txt
	@test -x .venv-labelstudio/bin/python || $(PYTHON) -m venv .venv-labelstudio
	.venv-labelstudio/bin/python -m pip install --disable-pip-version-check --constraint $< label-studio
	touch $@

install: .venv/installed  ## the environment in .venv

# the model is kept when only the environment changed
$(DEMO)/manifest.json: | .venv/installed
	@$(BIN)/feedback train --data $(STARTER)/train.jsonl --dev $(STARTER)/dev.jsonl --labels models/labels.toml \
		--config $(STARTER)/demo.toml --out $(DEMO) --overwrite $(TRAIN)

demo: $(DEMO)/manifest.json  ## train on the starter data, measure, store, show a digest, serve; ONCE=1 stops then
	@$(BIN)/feedback evaluate --model $(DEMO) --data $(STARTER)/test.jsonl
	export FEEDBACK_MODEL=$(DEMO) FEEDBACK_STORE=sqlite:///artifacts/demo.db
	rm -f artifacts/demo.db*
	$(BIN)/feedback import $(STARTER)/test.jsonl
	$(BIN)/feedback deliver digest
	$(BIN)/feedback serve --port $(PORT) --samples $(STARTER)/samples.jsonl $(if $(ONCE),--once)

# where it listens
LABEL_PORT ?= 8080
labelstudio: .venv/installed .venv-labelstudio/installed  ## a Label Studio of your own with some tasks, to try it
	@$(BIN)/feedback label studio --samples $(STARTER)/samples.jsonl --port $(LABEL_PORT) $(if $(ONCE),--once)

# folder with the public sets, which are not shipped
DATA ?= data
bench-quality: .venv/installed-test  ## models over the public sets in DATA=folder, beside SetFit
	@$(BIN)/feedback bench quality --data $(DATA)

bench-labels: .venv/installed $(if $(LABEL_STUDIO_BIN),,.venv-labelstudio/installed)  ## what corrections are worth over the public sets in DATA=folder, in a real Label Studio
	@$(BIN)/feedback label bench worth --data $(DATA)

bench-store: $(DEMO)/manifest.json  ## taking in, delivering, asking a million items; STORE=postgresql://… for another
	@$(BIN)/feedback deliver bench --model $(DEMO) $(if $(STORE),--store $(STORE))

# a model with an encoder, and one of n-grams alone; BENCH_ROUNDS=1 is quick and rough
BENCH_ROUNDS ?= 5
BENCH := artifacts/bench
$(BENCH)/linear/manifest.json: | .venv/installed
	@$(BIN)/feedback train --data $(STARTER)/train.jsonl --dev $(STARTER)/dev.jsonl --labels models/labels.toml \
		--encoder none --out $(BENCH)/linear

bench: .venv/installed-test $(DEMO)/manifest.json $(BENCH)/linear/manifest.json  ## speed of model, training, service, files and start, beside others
	@$(BIN)/feedback bench speed --model $(DEMO) --rounds $(BENCH_ROUNDS) --out $(BENCH)
	$(BIN)/feedback bench training --seeds $(BENCH_ROUNDS) --set threads=1 --out $(BENCH)/training.json
	$(BIN)/feedback bench service --model $(DEMO) --seconds 10 --timeout 10 --repeats $(BENCH_ROUNDS) --out $(BENCH)
	$(BIN)/feedback bench files --model $(BENCH)/linear --repeats $(BENCH_ROUNDS) --threads 1 --out $(BENCH)/files.json
	$(BIN)/feedback bench start --model $(DEMO) --repeats $(BENCH_ROUNDS) --out $(BENCH)/start.json
	$(BIN)/feedback bench summary --out $(BENCH)

lint: .venv/installed-test  ## linters, types, import contracts
	@$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# in the order of their names: the longest files, which have few tests, would else come last and leave a core idle
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# a Label Studio that is elsewhere is named in LABEL_STUDIO_BIN
test: lint chromium $(if $(LABEL_STUDIO_BIN),,.venv-labelstudio/installed)  ## all of lint, and the tests
	@$(PYTEST)

coverage: .venv/installed-test chromium $(if $(LABEL_STUDIO_BIN),,.venv-labelstudio/installed)  ## the tests, and which lines they run; takes half as long again
	@$(PYTEST) --cov --cov-report term:skip-covered

# options for a run, e.g. SOAK='--kills 200 --items 20000 --seed 7'
SOAK ?=
soak: .venv/installed-test  ## kill service and worker 50 times over 5,000 items, on SQLite and on PostgreSQL
	@$(BIN)/python tests/kills.py --store sqlite $(SOAK)
	$(BIN)/python tests/kills.py --store postgresql $(SOAK)

chromium:  ## the browser that one test drives, from Debian's packages
	@.ci/chromium

browser: .venv/installed-test .venv-labelstudio/installed chromium  ## that test alone; leaves pictures in artifacts/browser
	@$(BIN)/pytest tests/test_labelstudio_browser.py

clean:  ## remove environment, models and caches
	rm -rf .venv .venv-labelstudio artifacts .mypy_cache .ruff_cache .hypothesis .coverage*
