#!/usr/bin/env bash
# Tests the trained DPSEP on the new classes: bash scripts/dpsep/base2new_test.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_test DPSEP "$@"
