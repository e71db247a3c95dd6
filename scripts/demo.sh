#!/usr/bin/env bash
# usage: bash scripts/demo.sh [OPTION ...]
# From nothing to a first table: installs what is needed (once), then runs ZeroshotCLIP, CoOp and ANPrompt base-to-new
# on the embedded suite with three seeds, and prints Base / New / HM. OPTION: further ones of bench.base2new.
# example: bash scripts/demo.sh --jobs 2
set -eu
case ${1-} in -h | --help) sed -n 's/^# //p' "$0" && exit 0 ;; esac
CDPATH= cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/python.sh
exec "$PYTHON" -m bench.base2new --methods ZeroshotCLIP CoOp ANPrompt \
  --datasets digits shapes textures letters objects --seeds 1 2 3 --output output/demo "$@"
