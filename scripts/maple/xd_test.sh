#!/usr/bin/env bash
# Tests MaPLe, trained by xd_train.sh, on other datasets: bash scripts/maple/xd_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_test MaPLe "$@"
