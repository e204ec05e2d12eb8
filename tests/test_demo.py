"""The demo as a person gets it: digits that an independent classifier reads, within the promised time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
TRAINING_SECONDS = 120.0


@pytest.mark.slow
@pytest.mark.parametrize("at_hand", [True, False], ids=["mnist", "digits"])
def test_demo(tmp_path, at_hand, request):
    """`make demo` runs this script; here it runs with this interpreter, in an empty folder."""
    if at_hand:
        request.getfixturevalue("mnist_dir")
    surroundings = {**os.environ, "PY": sys.executable}
    if not at_hand:
        surroundings["FROMNOISE_DATA"] = str(tmp_path / "nothing")
    began = time.time()
    done = subprocess.run(
        ["sh", str(CHECKOUT / "scripts" / "demo.sh")], cwd=tmp_path, env=surroundings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name == ("demo-mnist" if at_hand else "demo-digits")
    assert f"Data: {'mnist' if at_hand else 'digits'}" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("report.html")
    seconds = [
        json.loads(line)["seconds"] for line in (run / "metrics.jsonl").read_text().splitlines() if "seconds" in line
    ]
    assert seconds[-1] < TRAINING_SECONDS < 600 and time.time() - began < 600
    report = (run / "report.html").read_text(encoding="utf-8")
    agreement = float(re.search(r"([\d.]+) % of \d+ samples", report)[1])
    assert agreement >= 90.0
