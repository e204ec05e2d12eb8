"""What needs an extra says so, with the line that installs it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from fromnoise.cli import main
from fromnoise.common.errors import UsageError
from fromnoise.common.extras import PACKAGES, extra
from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets.unet2d import UNet2D

CHECKOUT = Path(__file__).resolve().parents[2]


def test_a_library_that_is_missing_and_one_that_cannot_be_loaded() -> None:
    line = "pip install datasets"
    with pytest.raises(UsageError, match=rf"the hub.* no_such_library.*{line}"), extra("hub", "the hub"):
        import no_such_library  # noqa: F401
    with pytest.raises(UsageError, match=rf"the hub.* json.*no_such_name.*{line}"), extra("hub", "the hub"):
        from json import no_such_name  # noqa: F401


def test_the_packages_named_are_those_of_pyproject() -> None:
    stated = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name: " ".join(re.split(r"[^\w-]", one)[0] for one in packages) for name, packages in stated.items()}
    assert {name: named[name] for name in PACKAGES} == PACKAGES and set(named) - set(PACKAGES) == {"dev", "docs"}


def test_unet2d_and_the_chapter_without_diffusers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UsageError, match="pip install diffusers"):
        UNet2D(ImageSpec(1, 28, 28))
    assert main(["chapter", "--quick"]) == 2
    assert "pip install diffusers" in capsys.readouterr().err
