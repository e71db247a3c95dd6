#!/usr/bin/env bash
# Trains ZeroshotCLIP on web images as they are labelled (food101n, webvision): bash scripts/zsclip/real_noise_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" real_noise_train ZeroshotCLIP "$@"
