#!/usr/bin/env bash
# usage: bash scripts/links.sh [--quiet]
# For checkouts without symbolic links (git's core.symlinks=false, a ZIP file unpacked on Windows). There a script that
# should be a link to run.sh is a text file with the one line ../run.sh; this replaces each by a script of three lines
# that does the same. In a checkout with symbolic links there is nothing to do, which it says without --quiet. scripts/setup.sh calls it.
# example: bash scripts/links.sh
set -eu
case ${1-} in -h | --help) sed -n 's/^# //p' "$0" && exit 0 ;; esac
CDPATH= cd "$(dirname "$0")"
changed=
count=0
for file in */*.sh; do
  [ ! -L "$file" ] || continue
  read -r text <"$file" || : # no end of line comes after these words
  [ "$text" = ../run.sh ] || continue
  printf '%s\n' '#!/usr/bin/env bash' '# In place of a link to ../run.sh, see scripts/links.sh.' \
    '. "$(dirname "$(readlink -f "$0")")/../run.sh"' >"$file"
  changed="$changed $file" count=$((count + 1))
done
if [ $count -gt 0 ]; then
  chmod +x $changed
  echo "scripts/: $count links that came as text files are scripts of three lines now."
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then # else git offers them for a commit, as changed links
    git ls-files -- $changed | git update-index --skip-worktree --stdin
  fi
elif [ "${1-}" != --quiet ]; then
  echo "scripts/: there is nothing to do, every script is a link or a script already."
fi
