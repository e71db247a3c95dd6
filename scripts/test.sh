#!/usr/bin/env bash
# usage: bash scripts/test.sh [ARGUMENT ...]
# Installs what is needed (once), checks style and types, runs the tests. ARGUMENT: what pytest takes.
# environment: PYTHON; TEST_WORKERS, how many tests run side by side (2); with COVERAGE=1 the lines that the tests run are
# counted, and their share is printed
# example: bash scripts/test.sh tests/runs -x
set -eu
case ${1-} in -h | --help) sed -n 's/^# //p' "$0" && exit 0 ;; esac
CDPATH= cd "$(dirname "$0")/.."
case ${TEST_WORKERS:-2} in
  *[!0-9]* | 0) echo "error: TEST_WORKERS is '$TEST_WORKERS', but must be a whole number from 1." >&2; exit 2 ;;
esac
bash scripts/setup.sh
. scripts/python.sh
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # two workers, one thread each
set -- -n "${TEST_WORKERS:-2}" --dist loadfile "$@"
if [ "${COVERAGE:-}" != 1 ]; then exec "$PYTHON" -m pytest "$@"; fi
counted=$(mktemp -d)
trap 'rm -rf "$counted"' EXIT
export COVERAGE_FILE=$counted/coverage
code=0
"$PYTHON" -m pytest --cov --cov-report= "$@" || code=$?
echo "coverage: $("$PYTHON" -m coverage report --ignore-errors --format=total) % of the lines outside tests"
exit $code
