#!/usr/bin/env bash
# Tests JoAPR, trained by xd_train.sh, on shifted variants of its dataset: bash scripts/joapr/dg_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" dg_test JoAPR "$@"
