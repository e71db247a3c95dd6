#!/usr/bin/env bash
# Trains IVLP on wrong labels and tests it on right ones: bash scripts/ivlp/noise_train.sh DATASET SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_train IVLP "$@"
