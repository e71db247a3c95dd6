#!/usr/bin/env bash
# Tests MMRL, trained by noise_xd_train.sh, on other datasets: bash scripts/mmrl/noise_xd_test.sh TARGET SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_xd_test MMRL "$@"
