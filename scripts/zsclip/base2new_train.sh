#!/usr/bin/env bash
# Tests zero-shot CLIP on the base classes: bash scripts/zsclip/base2new_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_train ZeroshotCLIP "$@"
