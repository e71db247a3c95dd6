#!/usr/bin/env bash
# Tests CoOp, trained by xd_train.sh, on other datasets: bash scripts/coop/xd_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_test CoOp "$@"
