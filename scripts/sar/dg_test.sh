#!/usr/bin/env bash
# Tests a host with SAR on shifted variants: bash scripts/sar/dg_test.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" dg_test "${1-}SAR" "${@:2}"
