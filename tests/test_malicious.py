"""Files that run code when they are opened carelessly do nothing through any door: the marker file is never made.

A door is a command with a path in it, or a reader of Python, that is given such a file where it expects another.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import FromNoiseError
from fromnoise.data import DATASETS, DataOptions, load
from fromnoise.data.idx import read_idx
from fromnoise.data.stores import import_data
from fromnoise.metrics import classifier_cache, classifier_training
from fromnoise.metrics.frechet import load_statistics
from fromnoise.train.checkpoint_files import read_checkpoint

MARKER = Path("marker")  # in the folder that the tests work in
TINY = ["--num_images", "264", "--train_batch_size", "4", "--set", "net.width=8", "--set", "net.depth=1"]
TINY += ["--previews", "0", "--set", "train.validations=2"]
DATA = "data.npz"
QUICK = ["--num", "1", "--steps", "1"]


class Shot:
    """Makes the marker when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (MARKER,)


def torch_file(**how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "shot": Shot()}, buffer, **how)
    return buffer.getvalue()


def npz(*keys: str) -> bytes:
    buffer = io.BytesIO()
    objects = np.empty(3, dtype=object)
    objects[:] = [Shot(), Shot(), Shot()]
    np.savez(buffer, **dict.fromkeys(keys, objects))
    return buffer.getvalue()


def slipping_zip() -> bytes:
    """Members that would be unpacked beside the archive, above it, at an absolute place, and through a link."""
    buffer, picture = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("marker", "../marker", "a/../../marker", str(MARKER.absolute()), "a/1.png", "a/2.png"):
            archive.writestr(name, picture.getvalue())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(MARKER.absolute()))
    return buffer.getvalue()


def tar_of_pickles() -> bytes:
    """CIFAR-10 as its Python version comes, under the names of the binary one too."""
    buffer, shot = io.BytesIO(), pickle.dumps(Shot())
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("cifar-10-batches-py/data_batch_1", "data_batch_1.bin", "test_batch.bin", "../marker"):
            entry = tarfile.TarInfo(name)
            entry.size = len(shot)
            archive.addfile(entry, io.BytesIO(shot))
    return buffer.getvalue()


TOUCH = "__import__('pathlib').Path('marker').touch()"
SHELL = "$(touch marker)"
JSON = {
    "format": 1,
    "settings": {"net": {"kind": "os.system", "target": TOUCH}, "data": {"source": f"`touch marker`{SHELL}"}},
    "!!python/object/apply:os.system": ["touch marker"],
    "__reduce__": ["os.system", ["touch marker"]],
    "_target_": "os.system",
    "images": TOUCH,
    "labels": [[TOUCH, 0], [f"a/1.png;touch marker;{SHELL}", TOUCH]],
}
ARMED: dict[str, Callable[[], bytes]] = {  # to be opened as it is: fires when that is done carelessly
    "pickle": lambda: pickle.dumps(Shot()),
    "torch.pt": torch_file,
    "torch-legacy.pt": lambda: torch_file(_use_new_zipfile_serialization=False),
}
FILES: dict[str, Callable[[], bytes]] = ARMED | {
    "pickle-text": lambda: pickle.dumps(Shot(), protocol=0),
    "pickle.gz": lambda: gzip.compress(pickle.dumps(Shot())),
    "images.npz": lambda: npz("images", "labels", "classes", "arr_0", "x_train", "train_images", "train_labels"),
    "statistics.npz": lambda: npz("mu", "sigma", "count", "space", "about", "distances"),
    "object.npy": lambda: zipfile.ZipFile(io.BytesIO(npz("images"))).read("images.npy"),
    "pickle-in-safetensors": lambda: (
        len(pickle.dumps(Shot())).to_bytes(8, "little") + pickle.dumps(Shot()) + pickle.dumps(Shot())
    ),
    "slipping.zip": slipping_zip,
    "pickles.tar.gz": tar_of_pickles,
    "config.json": lambda: json.dumps(JSON).encode(),
    "config.yaml": lambda: b"!!python/object/apply:os.system ['touch marker']\n",
    "config.toml": lambda: f'recipe = "{TOUCH}"\n[net]\nkind = "os.system"\ntarget = "{TOUCH}"\n'.encode(),
    "script": lambda: f"#!/usr/bin/env python\n{TOUCH}\n".encode(),
}
FEW = ("pickle", "torch.pt", "config.json")  # for doors that take seconds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a trained run and images, in which the tests work."""
    folder = tmp_path_factory.mktemp("malicious")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(folder)
        patch.setenv("FROMNOISE_CACHE", str(folder / "cache"))
        patch.setenv("FROMNOISE_DATA", str(folder / "known"))
        rng = np.random.default_rng(0)
        np.savez(DATA, images=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), labels=np.arange(40) % 2)
        assert main(["train", DATA, *TINY, "--output_dir", "whole"]) == 0
        for part in ("evaluation", "sweep", "diagnosis", "figures/show"):
            path = Path("whole") / f"{part}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text("{}")
        yield folder


