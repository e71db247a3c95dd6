#!/usr/bin/env bash
# Trains VisPrompt on SHOTS images of each class and tests it on all classes: bash scripts/visprompt/few_shot.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" few_shot VisPrompt "$@"
