#!/usr/bin/env bash
# usage: bash scripts/adv/attack.sh DATASET [OPTION ...]
# Makes an adversarial test set for all methods, from frozen CLIP.
# OPTION: those of `python -m datasets attack` (its --help lists them), such as --attack pgd --eps 1 --steps 7.
# environment: DATA, the folder of the datasets (data); PYTHON
# example: bash scripts/adv/attack.sh digits --eps 1 --steps 7
set -eu
case ${1-} in -h | --help) sed -n 's/^# //p' "$0" && exit 0 ;; esac
[ $# -gt 0 ] || { sed -n 's/^# //p' "$0" >&2 && exit 2; }
CDPATH= cd "$(dirname "$0")/../.."
. scripts/python.sh
exec "$PYTHON" -m datasets attack "$@" --root "${DATA:-data}"
