#!/usr/bin/env bash
# Tests the trained VisPrompt on the new classes: bash scripts/visprompt/base2new_test.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_test VisPrompt "$@"
