# Sourced by the other scripts: sets PYTHON to the interpreter that runs the project.
# PYTHON=... wins, then an activated environment that has torch, then .venv.
if [ -z "${PYTHON:-}" ]; then
  if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && python -c 'import torch' 2>/dev/null; then
    PYTHON=python
  elif [ -x .venv/bin/python ]; then
    PYTHON=.venv/bin/python
  else
    PYTHON=python3
  fi
fi
export PYTHON
