#!/usr/bin/env bash
# Trains SAR on a host on web images as they are labelled (food101n, webvision): bash scripts/sar/real_noise_train.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" real_noise_train "${1-}SAR" "${@:2}"
