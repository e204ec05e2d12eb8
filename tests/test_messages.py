"""Every message to the user, made by provoking its error, against the words stored in `tests/messages.txt`.

This is the one place that holds the wording. After a message is changed on purpose, renew the file and read its diff:

    FROMNOISE_RENEW_MESSAGES=1 pytest tests/test_messages.py          (all of them, or some with -k)

A line of the file is `case | exit code or class | message`, where the case is the arguments of `fromnoise` (a new line
with nothing after them is a new case) or a name in CALLS below. Places, versions and long lists of names are left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise import corrupt, sample_with_step
from fromnoise.cli import main
from fromnoise.common.errors import FromNoiseError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import from_dict, replaced
from fromnoise.data import DataOptions, load
from fromnoise.data.batches import Batches
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion import editing
from fromnoise.diffusion.prediction import Eps
from fromnoise.diffusion.process import VE, Linear, Uniform
from fromnoise.diffusion.samplers import SAMPLERS, sample
from fromnoise.diffusion.time_grids import UniformGrid, grid_named
from fromnoise.diffusion.vp import VPLinear
from fromnoise.figures import animation, curves, encode, grid, image_rows
from fromnoise.metrics import (
    checks,
    class_accuracy,
    classifier,
    classifier_tests,
    classifier_training,
    dinov2,
    frechet,
    inception,
    likelihood,
    memorization,
    nearest_neighbours,
    pixel_statistics,
)
from fromnoise.nets.dit import DiT
from fromnoise.report.html import Section, page
from fromnoise.run import Run
from fromnoise.settings import Settings, TrainOptions
from fromnoise.testing.oracles import Gaussian
from fromnoise.train.distributed import join
from fromnoise.train.hardware import choose_device, choose_graph
from fromnoise.train.shared_update import check_shares

FILE = Path(__file__).with_name("messages.txt")
RENEW = bool(os.environ.get("FROMNOISE_RENEW_MESSAGES"))
TRAINED = ["--num_images", "64", "--set", "net.width=8", "--set", "net.depth=1", "--previews", "0", "--no_posthoc_ema"]

pictures = np.zeros((2, 4, 4, 1), np.uint8)
SPEC = ImageSpec(1, 4, 4)


def images(n: int = 4, c: int = 1, side: int = 8) -> torch.Tensor:
    return torch.zeros(n, c, side, side, dtype=torch.uint8)


def data(n: int = 4, classes: tuple[str, ...] = ("a", "b"), side: int = 8, name: str = "stripes") -> ArrayData:
    labels = torch.arange(n) % len(classes) if classes else None
    return ArrayData(name, "train", images(n, side=side), labels, ImageSpec(1, side, side, classes))


def rows(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def gone(name: str, use: Callable[[], Any]) -> None:
    """`use` where the module `name` is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, None)
        use()


def busy() -> None:
    with Run("run").folder.locked():
        Run("run").train()


def changed() -> Any:
    with np.load("two.npz") as kept:
        np.savez("run-of-two.npz", images=kept["images"])
    Run.create("run-of-two.npz", output_dir="of-two", settings={"train.train_batch_size": 2})
    np.savez("run-of-two.npz", images=kept_plus_one())
    return Run("of-two").data


def kept_plus_one() -> Any:
    return np.full((2, 8, 8), 1, np.uint8)


def moved() -> Any:
    shutil.copy("two.npz", "elsewhere.npz")
    Run.create("elsewhere.npz", output_dir="of-elsewhere", settings={"train.train_batch_size": 2})
    Path("elsewhere.npz").unlink()
    return Run("of-elsewhere").data


def way(kind: str, **how: Any) -> Any:
    """One of the edits of the library on an exact denoiser."""
    x0, process = torch.zeros(1, 1, 2, 2), how.pop("process", Linear())
    sampler = SAMPLERS[how.pop("sampler", "ddim")]
    options = {"sampler": sampler, "grid": UniformGrid()(process, how.pop("steps", 4)), **how}
    if kind == "inpaint":
        return list(editing.inpaint(Gaussian(process), x0, torch.ones(1, 1, 2, 2), seeds=[0], **options))
    if kind == "invert":
        return list(editing.invert(Gaussian(process), x0, **options))
    return list(editing.img2img(Gaussian(process), x0, seeds=[0], **options))


def sampled(times: list[float], process: Any = None, name: str = "ddim", label: Any = None) -> Any:
    oracle, grid = Gaussian(process or Linear()), torch.tensor(times)
    return list(sample(oracle, seeds=[0], sampler=SAMPLERS[name], grid=grid, label=label))


