#!/usr/bin/env bash
# Trains CoPrompt on SHOTS images of each class and tests it on all classes: bash scripts/coprompt/few_shot.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" few_shot CoPrompt "$@"
