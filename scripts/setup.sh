#!/usr/bin/env bash
# usage: bash scripts/setup.sh
# Makes .venv and installs the requirements, once; run again, it does nothing until they change.
# With PYTHON=... (or an activated environment that has torch) only what is missing there is reported, nothing is installed.
# example: bash scripts/setup.sh
set -eu
case ${1-} in -h | --help) sed -n 's/^# //p' "$0" && exit 0 ;; esac
CDPATH= cd "$(dirname "$0")/.."
bash scripts/links.sh --quiet
setting_up=1
. scripts/python.sh
if [ "$PYTHON" != .venv/bin/python ] && can_run "$PYTHON"; then
  "$PYTHON" -c 'import clip, yacs, sklearn, safetensors, pytest' 2>/dev/null || {
    echo "error: $PYTHON has torch, but not all of requirements.txt; run: $PYTHON -m pip install -r <(grep -v ^torch requirements.txt)" >&2
    exit 2
  }
  exit 0
fi
stamp=.venv/requirements.installed
if [ -x .venv/bin/python ] && cat requirements.txt requirements-attacks.txt | cmp -s - "$stamp"; then exit 0; fi
python=$(command -v python3 || command -v python) || { echo "error: Python 3.10 or newer is needed" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: $("$python" -V) is too old; Python 3.10 or newer is needed" >&2; exit 2; }
echo "Installing into .venv (torch and what it needs: about 5 GB, a few minutes)"
[ -x .venv/bin/python ] || "$python" -m venv .venv || {
  echo "error: $python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 2
}
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-attacks.txt
cat requirements.txt requirements-attacks.txt >"$stamp"
