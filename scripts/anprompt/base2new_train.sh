#!/usr/bin/env bash
# Trains ANPrompt on the base classes and tests it on them: bash scripts/anprompt/base2new_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_train ANPrompt "$@"
