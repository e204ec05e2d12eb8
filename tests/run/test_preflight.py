"""A dry run says what the training then does, refuses what it refuses, and leaves everything as it was."""

import json
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from fromnoise.cli import main
from fromnoise.common import memory
from fromnoise.common.errors import MemoryLimitError
from fromnoise.nets.unet import UNet
from fromnoise.run import Run, preflight
from fromnoise.settings import TrainOptions
from fromnoise.train.optimizer import build_optimizer
from fromnoise.train.state_size import state_size


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Two steps are timed."""
    monkeypatch.setattr(preflight, "LEAST_STEPS", 2)
    monkeypatch.setattr(preflight, "LEAST_SECONDS", 0.0)


def flags(settings):
    return [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]


def dry(capsys, *arguments, code=0):
    """What `train ... --dry_run --json` prints, as JSON."""
    capsys.readouterr()
    assert main(["train", *map(str, arguments), "--dry_run", "--json"]) == code
    out = capsys.readouterr().out
    return json.loads(out) if out else None


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def size(folder):
    return sum(len(content) for content in contents(folder).values())


def test_the_estimate_is_what_the_training_takes(tiny_run, tiny_settings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = dry(capsys, "digits", *flags(tiny_settings))
    assert not list(tmp_path.iterdir()), "nothing is written"
    assert found["run"] == "runs/digits-default-s0" and found["images_seen"] == 0
    assert found["parameters"] == sum(p.numel() for p in tiny_run.denoiser().net.parameters())
    assert found["cost"]["images"] == 640 and found["cost"]["micro_batch"] == found["batch_size"] == 64
    assert found["data"]["counts"] == {"train": 1500, "test": 297} and found["data"]["duplicates"] == 0
    last, disk = sorted(tiny_run.folder.checkpoints.glob("0*"))[-1], found["disk"]
    assert disk["checkpoints"] == 1 and disk["checkpoint"] == pytest.approx(size(last), rel=0.05)
    written = [size(tiny_run.path / name) for name in ("checkpoints", "averages", "samples")]
    assert disk["needed"] == pytest.approx(sum(written), rel=0.3)


def test_a_dry_run_says_so_in_words(tiny_settings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", *flags(tiny_settings), "--dry_run"]) == 0
    heads = {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()}
    assert {"stored as", "classes", "channel 0", "duplicates", "network", "FLOPs an image", "pace", "disk"} <= heads


def test_a_dry_run_changes_nothing_of_a_run_and_knows_how_far_it_is(tmp_path, tiny_run, tiny_settings, capsys):
    shutil.copytree(tiny_run.path, tmp_path / "r")
    before = contents(tmp_path)
    found = dry(capsys, "digits", *flags(tiny_settings), "--output_dir", tmp_path / "r")
    assert found["images_seen"] == 640 and found["cost"] is None and contents(tmp_path) == before


def test_training_is_bit_for_bit_the_same_after_a_dry_run(tmp_path, tiny_run, tiny_settings, capsys):
    state = torch.get_rng_state()
    dry(capsys, "digits", *flags(tiny_settings), "--output_dir", tmp_path / "r")
    assert torch.equal(torch.get_rng_state(), state)
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings).train()
    ours, theirs = (one.denoiser().net.state_dict() for one in (run, tiny_run))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def pictures(folder, number=12):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(number):
        pixels = random.integers(0, 255, (8, 8), dtype=np.uint8) if i else np.zeros((8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


SMALL = {"net.width": 8, "net.depth": 1, "train.num_images": 16, "train.train_batch_size": 4, "train.previews": 0}


def test_duplicates_are_counted(tmp_path, capsys):
    folder = pictures(tmp_path / "p")
    shutil.copy(folder / "0.png", folder / "again.png")
    found = dry(capsys, folder, *flags(SMALL), "--holdout", "0", "--output_dir", tmp_path / "r")
    assert found["data"]["duplicates"] == 1


@pytest.mark.parametrize("trouble", ["damaged", "unwritable", "busy", "other run", "batch", "disk", "memory"])
def test_what_training_refuses_is_refused_with_the_same_code(trouble, tmp_path, capsys, monkeypatch):
    folder, out, settings = pictures(tmp_path / "p"), tmp_path / "r", dict(SMALL)
    if trouble == "damaged":
        (folder / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    if trouble == "unwritable":
        (tmp_path / "file").write_bytes(b"")
        out = tmp_path / "file" / "r"
    if trouble in ("busy", "other run"):
        Run.create(str(folder), output_dir=out, settings=settings)
    if trouble == "other run":
        settings["net.width"] = 16
    if trouble == "batch":
        settings["train.train_batch_size"] = 100
    if trouble == "disk":
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6, 1000))
    if trouble == "memory":
        monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    before = contents(tmp_path)
    with FileLock(out / "run.lock") if trouble == "busy" else pytest.MonkeyPatch.context():
        arguments = ["train", str(folder), *flags(settings), "--output_dir", str(out)]
        codes = [main(arguments + ["--dry_run"] * (not real)) for real in (False, True)]
    expected = {"damaged": 3, "unwritable": 6, "busy": 7, "disk": 6}.get(trouble, 2)
    assert codes == [expected, expected] and set(contents(tmp_path)) - {out / "run.lock"} == set(before)


def test_a_disk_that_holds_one_checkpoint_is_no_reason_to_refuse_but_is_said(tmp_path, capsys, monkeypatch):
    usage, folder = namedtuple("usage", "total used free"), pictures(tmp_path / "p")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6, 1_000_000))
    settings = {**SMALL, "train.num_images": 10**6, "train.checkpoint_every": "1s"}
    found = dry(capsys, folder, *flags(settings), "--output_dir", tmp_path / "r")
    assert found["disk"]["checkpoints"] == 4 and found["disk"]["short"] > 0


def test_a_batch_that_does_not_fit_is_said(tmp_path, capsys, monkeypatch):
    forward, most = UNet.forward, [2]

    def limited(net, x, code, label=None):
        if len(x) > most[0] and x.device.type != "meta":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(net, x, code, label)

    monkeypatch.setattr(UNet, "forward", limited)
    arguments = (pictures(tmp_path / "p"), *flags(SMALL), "--output_dir", tmp_path / "r")
    assert dry(capsys, *arguments)["cost"]["micro_batch"] == 2
    most[0] = 0
    assert dry(capsys, *arguments, code=MemoryLimitError.exit_code) is None


def test_json_is_for_dry_runs(capsys):
    assert main(["train", "digits", "--json"]) == 2


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "adam", "posthoc_ema": False}, {"optimizer": "muon", "ema_length": 0.07}]
)
def test_sizes_are_those_of_the_state(tiny_run, changes):
    net, options = tiny_run.new_denoiser().net, TrainOptions(**changes)
    optimizer = build_optimizer(net, options)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    rows = [value for row in optimizer.state.values() for value in row.values()]
    weights = sum(p.numel() * p.element_size() for p in net.state_dict().values())
    averages = {(): 2, ("optimizer", "posthoc_ema"): 1, ("optimizer", "ema_length"): 3}[tuple(changes)]
    expected = (2 + averages) * weights + sum(value.numel() * value.element_size() for value in rows)
    assert state_size(net, options).memory == expected
    beside = 2 * weights + sum(value.numel() * value.element_size() for value in rows)
    assert state_size(net, options, beside=1).memory == expected + beside
    looked_at = state_size(net, options, beside=1, fixed=1)
    assert looked_at.memory == expected + beside + weights
    assert looked_at.checkpoint == state_size(net, options, beside=1).checkpoint


def test_flops_are_counted_by_hand():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Conv2d(4, 1, 1)

        def forward(self, x, code, label=None):
            return self.two(self.one(x))

    from fromnoise.common.image_spec import ImageSpec

    forward = 2 * 64 * (4 * 9 + 4)
    back = 2 * 64 * (4 * 9) + 2 * 2 * 64 * 4  # the first layer has no gradient by its input
    assert preflight.count_flops(Two(), ImageSpec(1, 8, 8)) == (forward, forward + back)


def test_runs_that_go_on_or_start_from_another_are_examined_too(tiny_run, tmp_path, capsys):
    before = contents(tiny_run.path)
    longer = dry(capsys, "--resume", tiny_run.path)
    assert longer["images_seen"] == 640 and longer["cost"] is None
    found = dry(capsys, "digits", "--init", tiny_run.path, "--num_images", 640, "--output_dir", tmp_path / "r")
    assert found["images_seen"] == 0 and found["cost"]["images"] == 640
    assert found["parameters"] == tiny_run.metadata["parameters"]
    assert contents(tiny_run.path) == before and not (tmp_path / "r").exists()
