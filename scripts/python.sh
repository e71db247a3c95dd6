# Sourced by the other scripts: sets PYTHON to the interpreter that runs the project, and checks that it has torch.
# The order is PYTHON=..., then an activated environment that has torch, then .venv. setting_up=1 allows a missing torch.
can_run() { # 0: yes; 3: too old; 4: no torch; anything else: it does not start
  "$1" -c 'import sys, importlib.util as u; sys.exit(3 if sys.version_info < (3, 10) else 4 * (u.find_spec("torch") is None))' 2>/dev/null
}
given=${PYTHON:-}
if [ -z "$given" ]; then
  if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && can_run python; then
    PYTHON=python
  elif [ -x .venv/bin/python ]; then
    PYTHON=.venv/bin/python
  else
    PYTHON=python3
  fi
fi
if [ -n "$given" ] || [ -z "${setting_up:-}" ]; then
  code=0
  can_run "$PYTHON" || code=$?
  if [ -n "$given" ]; then way_out="give another, or leave PYTHON out and run bash scripts/setup.sh, which makes .venv"; else way_out="run bash scripts/setup.sh, which makes .venv"; fi
  case $code in
    0) ;;
    3) echo "error: ${given:+PYTHON=}$PYTHON is too old, Python 3.10 or newer is needed; $way_out." >&2; exit 2 ;;
    4) echo "error: ${given:+PYTHON=}$PYTHON has no torch; $way_out." >&2; exit 2 ;;
    *) echo "error: ${given:+PYTHON=}$PYTHON does not start; $way_out." >&2; exit 2 ;;
  esac
fi
export PYTHON
