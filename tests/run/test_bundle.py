"""A bundle is the run again, byte for byte in what it samples; what `pack` did not write is not unpacked."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError, UsageError, WriteError
from fromnoise.common.leftovers import temporary_name
from fromnoise.run import Run, bundle

SETTINGS = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 320,
    "train.train_batch_size": 8,
    "train.previews": 1,
    "train.validations": 2,
    "sample.steps": 2,
}
HOME = "secret-home"  # a part of every place on this machine


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on images of a file, started from another run's weights, with an evaluation and a diagnosis."""
    folder = tmp_path_factory.mktemp(HOME)
    rng = np.random.default_rng(0)
    np.savez(folder / "images.npz", images=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), labels=np.arange(40) % 2)
    few = {**SETTINGS, "train.num_images": 8, "train.previews": 0}
    Run.create(folder / "images.npz", output_dir=folder / "first", settings=few).train()
    made = Run.create(
        folder / "images.npz", output_dir=folder / "run", settings=SETTINGS, init=folder / "first"
    ).train()
    assert main(["evaluate", str(made.path), "--num", "10", "--steps", "1", "--features", "pixels"]) == 0
    made.diagnose()
    return made


@pytest.fixture(scope="module")
def packed(run: Run) -> Path:
    return run.pack(run.path.parent / "run.zip")


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_unpacked_run_is_the_run(run: Run, packed: Path, tmp_path: Path) -> None:
    other = Run.unpack(packed, tmp_path / "run")
    for weights in ("ema", "raw"):
        samples = [one.sample(4, weights=weights).images for one in (run, other)]
        assert samples[0].tobytes() == samples[1].tobytes()
    assert other.folder.read_metrics() == run.folder.read_metrics()
    assert other.checkpoint("best").name == run.checkpoint("best").name
    evaluations = [one.folder.read_json(one.folder.evaluation) for one in (run, other)]
    assert evaluations[0] == evaluations[1] is not None
    assert (other.path / "README.md").is_file() and list(other.folder.samples.glob("preview-*.png"))
    other.show()
    assert set(members(packed)) - {bundle.MANIFEST} <= {
        path.relative_to(other.path).as_posix() for path in other.path.rglob("*")
    }


