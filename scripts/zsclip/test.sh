#!/usr/bin/env bash
# Tests zero-shot CLIP where the test-time methods are tested, clean or attacked by PGD: the undefended row:
# bash scripts/zsclip/test.sh DATASET SEED [EPS STEPS] [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" test_time ZeroshotCLIP "$@"
