#!/usr/bin/env bash
# Tests zero-shot CLIP on other datasets: bash scripts/zsclip/xd_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_test ZeroshotCLIP "$@"
