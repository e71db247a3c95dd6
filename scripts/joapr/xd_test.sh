#!/usr/bin/env bash
# Tests JoAPR, trained by xd_train.sh, on other datasets: bash scripts/joapr/xd_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_test JoAPR "$@"
