#!/usr/bin/env bash
# usage: bash scripts/setup.sh
# Makes .venv and installs the requirements, once; run again, it does nothing until they change.
# With PYTHON=... (or an activated environment that has torch) only what is missing there is reported, nothing is installed.
# environment: PYTHON; RP_TORCH, which build of torch is installed: cpu, without the CUDA libraries; or cu126, cu130, ... for
# a driver that the default is too new for (pytorch.org). It counts when .venv is made. docs/installing.md says more.
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
case ${RP_TORCH:-} in
  '' | cpu | cu[0-9][0-9][0-9] | rocm[0-9]*.[0-9]* | xpu) ;;
  *) echo "error: RP_TORCH is '$RP_TORCH', but must be cpu, or a build of torch such as cu126 or rocm6.4." >&2; exit 2 ;;
esac
if [ -n "${RP_TORCH:-}" ] && [ -x .venv/bin/python ] && can_run .venv/bin/python; then
  echo "RP_TORCH=$RP_TORCH changes nothing: .venv has a torch already; remove .venv to install another." >&2
  RP_TORCH=
fi
python=$(command -v python3 || command -v python) || { echo "error: Python 3.10 or newer is needed" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: $("$python" -V) is too old; Python 3.10 or newer is needed" >&2; exit 2; }
if [ "${RP_TORCH:-}" = cpu ]; then
  echo "Installing into .venv (torch for the CPU alone, and what it needs; a few minutes)"
else
  echo "Installing into .venv (torch and what it needs: about 5 GB, a few minutes; RP_TORCH=cpu leaves CUDA out)"
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv || {
  echo "error: $python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 2
}
if .venv/bin/python -m pip --version >/dev/null 2>&1; then
  install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
elif command -v uv >/dev/null; then # a .venv that `uv venv` made has no pip
  install() { uv pip install --quiet --python .venv/bin/python "$@"; }
else
  echo "error: .venv has no pip, and there is no uv; run: .venv/bin/python -m ensurepip, or remove .venv." >&2
  exit 2
fi
if [ -n "${RP_TORCH:-}" ]; then # first, so that the pins of requirements.txt are met
  install --index-url "https://download.pytorch.org/whl/$RP_TORCH" $(grep -oE '^torch(vision)?==[0-9.]+' requirements.txt)
fi
install -r requirements.txt
install --no-deps -r requirements-attacks.txt
cat requirements.txt requirements-attacks.txt >"$stamp"
