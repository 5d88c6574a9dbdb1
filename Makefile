# make demo   the main job, from nothing: sets up, trains on the embedded task, prints and writes its board
# make test   the tests, from nothing
# make lint   ruff and mypy

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/ready
	$(BIN)/harness run --task lookright --system gazetteer --system minilm \
	  --system smollm2-unmask-0000 --system smollm2-unmask-0011 --system smollm2-unmask-1111 \
	  --system smollm2-0shot
	$(BIN)/harness leaderboard --task lookright --out build/leaderboards

test: .venv/ready
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	# mypy knows nothing of package-dir: show it the tree as it is installed
	rm -rf build/typed && mkdir -p build/typed
	cp -R harness build/typed/ && cp -R adapters tasks build/typed/harness/
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml

# pip would compile on one core alone, and where PYTHONDONTWRITEBYTECODE is set, no command what it imports of the tree;
# some packages hold files that are no Python of today
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 0 -x '/tests?/' .venv/lib harness adapters tasks > /dev/null 2>&1 || true
	touch $@

clean:
	rm -rf .venv build *.egg-info
