#!/usr/bin/env bash
# From nothing to a first table: installs what is needed (once), then runs ZeroshotCLIP, CoOp and ANPrompt base-to-new
# on the embedded suite with three seeds, and prints Base / New / HM. Further arguments go to bench.base2new.
set -eu
cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/python.sh
exec "$PYTHON" -m bench.base2new --methods ZeroshotCLIP CoOp ANPrompt \
  --datasets digits shapes textures letters objects --seeds 1 2 3 --output output/demo "$@"
