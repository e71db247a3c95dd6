#!/usr/bin/env bash
# Trains SAR on a host on all classes of the source (imagenet, shapes) with wrong labels: bash scripts/sar/noise_xd_train.sh HOST SOURCE SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_xd_train "${1-}SAR" "${@:2}"
