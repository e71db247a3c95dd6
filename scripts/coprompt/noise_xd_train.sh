#!/usr/bin/env bash
# Trains CoPrompt on all classes of the source (imagenet, shapes) with wrong labels: bash scripts/coprompt/noise_xd_train.sh SOURCE SEED TYPE RATE [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" noise_xd_train CoPrompt "$@"
