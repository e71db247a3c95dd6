#!/usr/bin/env bash
# Tests VisPrompt, trained by xd_train.sh, on other datasets: bash scripts/visprompt/xd_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_test VisPrompt "$@"
