"""A file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fromnoise.common.errors import WriteError
from fromnoise.common.files import replacing, write_bytes


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_written_into_folders_that_are_not_there_yet(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a" / "b" / "file"
    assert write_bytes(path, b"old") == path
    write_bytes(path, b"new", durable=durable)
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_an_error_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bytes(tmp_path / "file", b"old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WriteError, match=r"file.*No space left.*tidy up"):
        write_bytes(path, b"new", advice="tidy up")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
