#!/usr/bin/env bash
# Installs what is needed (once), checks style, runs the tests. Further arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/python.sh
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # two workers, one thread each
exec "$PYTHON" -m pytest -n "${TEST_WORKERS:-2}" --dist loadfile "$@"