def lay(path: str, content: bytes) -> str:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return path


def in_folder(*names: str) -> Callable[[bytes], str]:
    """The file under these names in a folder that holds two pictures besides."""

    def make(content: bytes) -> str:
        shutil.rmtree("folder", ignore_errors=True)
        for number in range(2):
            Path("folder/a").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(f"folder/a/{number}.png")
        for name in names:
            lay(f"folder/{name}", content)
        return "folder"

    return make


def in_run(*names: str) -> Callable[[bytes], str]:
    """The file in the place of these files of a run; a checkpoint's manifest then holds its checksum."""

    def make(content: bytes) -> str:
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree("whole", "run")
        for name in names:
            (path, *_) = sorted(Path("run").glob(name))
            path.write_bytes(content)
            manifest = path.parent / "manifest.json"
            if manifest.exists() and path != manifest:
                sums = {
                    file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.parent.glob("*[!t].*s*")
                }
                manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), **sums}))
        return "run"

    return make


def evaluated(run: str) -> None:
    main(["evaluate", run, "--num", "10", "--steps", "1", "--features", "pixels"])


def sampled_and_trained(run: str) -> None:
    main(["sample", run, *QUICK])
    main(["sample", run, *QUICK, "--weights", "ema:0.15"])
    main(["sample", run, *QUICK, "--checkpoint", "best"])
    main(["train", DATA, *TINY, "--output_dir", run])
    main(["train", DATA, *TINY, "--num_epochs", "2", "--output_dir", run])


def looked_at(run: str) -> None:
    main(["show", run])
    main(["compare", run, "whole", "--out", "compared.html"])
    main(["diagnose", run])


def cached_rows(content: bytes) -> None:
    """The file in the place of the reference rows in the cache."""
    words = ["evaluate", "whole", "--num", "10", "--steps", "1", "--features", "pixels"]
    main(words)
    kept = list(Path("cache").rglob("rows-*.npz"))
    assert kept
    for path in kept:
        path.write_bytes(content)
    main(words)


def cached_classifier(content: bytes) -> None:
    """The file in the place of the classifier in the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_cache, "train_classifier", classifier_training.new_classifier)
        images = load(DATA)
        classifier_cache.cached_classifier(images, Path("nets"))
        kept = list(Path("nets").iterdir())
        assert {path.suffix for path in kept} == {".safetensors", ".json"}
        for path in kept:
            path.write_bytes(content)
        classifier_cache.cached_classifier(images, Path("nets"))


def in_store(content: bytes) -> str:
    """The file in the place of each of a store's."""
    import_data(DataOptions(DATA), Path("kept"))
    shutil.rmtree("store", ignore_errors=True)
    shutil.copytree("kept", "store")
    for path in sorted(Path("store").rglob("*.*")):
        whole = path.read_bytes()
        path.write_bytes(content)
        loaded("store")
        path.write_bytes(whole)
    return lay("store/fromnoise-store.json", content) and "store"


