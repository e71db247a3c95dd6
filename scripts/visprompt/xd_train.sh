#!/usr/bin/env bash
# Trains VisPrompt on all classes of the source dataset (imagenet, shapes) and tests it on them: bash scripts/visprompt/xd_train.sh SOURCE SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_train VisPrompt "$@"
