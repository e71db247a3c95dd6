#!/usr/bin/env bash
# Trains VPT on web images as they are labelled (food101n, webvision): bash scripts/vpt/real_noise_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" real_noise_train VPT "$@"