PLACES = {
    **{f"file{end}": partial(lay, f"file{end}") for end in ("", ".npz", ".npy", ".zip", ".pt", ".gz", ".png")},
    "picture": in_folder("a/2.png", "a/3.jpg", "a/4.tif", "b/5.webp"),
    "beside": in_folder("dataset.json", "metadata.jsonl", "metadata.csv", "a.pkl", "config.json", "a/labels.npy"),
    "idx": in_folder("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"),
    "only-idx": lambda c: str(Path(lay("idx/train-images-idx3-ubyte", c)).parent),
    "store": in_store,
    "cifar": lambda c: str(Path(lay("cifar/data_batch_1.bin", c)).parent),
    "named-mnist": lambda c: [lay(f"known/mnist/{file.name}", c) for file in DATASETS["mnist"].files] and "mnist",
    "named-cifar": lambda c: [lay(f"known/cifar10/{file.name}", c) for file in DATASETS["cifar10"].files] and "cifar10",
    "hub": lambda c: [lay(f"owner/name/{name}", c) for name in ("name.py", "a.pkl", "README.md")] and "hf:owner/name",
}
RUNS = {
    **{name: in_run(name) for name in ("config.json", "config.toml", "metrics.jsonl")},
    **{name: in_run(f"checkpoints/*/{name}.safetensors") for name in ("model", "ema", "ema-0.05", "optimizer")},
    **{name: in_run(f"checkpoints/*/{name}.json") for name in ("manifest", "state")},
    "best": in_run("checkpoints/best.json"),
    "averages": in_run("averages/*"),
}


def refused(read: Callable[..., object], path: object) -> None:
    with contextlib.suppress(FromNoiseError):
        read(path)


def entered(verb: Callable[[str], object], make: Callable[[bytes], str]) -> Callable[[bytes], object]:
    """The door of a verb (or reader) of the path where `make` laid the file."""
    return lambda content: verb(make(content))


def inspected(path: str) -> None:
    main(["data", "inspect", path])


def loaded(path: str) -> None:
    with contextlib.suppress(FromNoiseError):
        load(path)


def door(*words: str, file: str = "file") -> Callable[[bytes], object]:
    """The door of a command: FILE in it is the path of the file."""
    return lambda content: main([lay(file, content) if word == "FILE" else word for word in words])


def folder_of_weights(content: bytes) -> str:
    for name in ("config.json", "pytorch_model.bin", "model.safetensors"):
        lay(f"weights/{name}", content)
    return "weights"


def pipeline_of_weights(content: bytes) -> str:
    """A folder for diffusers in which the file is the weights, code, and what lies beside them."""
    shutil.rmtree("pipeline", ignore_errors=True)
    net = {"sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": [32, 32, 32, 32]}
    unet, scheduler = ["diffusers", "UNet2DModel"], ["diffusers", "DDPMScheduler"]
    index = {"_class_name": "DDPMPipeline", "unet": unet, "scheduler": scheduler}
    parts = {"model_index": index, "unet/config": net, "scheduler/scheduler_config": {}}
    for name, part in parts.items():
        lay(f"pipeline/{name}.json", json.dumps(part).encode())
    for name in ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", "network.py"):
        lay(f"pipeline/unet/{name}", content)
    return "pipeline"


def bundle_of(content: bytes) -> str:
    """A bundle in which the file is every file of a run, as its manifests say."""
    names = ("config.json", "config.toml", "metrics.jsonl", "checkpoints/00000264/state.json", "README.md")
    weights = [f"checkpoints/00000264/{name}.safetensors" for name in ("model", "ema", "optimizer")]
    digest = hashlib.sha256(content).hexdigest()
    listed = {name: {"bytes": len(content), "sha256": digest} for name in (*names, *weights)}
    with zipfile.ZipFile("bundle.zip", "w") as archive:
        for name in listed:
            archive.writestr(name, content)
        archive.writestr("manifest.json", json.dumps({"format": 1, "files": listed}))
    return "bundle.zip"


