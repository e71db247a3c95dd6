#!/usr/bin/env bash
# Tests SAR on a host, trained by noise_xd_train.sh, on other datasets: bash scripts/sar/noise_xd_test.sh HOST TARGET SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_xd_test "${1-}SAR" "${@:2}"
