"""A file is written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fromnoise.common.errors import WriteError
from fromnoise.common.files import bytes_in, check_writable, replacing, write_bytes, write_files


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


LONG = "x" * 300


@pytest.mark.parametrize("place", [LONG, f"a/b/{LONG}/c", f"{LONG}/a"])
def test_a_name_that_no_file_can_have_leaves_nothing(tmp_path: Path, place: str) -> None:
    with pytest.raises(WriteError, match=r"too long"):
        write_bytes(tmp_path / place, b"")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place, reason in ((LONG, "too long"), ("file/a", "cannot be written in"), (".", "folder")):
        with pytest.raises(WriteError, match=reason):
            check_writable(tmp_path / place)
    for place in ("file", "a", "a/b"):
        check_writable(tmp_path / place)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_goes_while_bytes_are_counted_does_not_count(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "file", b"12345")
    (tmp_path / "a" / "gone").symlink_to(tmp_path / "nowhere")
    assert bytes_in(tmp_path) == 5 and bytes_in(tmp_path / "nowhere") == 0


ENDS = [KeyboardInterrupt(), OSError(28, "No space left on device")]


@pytest.mark.parametrize("error", ENDS, ids=["interrupted", "a full disk"])
@pytest.mark.parametrize("made", [False, True], ids=["written", "made"])
def test_of_several_files_all_are_there_or_none(
    tmp_path: Path, third_write: Callable[[BaseException], None], error: BaseException, made: bool
) -> None:
    old = write_bytes(tmp_path / "1", b"old")

    def contents() -> Iterator[tuple[Path, bytes]]:
        for place in (tmp_path / "new" / "0", old, tmp_path / "2", tmp_path / "3"):
            if made and place.name == "3":
                raise error
            yield place, b"new"

    if not made:
        third_write(error)
    with pytest.raises((KeyboardInterrupt, WriteError)):
        write_files(contents())
    assert list(tmp_path.iterdir()) == [old] and old.read_bytes() == b"old"


def test_several_files_take_their_places(tmp_path: Path) -> None:
    write_files((tmp_path / str(number), bytes([number])) for number in range(3))
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"\0", b"\1", b"\2"]
