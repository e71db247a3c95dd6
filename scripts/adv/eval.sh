#!/usr/bin/env bash
# usage: bash scripts/adv/eval.sh METHOD DATASET SEED [EPS STEPS] [MODE] [KEY VALUE ...]
# Evaluates a method under attack: what scripts/METHOD/few_shot.sh trained, or a method without training.
# EPS is in 1/255. MODE: T transfer, W white-box (trained methods, zero-shot CLIP), A adaptive (TPT, RTPT, ...);
# without it W or A. KEY VALUE: config pairs, such as ATTACK.SUBSET 200. DATASET.SUBSAMPLE_CLASSES base or new: what
# base2new_train.sh trained, on these classes. With SOURCE: what xd_train.sh trained there, on DATASET.
# environment: DATA, CFG, SHOTS, OUTPUT, LOADEP, SOURCE (docs/protocols.md); CHECKS=all runs all sanity checks; PYTHON
# example: bash scripts/adv/eval.sh CoOp digits 1 4 100 W
set -eu
case ${1-} in -h | --help) sed -n 's/^# //p' "$0" && exit 0 ;; esac
[ $# -gt 0 ] || { sed -n 's/^# //p' "$0" >&2 && exit 2; }
CDPATH= cd "$(dirname "$0")/../.."
. scripts/python.sh
exec "$PYTHON" -m robustness "$@"
