"""What needs an extra says so, with the line that installs it."""

from __future__ import annotations

import sys

import pytest

from fromnoise.cli import main
from fromnoise.common.errors import UsageError
from fromnoise.common.extras import extra
from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets.unet2d import UNet2D


def test_a_library_that_is_missing_and_one_that_cannot_be_loaded() -> None:
    line = r"pip install 'fromnoise\[moon\]'"
    with pytest.raises(UsageError, match=rf"the moon.* no_such_library.*{line}"), extra("moon", "the moon"):
        import no_such_library  # noqa: F401
    with pytest.raises(UsageError, match=rf"the moon.* json.*no_such_name.*{line}"), extra("moon", "the moon"):
        from json import no_such_name  # noqa: F401


def test_unet2d_and_the_chapter_without_diffusers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UsageError, match=r"'fromnoise\[diffusers\]'"):
        UNet2D(ImageSpec(1, 28, 28))
    assert main(["chapter", "--quick"]) == 2
    assert "'fromnoise[diffusers]'" in capsys.readouterr().err
