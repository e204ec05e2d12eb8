"""What a name that output goes to asks for."""

import pytest

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.common.outputs import SAMPLE_KINDS, output_kind


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "there.jpg").mkdir()


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.png", ".png"),
        ("A.PNG", ".png"),
        ("dir.5/a.Gif", ".gif"),
        ("cfg1.5", ""),
        ("name.with.dot/", ""),
        ("a.png/", ""),
        ("run.v2", ""),
        ("there.jpg", ""),
        (".hidden", ""),
        ("x" * 300, ""),
    ],
)
def test_names_and_their_kinds(name, kind):
    assert output_kind(name, SAMPLE_KINDS, "samples") == kind


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "name.with.dot", "a.pt", "a.pngg", "a.mp4"])
def test_another_kind_of_file_is_refused_with_the_endings(name):
    with pytest.raises(UsageError, match=r"\.png.*\.gif.*\.npz"):
        output_kind(name, SAMPLE_KINDS, "samples")


@pytest.mark.parametrize("name", ["file", "file/"])
def test_a_file_is_no_folder(name):
    with pytest.raises(WriteError, match="file"):
        output_kind(name, SAMPLE_KINDS, "samples")
