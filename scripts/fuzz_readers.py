"""What `scripts/fuzz.py` damages, and what reads it: for each kind of file, small whole ones and a reader of ours."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from fromnoise.train.trainer import Trainer

TINY = {
    "net.width": 8, "net.depth": 1, "train.num_images": 24, "train.train_batch_size": 8, "train.previews": 0,
    "train.validations": 0, "train.log_every": 1, "sample.steps": 1, "train.use_ema": True,
}  # fmt: skip
LONG: dict[str, Any] = {"train.num_images": 264, "train.train_batch_size": 4}  # so that averages are saved


@dataclass(frozen=True)
class Sample:
    """A whole file: `content` is what is damaged, and `wrap` then makes the file of it (a checksum set right again)."""

    path: Path
    content: bytes
    wrap: Callable[[bytes], bytes] = bytes


@dataclass(frozen=True)
class Reader:
    """make(folder): writes whole files into it, and says which to damage. read(folder): reads all that is there.

    refuses: whether damage can make it refuse; a log or a note beside the data is only read as far as it goes. one_in:
    it is given only every so many of the damaged files, since it takes its time.
    """

    name: str
    make: Callable[[Path], list[Sample]]
    read: Callable[[Path], object]
    refuses: bool = True
    one_in: int = 1


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Pictures

Modes = list[tuple[str, dict[str, Any]]]  # of a picture, and what its writer is given


def _pictures(modes: Modes, kind: str, wrap: Any = bytes) -> Callable[[Path], list[Sample]]:
    def make(folder: Path) -> list[Sample]:
        (folder / "p").mkdir()
        for number in range(2):
            Image.fromarray(_noise(9, 9, 3, seed=number)).save(folder / "p" / f"whole{number}.png")
        samples = []
        for number, (mode, how) in enumerate(modes):
            buffer = io.BytesIO()
            picture(mode).save(buffer, kind, **how)
            samples.append(Sample(folder / "p" / f"b.{kind.lower()}", buffer.getvalue(), wrap if number % 2 else bytes))
        samples[0].path.write_bytes(samples[0].content)
        return samples

    return make


def picture(mode: str) -> Image.Image:
    """A picture of 12 x 11 pixels of noise in one of Pillow's modes."""
    if mode.startswith("I;16"):
        return Image.fromarray(_noise(11, 12).astype(np.uint16) * 257)
    return Image.fromarray(_noise(11, 12, 3)).convert(mode)


