"""The page of differences from the papers names places that exist, with their lines of today."""

import importlib.util
import re
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "differences.py"
spec = importlib.util.spec_from_file_location("differences", SCRIPT)
differences = importlib.util.module_from_spec(spec)
spec.loader.exec_module(differences)


def test_every_difference_names_its_place_with_todays_line():
    page = differences.PAGE.read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", page, flags=re.M)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(differences.PLACE.findall(page)) == len(numbers) >= 20
    assert page == differences.updated(page), "run python scripts/differences.py"
