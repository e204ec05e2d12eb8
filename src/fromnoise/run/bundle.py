"""`pack` and `unpack`: a run as one .zip, to send to somebody who has fromnoise.

    manifest.json   {"format": 1, "files": {name: {"bytes": ..., "sha256": ...}}}, the last member
    config.json  config.toml  metrics.jsonl  README.md  checkpoints/...  samples/preview-...png  evaluation.json ...

Nothing is compressed, since weights are not compressible: the same run gives the same bytes everywhere, and a member
never unpacks to more than it is. Of a checkpoint the weights and their average are packed, and with `resumable` all of
it. Places on the machine become bare names. A name that `pack` does not give is refused by `unpack`.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fromnoise.common.errors import CheckpointError, UsageError, WriteError
from fromnoise.common.files import check_writable, disk_free, replacing, write_through
from fromnoise.common.stored_json import parse_object
from fromnoise.common.text import count, file_part, in_bytes, printable
from fromnoise.common.version import __version__
from fromnoise.run.bundle_parts import bundle_parts
from fromnoise.run.opened import OpenedRun
from fromnoise.run.staging import staged_run, vacant
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint

FORMAT = 1
ENDING = ".fromnoise.zip"
MANIFEST = "manifest.json"
MOST_FILES, MOST_MANIFEST = 10_000, 10_000_000
_NAMES = re.compile(
    r"config\.(json|toml)|metrics\.jsonl|README\.md|(evaluation|sweep|diagnosis)\.json|init\.safetensors"
    r"|figures/samples\.png|samples/preview-[0-9]{8,20}\.png|checkpoints/best\.json"
    r"|checkpoints/[0-9]{8,20}/(manifest|state)\.json"
    r"|checkpoints/[0-9]{8,20}/(model|ema|ema-[0-9.]{1,8}|optimizer|follower|follower-optimizer)\.safetensors"
    r"|averages/(manifest\.json|[0-9]{8,20}\.safetensors)"
)
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the first that a .zip can hold


def pack_run(run: OpenedRun, path: str | Path | None = None, *, resumable: bool = False) -> Path:
    """Write `run` as a bundle, read it again and compare; returns its path.

    Arguments:
        path: <name of the run folder>.fromnoise.zip if not given; a bundle that is there is replaced.
        resumable: also what training goes on with: the optimizer's state and the snapshots of the averages.

    Raises:
        CheckpointError: the run has no checkpoint, or none that is whole.
        UsageError: `path` does not end in .zip, or is there and is not a bundle.
        WriteError: it cannot be written.
    """
    target = Path(path or f"{file_part(run.path.resolve().name)}{ENDING}")
    if target.suffix.lower() != ".zip":
        raise UsageError(f"'{target}' does not end in .zip; give the file a name that does, such as run{ENDING}")
    check_writable(target)
    if target.exists():
        _must_be_ours(target)
    try:
        with replacing(target) as temporary:
            _write(temporary, run, resumable)
            with zipfile.ZipFile(temporary) as archive:
                for _ in _contents(archive, temporary):
                    pass
    except OSError as error:
        raise WriteError(f"cannot write '{target}' ({error.strerror or error}); choose another place") from error
    return target


def unpack_run(path: str | Path, output_dir: str | Path | None = None) -> Path:
    """Make a run folder of the bundle `path`, whole or not at all; returns the folder.

    output_dir: runs/<name of the bundle> if not given.

    Raises:
        CheckpointError: it is not a bundle, damaged, of a newer format, or holds what a bundle does not hold.
        UsageError: where output_dir holds something.
        WriteError: where it cannot be written.
    """
    file = Path(path)
    name = re.sub(r"(\.fromnoise)?\.zip$", "", file.name, flags=re.IGNORECASE)
    target = vacant(Path(output_dir) if output_dir else Path("runs") / (file_part(name).strip(".") or "unpacked"))
    with _opened(file) as archive, staged_run(target) as staged:
        _check_space(file, target)
        for member, content in _contents(archive, file):
            place = staged / member
            place.parent.mkdir(parents=True, exist_ok=True)
            write_through(place, content)
        _check_run(staged, file)
    return target


def _write(path: Path, run: OpenedRun, resumable: bool) -> None:
    files: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in bundle_parts(run, resumable):
            files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            archive.writestr(_member(name), content)
        manifest = {"format": FORMAT, "fromnoise": __version__, "files": files}
        archive.writestr(_member(MANIFEST), json.dumps(manifest, indent=1).encode())


def _member(name: str) -> zipfile.ZipInfo:
    """A member whose header is the same on every machine."""
    info = zipfile.ZipInfo(name, _MOMENT)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    return info


def _must_be_ours(path: Path) -> None:
    with suppress(CheckpointError):
        with _opened(path) as archive:
            _manifest(archive, path)
        return
    raise UsageError(f"'{path}' is there and is not a bundle of fromnoise; give another name, or remove it")


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        if not path.is_file():
            raise OSError("there is no such file")
        return zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _wrong(path, f"cannot be opened as .zip ({reason})") from error


def _contents(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file but the manifest, all names checked first, each content as it is read."""
    files = _manifest(archive, path)
    for name, about in files.items():
        content = _read(archive, name, path)
        if len(content) != about["bytes"] or hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise _wrong(path, f"is damaged: {name} is not what its manifest says")
        yield name, content


