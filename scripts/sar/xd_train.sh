#!/usr/bin/env bash
# Trains SAR on a host on all classes of a source dataset: bash scripts/sar/xd_train.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_train "${1-}SAR" "${@:2}"
