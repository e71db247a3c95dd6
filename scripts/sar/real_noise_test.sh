#!/usr/bin/env bash
# Tests SAR on a host, trained by real_noise_train.sh, on the dataset's other test set: bash scripts/sar/real_noise_test.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" real_noise_test "${1-}SAR" "${@:2}"
