#!/usr/bin/env bash
# Trains SAR on a host on wrong labels: bash scripts/sar/noise_train.sh HOST DATASET SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_train "${1-}SAR" "${@:2}"
