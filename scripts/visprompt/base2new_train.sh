#!/usr/bin/env bash
# Trains VisPrompt on the base classes and tests it on them: bash scripts/visprompt/base2new_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_train VisPrompt "$@"
