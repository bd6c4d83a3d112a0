# One word for each thing one does here. Every target first sets up .venv if it is missing or
# older than pyproject.toml or constraints.txt. Another Python: make test PYTHON=python3.12
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help run test quick lab check bench experiments readme card assets clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

run: $(READY)  ## run the notebook series on quick settings, into runs/quick/report.html
	$(BIN)/xraylib run --parameters notebooks/parameters/quick.yaml --out runs/quick --jobs 2

test: $(READY)  ## run the tests
	$(BIN)/pytest -n 2 --dist loadfile

quick: $(READY)  ## run the tests that train nothing and start nothing, in under a minute
	$(BIN)/pytest -n 2 -m "not slow"

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

check: $(READY)  ## check format, lint and types
	@bad=0; for tool in "ruff format --check ." "ruff check ." "mypy xraylib"; do \
		echo "$$tool"; $(BIN)/$$tool || bad=1; done; \
	test $$bad = 0 || echo "To fix: $(BIN)/ruff format . && $(BIN)/ruff check --fix ."; exit $$bad

bench: $(READY)  ## measure the speed side by side with what else there is, into benchmarks/README.md
	for name in loading augmentation training scoring predicting table; do \
		$(BIN)/python benchmarks/$$name.py || exit 1; done

experiments: $(READY)  ## go on with the table of countermeasures on made radiographs: hours
	$(BIN)/python experiments/countermeasures.py synthetic

readme: $(READY)  ## write the computed parts of README.md again
	$(BIN)/python assets/build.py readme

card: $(READY)  ## write the model card of the classifier again
	$(BIN)/python assets/build.py card

assets: $(READY)  ## draw the pictures of README.md again
	$(BIN)/python assets/build.py figures

clean:  ## remove .venv and caches; runs/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing into .venv: a few minutes the first time"
	@$(BIN)/python -c '$(FITS)' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,dicom,export]'
	@touch $@
