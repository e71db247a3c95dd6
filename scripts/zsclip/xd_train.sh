#!/usr/bin/env bash
# Tests zero-shot CLIP on all classes of the source dataset: bash scripts/zsclip/xd_train.sh SOURCE SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_train ZeroshotCLIP "$@"
