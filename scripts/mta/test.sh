#!/usr/bin/env bash
# Tests MTA on clean images, or with EPS and STEPS on images attacked by PGD (made once, shared by all methods):
# bash scripts/mta/test.sh DATASET SEED [EPS STEPS] [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" test_time MTA "$@"