def _manifest(archive: zipfile.ZipFile, path: Path) -> Mapping[str, dict[str, Any]]:
    """{name: {"bytes": ..., "sha256": ...}} of the members, each of which may be unpacked."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(names) > MOST_FILES:
        raise _wrong(path, f"has {count(len(names), 'file')}, but a bundle has at most {MOST_FILES:,}")
    if names.count(MANIFEST) != 1 or len(set(names)) != len(names):
        raise _wrong(path, f"has no {MANIFEST}, or a name twice")
    for member in members:
        if member.filename != MANIFEST and not _NAMES.fullmatch(member.filename):
            raise _wrong(path, f"holds '{printable(member.filename)[:80]}', which is not a file of a run")
        kind = stat.S_IFMT(member.external_attr >> 16)
        plain = member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size
        if not plain or member.flag_bits & 1 or kind not in (0, stat.S_IFREG):
            raise _wrong(path, f"holds {member.filename} compressed, encrypted or as a link, which no bundle does")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise _wrong(path, "has files that lie one over the other")
    try:
        if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST:
            raise ValueError("it is too long")
        stored = parse_object(_read(archive, MANIFEST, path))
        files = stored.get("files")
        if not isinstance(stored.get("format"), int) or not isinstance(files, dict):
            raise ValueError("it names no format or no files")
        if stored["format"] > FORMAT:
            raise _wrong(path, f"has format {stored['format']}, and this fromnoise reads up to {FORMAT}; update it")
        if set(files) != set(names) - {MANIFEST} or not all(map(_described, files.values())):
            raise ValueError("it does not list the files that are there")
    except ValueError as error:
        raise _wrong(path, f"has a damaged {MANIFEST} ({error})") from error
    return files


def _described(about: Any) -> bool:
    return isinstance(about, dict) and isinstance(about.get("bytes"), int) and isinstance(about.get("sha256"), str)


def _read(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise _wrong(path, f"is damaged: {name} cannot be read ({printable(str(error))[:120]})") from error


def _check_run(staged: Path, file: Path) -> None:
    """CheckpointError where what was unpacked is not a whole run; UsageError where its network needs an extra."""
    try:
        run = OpenedRun(staged, device="cpu")
        for checkpoint in list_checkpoints(run.folder.checkpoints):
            read_checkpoint(checkpoint)
        run.model()
    except (CheckpointError, UsageError) as error:
        if isinstance(error.__cause__, ImportError):
            raise
        reason = str(error).rpartition("; ")[0].replace(f"{staged}/", "")
        raise _wrong(file, f"holds no whole run ({reason})") from error


def _check_space(file: Path, target: Path) -> None:
    size, free = file.stat().st_size, disk_free(target)
    if size > free:
        raise WriteError(
            f"'{file}' unpacks to {in_bytes(size)}, but only {in_bytes(free)} are free for {target}; free some space, "
            "or choose another --output_dir"
        )


def _wrong(path: Path, what: str) -> CheckpointError:
    advice = "" if "; " in what else "; give a file that `fromnoise pack` wrote"
    return CheckpointError(f"'{printable(str(path))}' {what}{advice}")
