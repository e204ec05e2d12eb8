"""What a run's folder is called when nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fromnoise.recipes.resolve import default_folder


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (".", "photos"),
        ("./", "photos"),
        ("..", "above"),
        ("../photos/", "photos"),
        ("../..//above/photos.zip", "photos"),
        ("hf:owner/name:part", "name-part"),
        ("digits", "digits"),
        ("/", "data"),
    ],
)
def test_a_run_is_named_by_its_folder(source: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "above" / "photos"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    assert default_folder(source, "default", 3) == Path("runs") / f"{name}-default-s3"
