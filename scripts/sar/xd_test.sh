#!/usr/bin/env bash
# Tests a host with SAR on other datasets: bash scripts/sar/xd_test.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_test "${1-}SAR" "${@:2}"
