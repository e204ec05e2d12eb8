#!/bin/sh
# Prints a Python that can build the environment: at least 3.11, with venv and pip. With an argument only that
# one is tried (make PYTHON=...). Names are tried by running them: a version manager may own a name without
# having a Python behind it.
set -u

usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
tried=""
for name in ${1:-python3.13 python3.12 python3.11 python3.14 python3 python}; do
    if "$name" -c "$usable" >/dev/null 2>&1; then
        "$name" -c 'import sys; print(sys.executable)'
        exit 0
    fi
    found=$("$name" -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null) || found=""
    case "$found" in
    "") tried="$tried $name (not here);" ;;
    2.* | 3.[0-9] | 3.10) tried="$tried $name is $found;" ;;
    *) tried="$tried $name is $found but lacks venv or ensurepip (Debian, Ubuntu: apt install $name-venv);" ;;
    esac
done
echo "fromnoise needs Python 3.11 or newer with venv. Tried:$tried" >&2
echo "Install one (apt install python3.11-venv, brew install python@3.12, or python.org), or name it: make PYTHON=/path/to/python3.11" >&2
exit 1