def test_a_bundle_goes_into_a_folder_that_is_not_there_yet_or_leaves_none(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert run.pack(tmp_path / "a" / "b" / "run.zip").is_file()
    monkeypatch.setattr(bundle, "_write", full)
    with pytest.raises(WriteError):
        run.pack(tmp_path / "c" / "run.zip")
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_a_name_that_no_folder_can_have_leaves_none(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("x" * 300, f"a/{'x' * 300}"):
        assert main(["unpack", str(packed), "--output_dir", str(tmp_path / place)]) == WriteError.exit_code
        assert "too long" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", [True, False])
def test_a_run_is_unpacked_where_a_link_leads(packed: Path, tmp_path: Path, there: bool) -> None:
    (tmp_path / "disk").mkdir()
    place = tmp_path / "disk" / "run"
    if there:
        place.mkdir()
    (tmp_path / "link").symlink_to(place)
    assert Run.unpack(packed, tmp_path / "link").path == tmp_path / "link"
    assert (tmp_path / "link").is_symlink() and (place / "config.json").is_file()
    assert {one.name for folder in (tmp_path, place.parent) for one in folder.iterdir()} == {"disk", "link", "run"}


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be killed so there")
def test_what_a_killed_unpack_left_is_cleared_by_the_next_and_what_a_living_one_writes_is_not(
    packed: Path, tmp_path: Path
) -> None:
    die = "from fromnoise.run import bundle\nbundle._check_run = lambda *_: os.kill(os.getpid(), 9)"
    code = f"import os, sys\nfrom fromnoise.cli import main\n{die}\nmain(sys.argv[1:])"
    words = [sys.executable, "-c", code, "unpack", str(packed), "--output_dir", str(tmp_path / "run")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "config.json").is_file()
    held, stranger = tmp_path / temporary_name(), tmp_path / ".0123-notes.tmp"
    held.mkdir(), stranger.mkdir()
    Run.unpack(packed, tmp_path / "run")
    assert set(tmp_path.iterdir()) == {tmp_path / "run", held, stranger}


def test_a_bundle_holds_no_place_of_this_machine_and_no_optimizer(run: Run, packed: Path) -> None:
    assert HOME in (run.path / "config.json").read_text() and HOME in (run.path / "config.toml").read_text()
    held = members(packed)
    assert all(HOME.encode() not in content for content in held.values())
    assert json.loads(held["config.json"])["settings"]["data"]["source"] == "images.npz"
    assert not [name for name in held if "optimizer" in name or "ema-" in name or "averages" in name]
    with zipfile.ZipFile(packed) as archive:
        assert all(info.external_attr >> 16 == stat.S_IFREG | 0o644 for info in archive.infolist())


@pytest.mark.parametrize("form", ["checkpoint", "slash"])
def test_a_run_that_began_from_a_checkpoint_names_no_place(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    home = tmp_path / HOME
    shutil.copytree(run.path.parent / "first", home / "first")
    shutil.copy(run.path.parent / "images.npz", home)
    (home / "here").mkdir()
    monkeypatch.chdir(home / "here")
    init = "../first/" if form == "slash" else "../first/checkpoints/00000008"
    few = {**SETTINGS, "train.num_images": 8, "train.previews": 0}
    Run.create("../images.npz", output_dir="second", settings=few, init=init).train()
    held = members(Run("second").pack("second.zip"))
    assert all(HOME.encode() not in content and b"../first" not in content for content in held.values())
    assert json.loads(held["config.json"])["init"]["about"].startswith("the weights of first after 8")


def test_images_called_like_a_data_set_stay_images_of_a_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    (tmp_path / "digits").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "digits" / f"{number}.png")
    few = {**SETTINGS, "train.num_images": 8, "train.previews": 0}
    made = Run.create(tmp_path / "digits", output_dir=tmp_path / "run", settings=few).train()
    config = json.loads(members(made.pack(tmp_path / "run.zip"))["config.json"])
    assert config["settings"]["data"]["source"] == "./digits"


@pytest.mark.parametrize("resumable", [False, True])
def test_the_same_run_gives_the_same_bytes_anywhere(run: Run, tmp_path: Path, resumable: bool) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    here, there = run.pack(tmp_path / "a.zip", resumable=resumable), tmp_path / "b.zip"
    assert main(["pack", str(tmp_path / "run"), str(there), *["--resumable"] * resumable]) == 0
    assert here.read_bytes() == there.read_bytes()
    assert main(["pack", str(tmp_path / "run"), str(there)]) == 0  # a bundle takes a bundle's place


def test_a_resumable_bundle_goes_on_to_the_same_weights(run: Run, tmp_path: Path) -> None:
    images = str(run.path.parent / "images.npz")
    begun = Run.create(images, output_dir=tmp_path / "run", settings={**SETTINGS, "train.checkpointing_steps": 35})
    going = begun.steps()
    for _ in range(37):  # to the checkpoint after 280 of 320 images
        next(going)
    going.close()
    Run.unpack(begun.pack(tmp_path / "run.zip", resumable=True), tmp_path / "other")
    ours, theirs = Run.resume(begun.path).train(), Run.resume(tmp_path / "other", data=images).train()
    assert ours.sample(4).images.tobytes() == theirs.sample(4).images.tobytes()
    assert ours.sample(2, weights="ema:0.15").images.tobytes() == theirs.sample(2, weights="ema:0.15").images.tobytes()


def test_a_bundle_without_the_optimizer_does_not_go_on(run: Run, packed: Path, tmp_path: Path) -> None:
    other = Run.unpack(packed, tmp_path / "run").path
    with pytest.raises(UsageError, match=r"packed.*--init"):
        Run.resume(other, data=str(run.path.parent / "images.npz"), settings={"train.num_images": 400})


def test_nothing_is_overwritten(run: Run, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    assert main(["unpack", str(packed), "--output_dir", str(tmp_path / "there")]) == UsageError.exit_code
    mine = tmp_path / "mine.zip"
    mine.write_bytes(b"mine")
    assert main(["pack", str(run.path), str(mine)]) == UsageError.exit_code and mine.read_bytes() == b"mine"
    assert main(["pack", str(run.path), str(tmp_path / "run.tar")]) == UsageError.exit_code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.zip", "there"]


def test_names_are_made_of_the_folder_and_of_the_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["pack", str(run.path)]) == 0 and main(["unpack", "run.fromnoise.zip"]) == 0
    assert (tmp_path / "runs" / "run" / "config.json").is_file()


Files = list[tuple[zipfile.ZipInfo, bytes]]


def put(name: str, content: bytes = b"x", listed: bool = True, mode: int = 0) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        files.insert(0, (info, content))
        if listed:
            relist(files, name, content)

    return change


def place(files: Files, name: str) -> int:
    """Where the file of this name is, or the first whose name ends so."""
    names = [info.filename for info, _ in files]
    return names.index(name) if name in names else next(i for i, one in enumerate(names) if one.endswith(name))


def relist(files: Files, name: str, content: bytes) -> None:
    """Set the manifest right for `content`."""
    at = place(files, bundle.MANIFEST)
    manifest = json.loads(files[at][1])
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files[at] = (files[at][0], json.dumps(manifest).encode())


def edit(ending: str, change: Callable[[bytes], bytes], right: bool = True) -> Callable[[Files], None]:
    """Change the file whose name ends so; right: the manifests say so."""

    def changed(files: Files) -> None:
        at = place(files, ending)
        info, content = files[at][0], change(files[at][1])
        files[at] = (info, content)
        if right:
            relist(files, info.filename, content)

    return changed


def without(ending: str) -> Callable[[Files], None]:
    return lambda files: files.remove(files[place(files, ending)])


def compressed(files: Files) -> None:
    next(info for info, _ in files if info.filename == "config.json").compress_type = zipfile.ZIP_DEFLATED


def manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Files], None]:
    def changed(content: bytes) -> bytes:
        stored = json.loads(content)
        change(stored)
        return json.dumps(stored).encode()

    return edit(bundle.MANIFEST, changed, right=False)


