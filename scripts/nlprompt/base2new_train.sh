#!/usr/bin/env bash
# Trains NLPrompt on the base classes and tests it on them: bash scripts/nlprompt/base2new_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_train NLPrompt "$@"
