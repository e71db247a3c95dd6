#!/usr/bin/env bash
# Trains IVLP on web images as they are labelled (food101n, webvision): bash scripts/ivlp/real_noise_train.sh DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" real_noise_train IVLP "$@"
