#!/usr/bin/env bash
# Trains NLPrompt on wrong labels and tests it on right ones: bash scripts/nlprompt/noise_train.sh DATASET SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_train NLPrompt "$@"