EVALUATE = ("evaluate", "whole", "--num", "10", "--steps", "1")
LOG = ("metrics.jsonl", "evaluation.json", "sweep.json", "diagnosis.json", "figures/show.json")
DOORS: dict[str, Callable[[bytes], object]] = {
    **{f"data-inspect-{name}": entered(inspected, make) for name, make in PLACES.items()},
    **{f"load-{name}": entered(loaded, make) for name, make in PLACES.items()},
    **{f"run-{name}": entered(sampled_and_trained, make) for name, make in RUNS.items()},
    "train": door("train", "FILE", *TINY, "--output_dir", "new", file="file.npz"),
    "train-config": door("train", DATA, *TINY, "--config", "FILE", "--output_dir", "new"),
    "train-output_dir": door("train", DATA, *TINY, "--output_dir", "FILE"),
    "train-init": lambda c: main(["train", DATA, *TINY, "--init", pipeline_of_weights(c), "--output_dir", "new"]),
    "import": lambda c: main(["import", pipeline_of_weights(c), "--output_dir", "new"]),
    "import-index": lambda c: main(["import", str(Path(lay("p/model_index.json", c)).parent), "--output_dir", "new"]),
    "import-state_dict": door("import", "--state_dict", "FILE", "--recipe", "default", "--data", DATA),
    "unpack": door("unpack", "FILE", "--output_dir", "new", file="file.zip"),
    "unpack-weights": lambda c: main(["unpack", bundle_of(c), "--output_dir", "new"]),
    "sample": door("sample", "FILE", *QUICK),
    "evaluate-run": entered(evaluated, in_run(*LOG)),
    "evaluate-statistics": door(*EVALUATE, "--statistics", "FILE"),
    "evaluate-inception": door(*EVALUATE, "--features", "inception", "--feature_weights", "FILE"),
    "evaluate-dinov2": lambda c: main([*EVALUATE, "--features", "dinov2", "--feature_weights", folder_of_weights(c)]),
    "evaluate-samples": door("evaluate", "--samples", "FILE", "--reference", DATA, file="file.npz"),
    "evaluate-reference": door("evaluate", "--samples", DATA, "--reference", "FILE", file="file.npz"),
    "edit-image": door("edit", "whole", "img2img", "--image", "FILE", *QUICK),
    "edit-mask": door("edit", "whole", "inpaint", "--image", "0", "--mask", "FILE", *QUICK),
    "show-compare-diagnose": entered(looked_at, in_run(*LOG)),
    "cached-rows": cached_rows,
    "cached-classifier": cached_classifier,
    "load_statistics": lambda c: refused(load_statistics, lay("file.npz", c)),
    "read_idx": lambda c: refused(read_idx, Path(lay("file.gz", c))),
    "read_checkpoint": lambda c: refused(read_checkpoint, Path(lay("checkpoint/manifest.json", c)).parent),
}
SLOW = ("evaluate-run", "show-compare-diagnose", "cached-rows", *(f"run-{name}" for name in RUNS))


@pytest.mark.parametrize("name", ARMED)
def test_the_files_do_fire_when_they_are_opened_carelessly(place: Path, name: str) -> None:
    content = io.BytesIO(ARMED[name]())
    torch.load(content, weights_only=False) if name.startswith("torch") else pickle.load(content)
    assert MARKER.exists()
    MARKER.unlink()


def test_an_array_of_objects_fires_when_it_is_opened_carelessly(place: Path) -> None:
    with np.load(io.BytesIO(FILES["images.npz"]()), allow_pickle=True) as arrays:
        assert len(arrays["images"]) == 3
    assert MARKER.exists()
    MARKER.unlink()


@pytest.mark.parametrize("name", DOORS)
def test_nothing_is_run(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    around = set(place.parent.iterdir())
    for file in FEW if name in SLOW else FILES:
        DOORS[name](FILES[file]())
        assert not MARKER.exists(), f"{file} ran through {name}"
    assert set(place.parent.iterdir()) == around
    assert "Traceback" not in capsys.readouterr().err
