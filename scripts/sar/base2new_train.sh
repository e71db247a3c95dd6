#!/usr/bin/env bash
# Trains SAR on a host (CoOp, KgCoOp, TCP, MaPLe, CoPrompt, PromptSRC, ANPrompt) on the base classes and tests it on them: bash scripts/sar/base2new_train.sh HOST DATASET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" base2new_train "${1-}SAR" "${@:2}"