def nan(content: bytes) -> bytes:
    size = int.from_bytes(content[:8], "little")
    return content[: 8 + size] + b"\xff" * (len(content) - 8 - size)


BROKEN: dict[str, Callable[[Files], None]] = {
    **{
        f"name {name!r}": put(name) for name in ("../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil", "evil")
    },
    "a name in other case": put("CONFIG.JSON"),
    "a script": put("figures/run.py"),
    "a name twice": put("config.json"),
    "a link": put("figures/samples.png", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
    "a folder in the place of a file": put("figures/samples.png/", b""),
    "a file that is not listed": put("figures/samples.png", listed=False),
    "a file that is missing": without("state.json"),
    "no manifest": without(bundle.MANIFEST),
    "compressed": compressed,
    "other content": edit("config.json", lambda content: content + b" ", right=False),
    "damaged settings": edit("config.json", lambda content: content.replace(b'"width": 8', b'"width": -8')),
    "another network": edit("config.json", lambda content: content.replace(b'"width": 8', b'"width": 16')),
    "weights that are not": edit("ema.safetensors", lambda content: b"not weights"),
    "weights that are not finite": edit("ema.safetensors", nan),
    "a newer format": manifest(lambda stored: stored.update(format=99)),
    "a manifest without files": manifest(lambda stored: stored.pop("files")),
    "a manifest of other values": manifest(lambda stored: stored.update(files={"config.json": 3})),
}


def rebuilt(packed: Path, target: Path, change: Callable[[Files], None]) -> Path:
    with zipfile.ZipFile(packed) as archive:
        files = [(info, archive.read(info)) for info in archive.infolist()]
    change(files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of names that are there twice
        for info, content in files:
            archive.writestr(info, content, info.compress_type)
    target.write_bytes(buffer.getvalue())
    return target


def refused(path: Path, folder: Path, code: int) -> None:
    before = sorted(folder.iterdir())
    assert main(["unpack", str(path), "--output_dir", str(folder / "out")]) == code
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", BROKEN)
def test_what_pack_does_not_write_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    refused(rebuilt(packed, tmp_path / "b.zip", BROKEN[name]), tmp_path, CheckpointError.exit_code)


def test_the_unchanged_bundle_is_not_refused(packed: Path, tmp_path: Path) -> None:
    whole = rebuilt(packed, tmp_path / "b.zip", lambda files: None)
    assert main(["unpack", str(whole), "--output_dir", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("cut", [0, 10, -1, -200])
def test_a_bundle_cut_short_is_refused(packed: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "b.zip").write_bytes(packed.read_bytes()[:cut])
    refused(tmp_path / "b.zip", tmp_path, CheckpointError.exit_code)


def test_files_that_lie_one_over_the_other_are_refused(packed: Path, tmp_path: Path) -> None:
    """Every entry of the directory at one place, so that a small file would unpack to a large one."""
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
        start = archive.start_dir
    for info_at in range(len(content)):
        at = content.find(b"PK\x01\x02", max(start, info_at))
        if at < 0:
            break
        if at == info_at:
            content[at + 20 : at + 28] = 2 * largest.file_size.to_bytes(4, "little")
            content[at + 42 : at + 46] = largest.header_offset.to_bytes(4, "little")
    (tmp_path / "b.zip").write_bytes(content)
    refused(tmp_path / "b.zip", tmp_path, CheckpointError.exit_code)


def test_no_space_leaves_nothing(run: Run, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.copy(packed, tmp_path / "b.zip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "write_through", full)
        refused(tmp_path / "b.zip", tmp_path, WriteError.exit_code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        refused(tmp_path / "b.zip", tmp_path, WriteError.exit_code)
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    assert main(["pack", str(run.path), str(tmp_path / "c.zip")]) == WriteError.exit_code
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


def test_a_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    begun = Run.create("digits", output_dir=tmp_path / "run", settings=SETTINGS)
    assert main(["pack", str(begun.path), str(tmp_path / "b.zip")]) == CheckpointError.exit_code
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
