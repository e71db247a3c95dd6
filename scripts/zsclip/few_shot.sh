#!/usr/bin/env bash
# Tests zero-shot CLIP on all classes: the flat line of a few-shot plot: bash scripts/zsclip/few_shot.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" few_shot ZeroshotCLIP "$@"
