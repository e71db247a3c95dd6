#!/usr/bin/env bash
# scripts/adv/attack.sh DATASET [--attack pgd --eps 1 --steps 7 ...]: an adversarial test set for all methods.
# The flags are those of `python -m datasets attack`. DATA (default: data) is the folder of the datasets.
set -eu
cd "$(dirname "$0")/../.."
. scripts/python.sh
exec "$PYTHON" -m datasets attack "$@" --root "${DATA:-data}"
