#!/usr/bin/env bash
# Trains MMRL on wrong labels and tests it on right ones: bash scripts/mmrl/noise_train.sh DATASET SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_train MMRL "$@"
