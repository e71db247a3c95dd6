#!/usr/bin/env bash
# Tests CoCoOp, trained by real_noise_train.sh, on the dataset's other test set: bash scripts/cocoop/real_noise_test.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" real_noise_test CoCoOp "$@"
