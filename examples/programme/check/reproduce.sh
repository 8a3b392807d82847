#!/bin/sh
# Makes traceability-junit.xml and traceability-ruff.sarif again. Needs Python 3.11 with
# pytest 9.2.0 and ruff 0.14.14. Works on a copy in /programme, because ruff writes
# absolute paths into its report; run it where you may create that folder, such as in a
# container.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
[ ! -e /programme ] || { echo "reproduce.sh: /programme exists already" >&2; exit 1; }
cp -r "$here" /programme
cd /programme
TZ=UTC python3 -m pytest -q -p no:cacheprovider --junitxml=traceability-junit.xml check
# ruff exits with 1 when it has findings, which are what the report is for.
ruff check --no-cache --output-format sarif --output-file traceability-ruff.sarif check || [ $? = 1 ]
cp traceability-junit.xml traceability-ruff.sarif "$here"
rm -r /programme
