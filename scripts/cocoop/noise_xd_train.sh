#!/usr/bin/env bash
# Trains CoCoOp on all classes of the source (imagenet, shapes) with wrong labels: bash scripts/cocoop/noise_xd_train.sh SOURCE SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_xd_train CoCoOp "$@"