def _checksums(content: bytes) -> bytes:
    """A PNG with the checksum of every chunk set right again, so that the damage reaches the decoder."""
    out, place = content[:8], 8
    while place + 12 <= len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        body = content[place + 4 : place + 8 + size]
        out += content[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + size
    return out


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    return exif.tobytes()


def _read_images(folder: Path) -> object:
    from fromnoise.data import load

    return load(str(folder / "p"))


PNG: Modes = [
    ("RGB", {}),
    ("P", {}),
    ("L", {"exif": _exif()}),
    ("RGBA", {}),
    ("1", {}),
    ("I;16", {}),
    ("LA", {}),
    ("RGB", {}),
]
JPEG: Modes = [("RGB", {"exif": _exif()}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})]
TIFF: Modes = [
    ("RGB", {}), ("L", {"compression": "tiff_lzw"}), ("RGB", {"compression": "jpeg"}), ("I;16", {}), ("1", {}),
    ("RGBA", {"compression": "tiff_adobe_deflate"}), ("P", {}), ("CMYK", {}),
]  # fmt: skip
GIF: Modes = [("P", {}), ("L", {}), ("P", {"save_all": True, "append_images": [picture("P")]})]
WEBP: Modes = [("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"exif": _exif()})]
BMP: Modes = [("RGB", {}), ("P", {}), ("1", {}), ("L", {})]
PPM: Modes = [("RGB", {}), ("L", {}), ("1", {}), ("I;16", {})]
AVIF: Modes = [("RGB", {}), ("RGBA", {}), ("RGB", {"exif": _exif()})]

# Arrays


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _zipped(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _archives(path: Path, members: dict[str, bytes]) -> list[Sample]:
    """A .zip or .npz, damaged as a whole, stored and packed, and in each of its members."""

    def member(name: str) -> Callable[[bytes], bytes]:
        return lambda content: _zipped({**members, name: content})

    whole = [_zipped(members), _zipped(members, zipfile.ZIP_DEFLATED)]
    path.write_bytes(whole[0])
    return [*(Sample(path, content) for content in whole), *(Sample(path, members[m], member(m)) for m in members)]


def _images_and_labels() -> dict[str, bytes]:
    labels = np.arange(12) % 3
    return {
        "images.npy": _npy(_noise(12, 6, 6, 3)),
        "labels.npy": _npy(labels),
        "classes.npy": _npy(np.array(list("abc"))),
    }


def _keras() -> dict[str, bytes]:
    labels = np.arange(8, dtype=np.uint8)[:, None] % 2
    arrays = {"x_train": _noise(8, 5, 5), "y_train": labels, "x_test": _noise(8, 5, 5), "y_test": labels}
    return {f"{name}.npy": _npy(array) for name, array in arrays.items()}


SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")


def _read_npz(folder: Path) -> object:
    from fromnoise.data import load, splits
    from fromnoise.settings import DataOptions

    for path in folder.glob("*.npz"):
        options = DataOptions(str(path))
        there = splits(options)
        for split in SPLITS:
            if split in there:
                load(options, split)
    return None


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def _make_idx(damage: str, packed: bool = False) -> Callable[[Path], list[Sample]]:
    def make(folder: Path) -> list[Sample]:
        contents = {IMAGES: _idx(_noise(10, 5, 5)), LABELS: _idx(_noise(10) % 3)}
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        sample = Sample(folder / damage, contents[damage])
        if not packed:
            return [sample]
        sample.path.unlink()
        path = folder / f"{damage}.gz"
        path.write_bytes(gzip.compress(sample.content))
        return [Sample(path, gzip.compress(sample.content)), Sample(path, sample.content, gzip.compress)]

    return make


def _read_folder(folder: Path) -> object:
    from fromnoise.data import load

    return load(str(folder))


def _make_cifar(folder: Path) -> list[Sample]:
    """The archive and the files of CIFAR-10's binary version."""
    from fromnoise.data.registry import DATASETS

    record = bytes([3]) + _noise(3072).tobytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("data_batch_1.bin", "test_batch.bin"):
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = 2 * len(record)
            archive.addfile(entry, io.BytesIO(2 * record))
    path = folder / DATASETS["cifar10"].files[0].name
    plain = buffer.getvalue()
    path.write_bytes(gzip.compress(plain, 1))
    return [
        Sample(path, gzip.compress(plain, 1)),
        Sample(path, plain, lambda b: gzip.compress(b, 1)),
        Sample(path, plain),
    ]


def _read_cifar(folder: Path) -> object:
    from fromnoise.data.cifar import Cifar
    from fromnoise.data.registry import DATASETS
    from fromnoise.settings import DataOptions

    options = DataOptions("cifar10")
    archive = Cifar(folder / DATASETS["cifar10"].files[0].name)
    return [archive.read(split, options) for split in ("train", "test")]


def _make_zip(folder: Path) -> list[Sample]:
    buffer = io.BytesIO()
    picture("RGB").save(buffer, "PNG")
    names = ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    return _archives(folder / "p", dict.fromkeys(names, buffer.getvalue()))


def _make_statistics(folder: Path) -> list[Sample]:
    arrays = {"mu": np.zeros(3), "sigma": np.eye(3), "count": np.int64(9), "space": np.array("domain")}
    return _archives(folder / "s.npz", {f"{name}.npy": _npy(array) for name, array in arrays.items()})


def _read_statistics(folder: Path) -> object:
    from fromnoise.metrics.frechet import load_statistics

    return load_statistics(folder / "s.npz")


def _make_store(folder: Path) -> list[Sample]:
    """A store that was given as DATA; its checksums are set right again."""
    from fromnoise.data import DataOptions
    from fromnoise.data.stores import import_data

    _archives(folder / "i.npz", _images_and_labels())
    out = import_data(DataOptions(str(folder / "i.npz")), folder / "p")
    signed = [out / "fromnoise-store.json", out / "train" / "store.json"]
    plain = [out / "train" / "labels.i8", out / "train" / "pixels-3.u8"]
    return [Sample(path, path.read_bytes(), _signed) for path in signed] + [
        Sample(path, path.read_bytes()) for path in (*signed, *plain)
    ]


# What lies beside pictures


def _make_beside(name: str, content: bytes) -> Callable[[Path], list[Sample]]:
    def make(folder: Path) -> list[Sample]:
        for number in range(4):
            path = folder / "p" / "0" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_noise(6, 6, 3, seed=number)).save(path)
        target = folder / "p" / ("0" if name.startswith("metadata") else "") / name
        target.write_bytes(content)
        return [Sample(target, content)]

    return make


DATASET_JSON = json.dumps({"labels": [[f"0/{n}.png", n % 2] for n in range(4)]}).encode()
JSONL = b"".join(json.dumps({"file_name": f"{n}.png", "label": n % 2}).encode() + b"\n" for n in range(4))
CSV = b"file_name,label\n" + b"".join(b"%d.png,%d\n" % (n, n % 2) for n in range(4))

# Runs


def _make_run(folder: Path, **changes: Any) -> Path:
    from fromnoise.run import Run

    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", images=rng.integers(0, 256, (16, 8, 8), dtype=np.uint8), labels=np.arange(16) % 2)
    return Run.create(str(folder / "data.npz"), output_dir=folder / "run", settings={**TINY, **changes}).train().path


def _signed(content: bytes) -> bytes:
    """A stored JSON object with its checksum set right again; anything else as it is."""
    from fromnoise.common.stored_json import parse_object, signed

    try:
        value = parse_object(content)
    except ValueError:
        return content
    return json.dumps(signed({name: held for name, held in value.items() if name != "sha256"})).encode()


def _make_in_run(name: str, manifest: bool = False, **changes: Any) -> Callable[[Path], list[Sample]]:
    """A file of a run; manifest: its checksum is set right again, so that the damage reaches its reader."""

    def make(folder: Path) -> list[Sample]:
        (path, *_) = _make_run(folder, **changes).glob(name)
        if not manifest:
            whole = Sample(path, path.read_bytes())
            return [whole, replace(whole, wrap=_signed)] if name == "config.json" else [whole]

        def wrap(content: bytes) -> bytes:
            sums = json.loads((path.parent / "manifest.json").read_bytes())
            sums[path.name] = hashlib.sha256(content).hexdigest()
            (path.parent / "manifest.json").write_bytes(json.dumps(sums).encode())
            return content

        return [Sample(path, path.read_bytes(), wrap)]

    return make


def _in_copy(*verbs: Callable[[Path], object]) -> Callable[[Path], object]:
    """What a verb writes must not mend the run for the next file, so each file is read in a copy."""

    def read(folder: Path) -> object:
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder / "run", copy)
        return [verb(copy) for verb in verbs]

    return read


def _sample(run: Path) -> object:
    from fromnoise.run import Run

    return Run(run, device="cpu").sample(1, steps=1)


def _model(folder: Path) -> object:
    from fromnoise.run import Run

    return Run(folder / "run", device="cpu").model()


@functools.cache
def _trainer(folder: Path) -> Trainer:
    from fromnoise.data.batches import Batches
    from fromnoise.model.build import build_objective
    from fromnoise.run import Run
    from fromnoise.train.trainer import Trainer

    run = Run(folder / "run", device="cpu")
    options = run.settings.train
    batches = Batches(run.data, options.train_batch_size, options.seed)
    objective = build_objective(run.settings.objective, 0.5)
    return Trainer(run.new_model().denoiser, objective, batches, options, total=24)


def _restore(folder: Path) -> object:
    """The checkpoint, taken up as training does, and each of its files as sampling does."""
    from fromnoise.train.checkpoint import restore_trainer
    from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint

    trainer = _trainer(folder)
    return [
        restore_trainer(read_checkpoint(path), trainer) for path in list_checkpoints(folder / "run" / "checkpoints")
    ]


def _restore_or_model(folder: Path) -> object:
    """Whether either refuses it; both must end well or with a refusal."""
    from fromnoise.common.errors import FromNoiseError

    try:
        _restore(folder)
    except FromNoiseError:
        _model(folder)
        raise
    return _model(folder)


def _train(run: Path) -> object:
    """The same command again: the settings are compared, and the last checkpoint is taken up."""
    from fromnoise.run import Run

    return Run.create(str(run.parent / "data.npz"), output_dir=run, settings=TINY, device="cpu").train()


def _average(run: Path) -> object:
    from fromnoise.run import Run

    return Run(run, device="cpu").model(weights="ema:0.15")


def _best(run: Path) -> object:
    from fromnoise.run import Run

    return Run(run, device="cpu").checkpoint("best")


def _read_log(run: Path) -> object:
    from fromnoise.cli.train import sum_seconds
    from fromnoise.run import Run
    from fromnoise.run.facts import facts

    opened = Run(run, device="cpu")
    opened.folder.rewind_metrics(24)
    return sum_seconds(opened.folder.read_metrics()), facts(opened)


def _draw_log(run: Path) -> object:
    from fromnoise.report.training_curves import training_curves
    from fromnoise.run import Run

    return training_curves(Run(run, device="cpu").folder.read_metrics())


def _make_best(folder: Path) -> list[Sample]:
    from fromnoise.train.best_checkpoint import Score, record_score

    checkpoints = _make_run(folder) / "checkpoints"
    record_score(checkpoints, Score(24, "validation loss", 0.5), keep=2)
    return [Sample(checkpoints / "best.json", (checkpoints / "best.json").read_bytes())]


def _make_results(folder: Path) -> list[Sample]:
    """What evaluate, its sweep, diagnose and show leave in a run."""
    from fromnoise.diagnosis.diagnosis import SCHEMA
    from fromnoise.evaluation.evaluate import EvaluationSpec
    from fromnoise.evaluation.sweep import Sweep, SweepPoint
    from fromnoise.run import Run

    run = Run(_make_run(folder), device="cpu")
    extended = {"bits_per_dimension": 3.2, "bits_per_dimension_stderr": 0.1, "real_accuracy": 0.9}
    evaluation = run.evaluate(10, spec=EvaluationSpec("pixels"), steps=1).to_json() | {"extended": extended}
    sweep = Sweep(10, 24, (SweepPoint({"steps": 5}, 5, 1.0, 3.0, 0.1, 0.01, None),), None).to_json()
    finding = {"name": "loss", "level": "warning", "message": "words", "advice": "words"}
    contents = {
        run.folder.evaluation: evaluation,
        run.folder.sweep: sweep,
        run.folder.diagnosis: {"schema": SCHEMA, "findings": [finding]},
        run.folder.figures / "show.json": {"missing": "words", "nfe": 5},
    }
    samples = [Sample(path, json.dumps(content).encode(), _signed) for path, content in contents.items()]
    for sample in samples:
        sample.path.write_bytes(sample.wrap(sample.content))
    return samples


def _read_report(run: Path) -> object:
    from fromnoise.run import Run
    from fromnoise.run.report import write_report

    return write_report(Run(run, device="cpu"))


def _make_bundle(folder: Path) -> list[Sample]:
    """A packed run, damaged as a whole, in its manifest, and in what its manifest then says it holds."""
    from fromnoise.run import Run

    path = Run(_make_run(folder), device="cpu").pack(folder / "b.zip")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def again(name: str) -> Callable[[bytes], bytes]:
        def wrap(content: bytes) -> bytes:
            held = {**members, name: _signed(content) if name == "config.json" else content}
            if name != "manifest.json":
                about = {"bytes": len(held[name]), "sha256": hashlib.sha256(held[name]).hexdigest()}
                stored = json.loads(members["manifest.json"])
                held["manifest.json"] = json.dumps({**stored, "files": {**stored["files"], name: about}}).encode()
            return _zipped(held)

        return wrap

    changed = ("manifest.json", "config.json", "checkpoints/00000024/manifest.json")
    return [Sample(path, path.read_bytes()), *(Sample(path, members[name], again(name)) for name in changed)]


def _unpack(folder: Path) -> object:
    from fromnoise.run import Run

    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    return Run.unpack(folder / "b.zip", folder / "unpacked", device="cpu")


def _make_config(folder: Path) -> list[Sample]:
    from fromnoise.common.options import to_dict
    from fromnoise.run.folder import to_toml
    from fromnoise.settings import Settings

    np.savez(folder / "data.npz", images=_noise(8, 6, 6))
    tables = {
        name: {
            key: list(value) if isinstance(value, tuple) else value for key, value in table.items() if value is not None
        }
        for name, table in to_dict(Settings()).items()
        if isinstance(table, dict)
    }
    content = to_toml(tables).encode()
    (folder / "c.toml").write_bytes(content)
    return [Sample(folder / "c.toml", content)]


def _read_config(folder: Path) -> object:
    from fromnoise.data import load
    from fromnoise.recipes.resolve import Request

    request = Request.read(str(folder / "data.npz"), "default", folder / "c.toml", {})
    options = request.data_options()
    return request.settings(request.context(load(options)), options)


READERS = {
    reader.name: reader
    for reader in (
        Reader("png", _pictures(PNG, "PNG", _checksums), _read_images),
        Reader("jpeg", _pictures(JPEG, "JPEG"), _read_images),
        Reader("tiff", _pictures(TIFF, "TIFF"), _read_images),
        Reader("gif", _pictures(GIF, "GIF"), _read_images),
        Reader("webp", _pictures(WEBP, "WEBP"), _read_images),
        Reader("bmp", _pictures(BMP, "BMP"), _read_images),
        Reader("ppm", _pictures(PPM, "PPM"), _read_images),
        Reader("avif", _pictures(AVIF, "AVIF"), _read_images),
        Reader("zip", _make_zip, _read_images),
        Reader("npz", lambda folder: _archives(folder / "i.npz", _images_and_labels()), _read_npz),
        Reader("npz-keras", lambda folder: _archives(folder / "k.npz", _keras()), _read_npz),
        Reader("store", _make_store, _read_images),
        Reader("idx-images", _make_idx(IMAGES), _read_folder),
        Reader("idx-labels", _make_idx(LABELS), _read_folder),
        Reader("idx-gz", _make_idx(IMAGES, packed=True), _read_folder),
        Reader("cifar", _make_cifar, _read_cifar),
        Reader("dataset.json", _make_beside("dataset.json", DATASET_JSON), _read_images),
        Reader("metadata.jsonl", _make_beside("metadata.jsonl", JSONL), _read_images),
        Reader("metadata.csv", _make_beside("metadata.csv", CSV), _read_images),
        Reader("statistics", _make_statistics, _read_statistics),
        Reader("config-toml", _make_config, _read_config),
        Reader("run-config.toml", _make_in_run("config.toml"), _in_copy(_train), refuses=False, one_in=5),
        Reader("config.json", _make_in_run("config.json"), _in_copy(_sample, _train)),
        Reader("manifest.json", _make_in_run("checkpoints/*24/manifest.json"), _restore_or_model),
        Reader("state.json", _make_in_run("checkpoints/*24/state.json", manifest=True), _restore),
        Reader("weights", _make_in_run("checkpoints/*24/ema.safetensors", manifest=True), _model),
        Reader("optimizer", _make_in_run("checkpoints/*24/optimizer.safetensors", manifest=True), _restore),
        Reader("checkpoint", _make_in_run("checkpoints/*24/model.safetensors"), _restore_or_model),
        Reader("averages", _make_in_run("averages/*.*", **LONG), _in_copy(_average)),
        Reader("bundle", _make_bundle, _unpack),
        Reader("best.json", _make_best, _in_copy(_best)),
        Reader("results", _make_results, _in_copy(_read_report), refuses=False, one_in=2),
        Reader("curves", _make_in_run("metrics.jsonl"), _in_copy(_draw_log), refuses=False, one_in=10),
        Reader("metrics.jsonl", _make_in_run("metrics.jsonl"), _in_copy(_read_log), refuses=False),
    )
}
