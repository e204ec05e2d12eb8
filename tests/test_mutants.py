"""The tests notice the classic mistakes, and the page that says so is up to date."""

import importlib.util
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SCRIPT = CHECKOUT / "scripts" / "mutants.py"
spec = importlib.util.spec_from_file_location("mutants", SCRIPT)
mutants = importlib.util.module_from_spec(spec)
sys.modules["mutants"] = mutants
spec.loader.exec_module(mutants)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.mistake.replace(" ", "-"))
def test_a_planted_mistake_is_noticed(mutant):
    assert mutants.noticed(mutant)


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.mistake.replace(" ", "-"))
def test_every_mistake_can_be_planted_and_is_on_the_page(mutant):
    text = (CHECKOUT / "src" / "fromnoise" / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.right) == 1
    page = (CHECKOUT / "docs" / "mutants.md").read_text(encoding="utf-8")
    assert f"| {mutant.mistake} |" in page and "**nothing**" not in page
