#!/usr/bin/env bash
# Trains NLPrompt on SHOTS images of each class and tests it on all classes: bash scripts/nlprompt/few_shot.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" few_shot NLPrompt "$@"
