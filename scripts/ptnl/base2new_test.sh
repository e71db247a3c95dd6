#!/usr/bin/env bash
# Tests the trained PTNL on the new classes: bash scripts/ptnl/base2new_test.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_test PTNL "$@"
