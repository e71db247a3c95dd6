#!/usr/bin/env bash
# Tests a host with SAR on the new classes: bash scripts/sar/base2new_test.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_test "${1-}SAR" "${@:2}"