def statistics(**arrays: Any) -> Any:
    np.savez("statistics.npz", **arrays)
    return frechet.load_statistics(Path("statistics.npz"))


def bits(process: Any = None, spec: ImageSpec | None = None, n: int = 4, **how: Any) -> Any:
    own = data(n)
    return likelihood.bits_per_dimension(Gaussian(process or Linear(), spec or own.spec), own, **how)


def started_as(**environment: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return join()


CALLS: dict[str, Callable[[], Any]] = {
    "corrupt-uint8": lambda: corrupt(images(2), torch.zeros(2)),
    "corrupt-amounts": lambda: corrupt(torch.zeros(2, 1, 3, 3), torch.zeros(3)),
    "corrupt-noise": lambda: corrupt(torch.zeros(2, 1, 3, 3), torch.zeros(2), noise=torch.zeros(1, 1, 3, 3)),
    "sample_with_step-none": lambda: sample_with_step(torch.nn.Identity(), torch.zeros(1, 1, 4, 4), 0),
    "settings-section": lambda: from_dict(Settings(), {"trains": {}}),
    "settings-most": lambda: replaced(Settings(), {"train.adam_beta2": 2.0}),
    "settings-bool": lambda: replaced(Settings(), {"train.use_ema": 1}),
    "batches-large": lambda: Batches(data(), 11, seed=0),
    "batches-zero": lambda: Batches(data(), 0, seed=0),
    "data-no-test": lambda: load(DataOptions(source="two.npz"), "test"),
    "data-test-kind": lambda: load(DataOptions(source="kinds"), "test"),
    "data-hub-extra": lambda: gone("datasets", lambda: load(DataOptions(source="hf:me/pictures"))),
    "process-eps": lambda: Eps().check(Linear()),
    "sampler-mix": lambda: SAMPLERS["mix"].check(VPLinear()),
    "grid-even-on-ve": lambda: grid_named("few_steps", VE()),
    "sample-rising": lambda: sampled([0.0, 1.0]),
    "sample-times": lambda: sampled([80.0, 1.0, 0.0]),
    "sample-labels": lambda: sampled([1.0, 0.0], label=torch.arange(3)),
    "sample-prior": lambda: sampled([1.0, 0.0], Linear(Uniform()), "ddpm"),
    "img2img-strength": lambda: way("img2img", strength=1.5),
    "invert-stochastic": lambda: way("invert", sampler="ddpm"),
    "invert-one-step": lambda: way("invert", steps=1),
    "inpaint-resample": lambda: way("inpaint", resample=0),
    "inpaint-uniform": lambda: way("inpaint", process=Linear(Uniform()), resample=2),
    "dit-width": lambda: DiT(SPEC, width=50),
    "device-unknown": lambda: choose_device("gpu"),
    "graph-cpu": lambda: choose_graph("cpu", "yes"),
    "processes-environment": lambda: started_as(WORLD_SIZE="2", RANK="1"),
    "processes-rank": lambda: started_as(WORLD_SIZE="2", RANK="2", MASTER_ADDR="localhost", MASTER_PORT="9"),
    "processes-number": lambda: started_as(WORLD_SIZE="two"),
    "processes-accelerate": lambda: started_as(ACCELERATE_USE_CPU="True", MASTER_ADDR="localhost"),
    "processes-batch": lambda: check_shares(TrainOptions(train_batch_size=3), 4),
    "run-busy": busy,
    "run-changed-data": changed,
    "run-moved-data": moved,
    "run-no-checkpoint": lambda: Run.create("digits", output_dir="new").denoiser(),
    "run-unknown-setting": lambda: Run("run").sample(1, stps=3),
    "run-gif-without-steps": lambda: Run("run").sample(1, steps=1).save("x.gif"),
    "figure-kind": lambda: grid.grid(pictures.astype(float)),
    "figure-columns": lambda: grid.grid(pictures, columns=0),
    "figure-captions": lambda: grid.grid(pictures, captions=["one"]),
    "figure-scale": lambda: grid.grid(pictures, scale=1.5),
    "figure-invert": lambda: grid.grid(np.zeros((2, 4, 4, 3), np.uint8), invert=True),
    "figure-ending": lambda: grid.save(grid.grid(pictures), Path("figure.jpg")),
    "figure-place": lambda: grid.save(grid.grid(pictures), Path("file/figure.png")),
    "figure-rows-none": lambda: image_rows.rows([]),
    "figure-rows-shape": lambda: image_rows.rows([("a", pictures), ("b", pictures[:1])]),
    "figure-rows-titles": lambda: image_rows.rows([("a", pictures)], ["only one"]),
    "figure-steps-count": lambda: image_rows.two_columns([pictures], []),
    "figure-steps-shape": lambda: image_rows.two_columns([pictures, pictures[:1]], [pictures, pictures[:1]]),
    "figure-gif-ending": lambda: animation.animate([grid.grid(pictures)], Path("a.png")),
    "figure-gif-none": lambda: animation.animate([], Path("a.gif")),
    "figure-gif-time": lambda: animation.animate([grid.grid(pictures)], Path("a.gif"), hold=-1.0),
    "figure-gif-size": lambda: animation.animate([grid.grid(pictures), grid.grid(pictures[:1])], Path("a.gif")),
    "figure-lines-none": lambda: curves.lines({}, "x", "y", "t"),
    "figure-lines-length": lambda: curves.loss_curve([1, 2], [1]),
    "figure-png-bytes": lambda: encode.png_bytes(b"<svg>"),
    "figure-no-picture": lambda: encode.png_bytes(None),  # type: ignore[arg-type]
    "page-table": lambda: page("t", "", [Section("s", table=[("a", "b"), (1,)])]),
    "features-shape": lambda: checks.checked(torch.zeros(3), 1),
    "features-few": lambda: checks.checked(torch.zeros(4, 2), 5),
    "features-nan": lambda: checks.checked(torch.full((4, 2), torch.nan), 2),
    "features-unlike": lambda: checks.alike(3, 4),
    "classifier-labels": lambda: classifier_training.train_classifier(data(classes=())),
    "classifier-images": lambda: classifier.Classifier(1, 2).features(images(c=3)),
    "classifier-accuracy": lambda: classifier.accuracy(classifier.Classifier(1, 2), data(classes=())),
    "classes-none": lambda: class_accuracy.class_accuracy(classifier.Classifier(1, 3), images(0)),
    "classes-count": lambda: class_accuracy.class_accuracy(
        classifier.Classifier(1, 3), images(), torch.zeros(3).long()
    ),
    "classes-range": lambda: class_accuracy.class_accuracy(classifier.Classifier(1, 3), images(), torch.arange(4)),
    "dinov2-extra": lambda: gone("transformers", dinov2.dinov2),
    "inception-extra": lambda: gone("torch_fidelity", inception.inception),
    "statistics-none": lambda: frechet.load_statistics(Path("none.npz")),
    "statistics-keys": lambda: statistics(mean=np.zeros(3)),
    "statistics-shape": lambda: statistics(mu=np.zeros(3), sigma=np.eye(4)),
    "statistics-words": lambda: statistics(mu=np.array(["a", "b"]), sigma=np.eye(2)),
    "statistics-nan": lambda: statistics(mu=np.array([np.nan, 0]), sigma=np.eye(2)),
    "bits-prior": lambda: bits(Linear(Uniform())),
    "bits-draws": lambda: bits(draws=0),
    "bits-one": lambda: bits(count=1),
    "bits-shape": lambda: bits(spec=SPEC),
    "bits-labels": lambda: bits(spec=ImageSpec(1, 8, 8, ("a",))),
    "neighbours-shape": lambda: nearest_neighbours.nearest(images(c=3), data()),
    "neighbours-count": lambda: nearest_neighbours.nearest(images(), data(), k=6),
    "copies-features": lambda: memorization.measure_baseline(data(), rows(5, 2), data(), rows(4, 2), count=2),
    "pixels-channels": lambda: pixel_statistics.pixel_statistics(images(), images(c=3)),
    "pixels-none": lambda: pixel_statistics.pixel_statistics(images(0), images()),
    "two-sample-shape": lambda: classifier_tests.two_sample_test(images(30), images(30, side=6)),
    "two-sample-few": lambda: classifier_tests.two_sample_test(images(30), images(19)),
    "usefulness-labels": lambda: classifier_tests.classification_accuracy_score(data(), data(classes=(), name="test")),
    "usefulness-classes": lambda: classifier_tests.classification_accuracy_score(data(), data(classes=("x", "y"))),
    "usefulness-shape": lambda: classifier_tests.classification_accuracy_score(data(), data(side=6)),
}


def stored() -> dict[str, str]:
    """`case -> exit code or class | message` of the file."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return {name: said for name, _, said in (line.partition(" | ") for line in lines)}


COMMANDS = [name for name in stored() if name not in CALLS]


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that can be wrong in it, with no data at hand, no network, and two runs."""
    folder = tmp_path_factory.mktemp("messages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FROMNOISE_OFFLINE", "1")
        patch.setenv("FROMNOISE_CACHE", str(folder / "cache"))
        patch.delenv("FROMNOISE_DATA", raising=False)
        fill()
        yield folder


def fill() -> None:
    def put(name: str, content: bytes | str = b"") -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)

    held = io.BytesIO()
    Image.new("RGB", (8, 8)).save(held, "PNG")
    png = held.getvalue()
    Path("empty").mkdir()
    files = {"file": b"", "notes.txt": b"words", "notes.png": b"words", "1.png": png, "photos.zip": b"no zip"}
    files |= {"broken.toml": b"[train\n", "flat.toml": b"train = 3\n", "mine/config.toml": b"# mine\n", "idx/x": b""}
    files |= {"texts/a.txt": b"", "one/1.png": png, "broken/1.png": b"", "broken/2.jpg": b"words"}
    files |= {"notes.onnx.md": b"", "unreadable/1.psd": b"", "unreadable/2.jxl": b"", "unreadable/3.jxl": b""}
    files |= {"classes/a/1.png": png, "classes/a/2.png": png, "classes/b/1.png": b"", "damaged.npz": b"PK"}
    files |= {"cut/config.json": b'{"format": 1}', "idx/train-images-idx3-ubyte": b"<html>"}
    files |= {f"kinds/{name}.png": png for name in ("train/a/1", "train/b/1", "test/a/1", "test/z/1")}
    for name, content in files.items():
        put(name, content)
    for name, pixels in {
        "mask": np.full((16, 16), 255),
        "small": np.zeros((12, 12)),
        "black": np.zeros((16, 16)),
    }.items():
        Image.fromarray(pixels.astype(np.uint8)).save(f"{name}.png")
    two = np.zeros((2, 8, 8), np.uint8)
    arrays = {"two": {"images": two}, "keys": {"pictures": two}, "floats": {"images": two + 300.5}}
    arrays |= {"labels": {"images": two, "labels": np.zeros(3)}, "broken": {"mu": np.zeros(3)}}
    arrays |= {
        "rgb": {"images": np.full((30, 16, 16, 3), (255, 0, 0), np.uint8)},
        "wide": {"images": np.zeros((30, 16, 24), np.uint8)},
        "masks": {"images": np.eye(16, dtype=np.uint8)[None].repeat(30, 0)},
        "few": {"images": np.zeros((5, 16, 16), np.uint8)},
    }
    for name, kept in arrays.items():
        np.savez(f"{name}.npz", **kept)  # type: ignore[arg-type]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["train", "digits", *TRAINED, "--output_dir", "run"]) == 0
        Run.create("two.npz", output_dir="plain", settings={"train.num_images": 2, "train.train_batch_size": 2}).train()
    for name in ("damaged", "incomplete", "bare", "newer"):
        shutil.copytree("run", name)
    (weights,) = Path("damaged/checkpoints").glob("*/ema.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (manifest,) = Path("incomplete/checkpoints").glob("*/manifest.json")
    manifest.unlink()
    shutil.rmtree("bare/checkpoints")
    record = Path("newer/config.json")
    record.write_text(re.sub(r'"format": \d+', '"format": 99', record.read_text()))


def provoked(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """`exit code or class | message`, in one line and without what differs from machine to machine."""
    if name in CALLS:
        with pytest.raises(FromNoiseError) as caught:
            CALLS[name]()
        kind, said = type(caught.value).__name__, str(caught.value)
    else:
        kind = str(main(shlex.split(name)[name == "fromnoise" :]))
        said = capsys.readouterr().err.strip().rpartition("fromnoise: ")[2]
    said = said.replace(str(Path.cwd()), "PLACE").replace(torch.__version__, "VERSION").replace("\n", "\\n")
    said = re.sub(r"((?:Known|Sections): (?:[\w.]+, ){2})(?:[\w.-]+, ){5,}[\w.-]+", r"\1...", said)
    return f"{kind} | {said}"


@pytest.mark.parametrize("name", [*COMMANDS, *CALLS])
def test_message_is_the_stored_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said, known = provoked(name, capsys), stored()
    if RENEW:
        known[name] = said
        FILE.write_text("".join(f"{case} | {words}\n" for case, words in known.items()), encoding="utf-8")
    assert said == known.get(name), "renew tests/messages.txt if this is meant (see the top of this file)"
