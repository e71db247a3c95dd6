#!/usr/bin/env bash
# Tests NLPrompt, trained by xd_train.sh, on other datasets: bash scripts/nlprompt/xd_test.sh TARGET SEED [KEY VALUE ...]   (see scripts/run.sh)
exec bash "$(dirname "$0")/../run.sh" xd_test NLPrompt "$@"
