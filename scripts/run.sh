#!/usr/bin/env bash
# Runs one protocol of one method. All scripts/METHOD/PROTOCOL.sh are links to this file, which reads method and protocol
# from the path that it is called by, and the rest from arguments and environment (docs/protocols.md). Called directly,
# it takes both as arguments: bash scripts/run.sh PROTOCOL TRAINER DATASET SEED [KEY VALUE ...]
set -eu
unset CDPATH # with it, `cd` prints

# Follows links from elsewhere, up to the one in scripts/METHOD or up to this file.
script=$0
case $script in */*) ;; *) if [ -e "$script" ]; then script=./$script; else script=$(command -v -- "$script"); fi ;; esac
while
  folder=$(cd -P -- "${script%/*}/" && pwd)
  [ -L "$script" ] && target=$(readlink -- "$script") && [ "$target" != ../run.sh ]
do
  case $target in /*) script=$target ;; *) script=$folder/$target ;; esac
done
name=${script##*/} name=${name%.sh}

if [ "$name" = run ]; then cd "$folder/.."; else cd "$folder/../.."; fi
if [ ! -f scripts/usage.sh ] || { [ "$folder" != "$PWD/scripts" ] && [ "$folder" != "$PWD/scripts/${folder##*/}" ]; }; then
  echo "error: $0 is a copy of scripts/run.sh, which works in the project's folder alone; call the script there, or link to it." >&2
  exit 2
fi

host= added=
if [ "$name" = run ]; then
  command=scripts/run.sh protocol='' trainer=''
  case ${1-} in
    '' | -h | --help) ;;
    *) protocol=$1 command="$command $1" && shift ;;
  esac
  case ${1-} in
    '' | -h | --help) ;;
    *) trainer=$1 command="$command $1" && shift ;;
  esac
else
  method=${folder##*/}
  command=scripts/$method/$name.sh protocol=$name
  if [ "$name" = test ]; then protocol=test_time; fi
  case $method in # these go on another method, which is the first word
    sar) added=SAR ;;
    dept) added=DePT ;;
    atprompt) added=ATPrompt ;;
    *) added= ;;
  esac
  if [ -n "$added" ]; then
    host=HOST trainer="HOST with $added"
  else # scripts/METHOD belongs to trainers/METHOD.py: the first class that is registered there
    trainer=$(sed -n '/^@TRAINER_REGISTRY.register()/{n;s/^class \([A-Za-z0-9_]*\).*/\1/p;q;}' "trainers/$method.py" 2>/dev/null) || :
  fi
  if [ -z "$trainer" ]; then
    echo "error: scripts/$method belongs to trainers/$method.py, but no trainer is registered there." >&2
    exit 2
  fi
fi

. scripts/usage.sh
case ${1-} in -h | --help) usage && exit 0 ;; esac
if [ -n "$unknown" ]; then # of protocols that have no usage here, Python knows the names
  . scripts/python.sh
  exec "$PYTHON" -m runs "$protocol" ${method:+"$method"} "$@"
fi
if [ $# -eq 0 ] && { [ "$name" != run ] || [ -z "$protocol" ]; }; then usage >&2 && exit 2; fi
check "$@"
if [ -n "$host" ]; then
  trainer=$1$added
  shift
fi
. scripts/python.sh
exec "$PYTHON" -m runs "$protocol" "$trainer" "$@"
