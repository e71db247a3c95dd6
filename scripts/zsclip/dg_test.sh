#!/usr/bin/env bash
# Tests zero-shot CLIP on shifted variants of the source dataset: bash scripts/zsclip/dg_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" dg_test ZeroshotCLIP "$@"
