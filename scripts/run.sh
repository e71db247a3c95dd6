#!/usr/bin/env bash
# What all scripts/METHOD/*.sh call: scripts/run.sh PROTOCOL TRAINER DATASET SEED [KEY VALUE ...]
# PROTOCOL is base2new_train, base2new_test, xd_train, xd_test, dg_test, few_shot, test_time, or one of label noise
# (docs/label_noise.md). DATASET is one name, several with commas, or `all` (docs/protocols.md). DATA, CFG, SHOTS,
# OUTPUT, LOADEP, SOURCE, PLUGIN, PLUGIN_CFG and PYTHON come from the environment; runs/protocols.py says what each does.
set -eu
cd "$(dirname "$0")/.."
. scripts/python.sh
exec "$PYTHON" -m runs "$@"
