#!/bin/sh
# Trains, samples and shows: on MNIST where it is at hand, else on the digits that come with scikit-learn.
# The same call again goes on where the last one stopped.
set -eu

fromnoise="${PY:-.venv/bin/python} -m fromnoise"

if said=$($fromnoise data fetch mnist --quiet 2>&1); then
    data=mnist
    echo "Data: mnist, 28x28, since it is at hand."
else
    data=digits
    echo "Data: digits (1,797 of them, 16x16, nothing to download), since MNIST is not at hand:"
    echo "  $(printf '%s\n' "$said" | head -n 1)"
fi

run=runs/demo-$data
$fromnoise train $data --budget 100s --output_dir "$run"
$fromnoise sample "$run"
$fromnoise show "$run"

echo "Open this in a browser: $PWD/$run/report.html"
