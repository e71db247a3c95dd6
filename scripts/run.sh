#!/usr/bin/env bash
# What all scripts/METHOD/*.sh call: scripts/run.sh PROTOCOL TRAINER DATASET SEED [KEY VALUE ...]
# DATA, CFG, SHOTS, OUTPUT, LOADEP and PYTHON come from the environment; runs/protocols.py says what each does.
set -eu
cd "$(dirname "$0")/.."
. scripts/python.sh
exec "$PYTHON" -m runs "$@"
