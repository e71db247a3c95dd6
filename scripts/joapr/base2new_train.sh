#!/usr/bin/env bash
# Trains JoAPR on the base classes and tests it on them: bash scripts/joapr/base2new_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_train JoAPR "$@"
