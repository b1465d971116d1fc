# make setup   install everything into .venv   (PYTHON=python3.12 make setup)
# make demo    train and evaluate a small Cascade Mask R-CNN, draw its predictions
# make test    the fast tests                  (make test-slow: the long ones)
# make test-oldest  the fast tests on the oldest supported versions, in .venv-oldest
# make lint    ruff, codespell and mypy
# make dist    wheel and sdist into dist/, checked
# make mmcv-ops  compile mmcv's own ops, for models that need more than is served

PYTHON ?= python3
VENV := .venv
CONSTRAINTS := constraints.txt
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := configs/det/cascade_convnext_atto_demo.py

.PHONY: setup demo test test-slow test-oldest lint dist mmcv-ops
.DELETE_ON_ERROR:

setup: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v[:2] <= (3, 14))' \
		|| { echo "$(PYTHON) is not Python 3.10 to 3.14: PYTHON=python3.12 make setup"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "no venv module: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --upgrade pip -c $(CONSTRAINTS) setuptools wheel
	$(BIN)/python -m pip install -c $(CONSTRAINTS) torch torchvision
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e '.[all,test,dev]'
	@# mmcv asks for opencv-python, which needs libGL, which servers and containers
	@# often lack; mmdet, through imaug, for opencv-python-headless. Both write the
	@# folder cv2, and which of them is the last is pip's choice: headless shall be.
	@# opencv-python stays on pip's list: uninstalled, it would be a broken requirement
	@# in `pip check`, and the next `pip install` would bring it back, above headless.
	@$(BIN)/python -c 'from cv2.version import headless; assert headless' 2>/dev/null \
		|| $(BIN)/python -m pip install --force-reinstall --no-deps \
			-c $(CONSTRAINTS) opencv-python-headless
	$(BIN)/python -c 'import convnext_backbone, mmcv.ops, mmdet, mmseg'
	@touch $@

demo: setup
	$(BIN)/python tools/make_demo_data.py data/demo
	$(BIN)/python tools/train.py $(DEMO) --work-dir work_dirs/demo --seed 0 --resume
	$(BIN)/python tools/test.py $(DEMO) work_dirs/demo --work-dir work_dirs/demo \
		--show-dir work_dirs/demo
	@echo "Ground truth beside prediction: work_dirs/demo/contact_sheet.png"

test: setup
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -m slow

test-oldest:
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

dist: setup
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python .ci/check_dist.py dist

mmcv-ops: setup
	$(BIN)/python tools/build_mmcv_ops.py
