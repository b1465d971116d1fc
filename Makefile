# make setup   install everything into .venv   (PYTHON=python3.12 make setup)
# make demo    train and evaluate a small Cascade Mask R-CNN, draw its predictions
# make test    the fast tests                  (make test-slow: the long ones)
# make lint    ruff and codespell
# make mmcv-ops  compile mmcv's own ops, for models that need more than is served

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := configs/det/cascade_convnext_atto_demo.py

.PHONY: setup demo test test-slow lint mmcv-ops
.DELETE_ON_ERROR:

setup: $(INSTALLED)

$(INSTALLED): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v[:2] <= (3, 12))' \
		|| { echo "$(PYTHON) is not Python 3.10 to 3.12: PYTHON=python3.12 make setup"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "no venv module: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --upgrade pip -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install -c constraints.txt torch torchvision
	$(BIN)/python -m pip install -c constraints.txt -e '.[onedl,test]'
	@# opencv-python needs libGL, which servers and containers often lack.
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(BIN)/python -m pip install \
		--force-reinstall --no-deps -c constraints.txt opencv-python-headless
	$(BIN)/python -c 'import convnext_backbone, mmcv.ops, mmdet, mmseg'
	@touch $@

demo: setup
	$(BIN)/python tools/make_demo_data.py data/demo
	$(BIN)/python tools/train.py $(DEMO) --work-dir work_dirs/demo --seed 0 --resume
	$(BIN)/python tools/test.py $(DEMO) work_dirs/demo --work-dir work_dirs/demo \
		--show-dir work_dirs/demo
	@echo "Ground truth beside prediction: work_dirs/demo/contact_sheet.png"

test: setup
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

mmcv-ops: setup
	$(BIN)/python tools/build_mmcv_ops.py
