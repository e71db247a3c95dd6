#!/usr/bin/env bash
# Tests the trained NLPrompt on the new classes: bash scripts/nlprompt/base2new_test.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_test NLPrompt "$@"
