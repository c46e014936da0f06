# Every target works on a fresh machine with Python 3.11+, make and git: .venv is made if missing.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export NO_ALBUMENTATIONS_UPDATE := 1
INSTALLED := .venv/.installed
TOOLS := .venv/.installed-dev
SERVING := .venv/.installed-serve
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install repro apply serve test test-fast lint deps table report clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## make .venv with what a run needs, pinned

$(INSTALLED): requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt
	touch $@

$(TOOLS): requirements-dev.txt $(INSTALLED)
	$(PIP) -r requirements-dev.txt
	touch $@

$(SERVING): requirements-serve.txt $(INSTALLED)
	$(PIP) -r requirements-serve.txt
	touch $@

repro: $(INSTALLED)  ## run what is not up to date, to the report; DATA=folder: on your own data
ifdef DATA
	python -m experiments.own_data "$$DATA"
else
	dvc repro
	@echo && cat reports/results.md && echo && echo "Report: $(CURDIR)/reports/index.html"
endif

apply: $(INSTALLED)  ## find objects in images: MODEL=NAME.maskline.zip IMAGES='files folders' OUT=found
	@test -n "$$MODEL" -a -n "$$IMAGES" || { echo "say MODEL=NAME.maskline.zip IMAGES='files, folders or patterns'"; exit 1; }
	python -m deploy.apply "$$MODEL" $$IMAGES --out "$${OUT:-found}"

serve: $(SERVING)  ## show a page to try a model: MODEL=NAME.maskline.zip PORT=8000
	@test -n "$$MODEL" || { echo "say MODEL=NAME.maskline.zip"; exit 1; }
	python -m deploy.serve "$$MODEL" --port "$${PORT:-8000}"

test: $(TOOLS) lint  ## lint and all tests, on all cores
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-fast: $(TOOLS)  ## the tests that take seconds, on all cores
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 python -m pytest -n auto -m "not slow"

lint: $(TOOLS)  ## check style, format, what make deps writes, and types
	ruff check .
	ruff format --check .
	python -m tools.deps --check
	python -m tools.architecture --check
	pyright

deps: $(INSTALLED)  ## write what follows from imports: the lists of dvc.yaml, docs/architecture.md
	python -m tools.deps
	python -m tools.architecture

table: $(INSTALLED)  ## the experiments, best first, with what they changed
	@test -n "$$(dvc exp list --name-only)" || { echo "No experiment starts from this commit. Run one:"; \
		echo "  dvc exp run --temp -n focal -S loss.bce_weight=0 -S loss.focal_weight=1"; \
		echo "or a recipe or an ablation (docs/ablations.md): python -m experiments.run tta"; exit 1; }
	@dvc exp show --md --only-changed --hide-workspace --hide-failed --sort-by oof.ap50 --sort-order desc \
		--drop '.*(/|\.py$$|\.json|\.ap$$|ap75|ar50|_small|_large|_clean|precision|recall|accuracy|iou_mean|\.pq$$|ece|images$$|objects$$|detections$$|Created)'

report: $(INSTALLED)  ## draw the report again
	dvc repro ablation_report

clean:  ## remove everything that can be made again, but not the data and models of other runs
	rm -rf .venv .tensorboard .dvclive dvc_plots .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
