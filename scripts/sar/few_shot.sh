#!/usr/bin/env bash
# Trains SAR on a host with SHOTS images a class, all classes: bash scripts/sar/few_shot.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" few_shot "${1-}SAR" "${@:2}"
