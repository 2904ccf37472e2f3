#!/bin/sh
# Compile what costs most of an event's time, in a Python environment that pairwatch is installed in.
# It judges the same with and without. Needs a C compiler, and mypy's compiler in an environment
# that may be another one.
#
#   compile.sh PYTHON [PYTHON_WITH_MYPY]
set -eu
# Not resolved: an environment's python is a link, and its place says which environment.
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
with_mypy=${2:-$python}
settings=$(cd "$(dirname "$0")/../.." && pwd)/pyproject.toml
site=$("$python" -I -c 'import models, pathlib; print(pathlib.Path(models.__file__).parents[1])')
case $site in
  */site-packages) ;;
  *) echo "compile.sh: $site is a checkout: what is compiled there would hide later changes" >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$site/models" "$work"
cd "$work"

# Says what a command said only if it failed.
quietly() { "$@" >said 2>&1 || { cat said >&2; exit 1; }; }
pairwatch() { "$python" -c 'from streams.commands import main; main()' "$@"; }
# Within a module that exports nothing but what Python looks for, functions call each other directly.
build() {
  export CFLAGS="-DNDEBUG -O3 -fwrapv -fvisibility=hidden $*" LDFLAGS="$*" MYPYPATH="$work"
  quietly "$with_mypy" -m mypyc --config-file="$settings" --python-executable="$python" \
    models/breaker.py models/calibration.py models/detector.py models/facts.py \
    models/groups/activities.py models/groups/day.py models/groups/group.py models/groups/manner.py \
    models/habit.py models/hashing.py models/judge.py models/links.py models/pace.py models/popularity.py \
    models/popularity_classes.py models/popularity_rows.py models/population.py models/profile.py \
    models/recent.py models/window.py
}

# gcc is shown a few days of people and one who copies, and lays the code out for what is common.
if "$with_mypy" -c 'import sysconfig; print(sysconfig.get_config_var("CC"), "--version")' | sh |
  grep -q 'Free Software Foundation'; then
  build -fprofile-generate
  quietly pairwatch simulate human-pace --accounts 1000 --days 3 --out days.jsonl
  quietly pairwatch replay days.jsonl
  find . -name '*.so' -exec rm {} + # or they would be taken for up to date
  build -fprofile-use -fprofile-partial-training -Wno-missing-profile
else
  build
fi
find . -path ./build -prune -o -name '*.so' -print | while read -r module; do
  cp "$module" "$site/$module"
done
