#!/usr/bin/env bash
# A method under attack: scripts/adv/eval.sh METHOD DATASET SEED [EPS STEPS] [MODE] [KEY VALUE ...]
# MODE: T transfer, W white-box (trained methods, zero-shot CLIP), A adaptive (TPT, RTPT, ...); default: W or A. Trained
# methods are those that scripts/METHOD/few_shot.sh left. DATA, CFG, SHOTS, OUTPUT, LOADEP as in scripts/run.sh; CHECKS=all
# runs all sanity checks (docs/adversarial.md).
set -eu
cd "$(dirname "$0")/../.."
. scripts/python.sh
exec "$PYTHON" -m robustness "$@"
