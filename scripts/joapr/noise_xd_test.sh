#!/usr/bin/env bash
# Tests JoAPR, trained by noise_xd_train.sh, on other datasets: bash scripts/joapr/noise_xd_test.sh TARGET SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_xd_test JoAPR "$@"
