"""The chapter from end to end on the embedded digits, with parts so small that only the machinery is tested."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fromnoise.chapter import run_chapter, run_with
from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.run import Run

TINY = {
    "DATA": "digits",
    "DEVICE": "cpu",
    "STEPS_BY_HAND": 2,
    "BATCH_SIZE": 16,
    "BASIC_IMAGES": 512,
    "UNET2D_IMAGES": 16,
    "STEP_COUNTS": (1, 3),
    "NUM_SAMPLES": 4,
    "UNET2D_NUM_SAMPLES": 2,
    "TEST_IMAGES": 16,
    "CLASSIFIER_STEPS": 10,
}
FIGURES = [
    "3.1-digits",
    "3.2-corruption",
    "3.3-loss",
    "3.3-predictions",
    "3.4.1-five-steps",
    "3.4.1-samples",
    "3.4.2-unet2d",
    "3.5-ddpm",
    "3.6-confidence",
    "3.6-error-by-amount",
    "3.6-one-class-share",
    "3.6-time-conditioning",
]
SECTIONS = ["3.1", "3.2", "3.3", "3.4.1", "3.4.2", "3.5", "3.6"]
SCORES = ("confidence", "one-class share", "share of the commonest class")
SCORED = (
    "real images",
    "BasicUNet, 1 step",
    "BasicUNet, 3 steps",
    "UNet2DModel, 1 step",
    "UNet2DModel, 3 steps",
)
WITHOUT, WITH = "BasicUNet without time conditioning", "BasicUNet with time conditioning"
QUANTITIES = {
    "3.1": ["shape of the first batch", "labels of the first batch"],
    "3.3": ["BasicUNet, parameters", "BasicUNet, mean loss of the last 128 images"],
    "3.4.1": [f"the loop by hand against sample_with_step, {n} steps, largest difference" for n in (5, 40)],
    "3.4.2": ["UNet2DModel, parameters", "UNet2DModel, mean loss of the last 16 images"],
    "3.5": ["VP against diffusers' DDPMScheduler.add_noise, largest difference"],
    "3.6": [
        *[f"{which}, mean loss of the last 128 images" for which in (WITHOUT, WITH)],
        *[f"{which}, error" for which in (WITHOUT, WITH)],
        "the classifier's accuracy on real images",
        *[f"{whose}, {what}" for whose in SCORED for what in SCORES],
    ],
}


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """(the chapter's folder, its page), run once."""
    folder = tmp_path_factory.mktemp("chapter") / "out"
    path = run_with({**TINY, "OUTPUT_DIR": str(folder)})
    assert path == folder / "chapter.html"
    return folder, path.read_text(encoding="utf-8")


@pytest.fixture
def numbers(chapter):
    """chapter.json."""
    return json.loads((chapter[0] / "chapter.json").read_text(encoding="utf-8"))


def test_every_figure_is_there_and_whole(chapter):
    folder, page = chapter
    assert sorted(path.stem for path in (folder / "figures").iterdir()) == FIGURES
    for name in FIGURES:
        with Image.open(folder / "figures" / f"{name}.png") as image:
            image.load()
            assert image.format == "PNG" and min(image.size) > 50
            assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"
    assert page.count("<img ") == len(FIGURES)


def test_digits_are_drawn_dark_on_white(chapter):
    with Image.open(chapter[0] / "figures" / "3.1-digits.png") as image:
        assert image.mode == "L" and np.median(np.asarray(image)) > 200


def test_every_quantity_is_there(numbers):
    found = [(q["section"], q["name"]) for q in numbers["quantities"]]
    assert found == [(section, name) for section, names in QUANTITIES.items() for name in names]
    for quantity in numbers["quantities"]:
        assert list(quantity) == ["name", "section", "published", "ours", "note"]
        assert quantity["published"] is None, "the published numbers are not for these images"
        assert quantity["ours"] is not None


def test_the_numbers_are_the_runs_own(chapter, numbers):
    ours = {q["name"]: q["ours"] for q in numbers["quantities"]}
    assert ours["shape of the first batch"] == [8, 1, 16, 16] and len(ours["labels of the first batch"]) == 8
    assert ours["BasicUNet, parameters"] == 309_057
    lines = (chapter[0] / "runs" / "quick" / "basic-unet" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "step" in line]
    assert len(losses) == 32
    assert ours["BasicUNet, mean loss of the last 128 images"] == pytest.approx(np.mean(losses[-8:]), abs=1e-9)
    for name in ours:
        if "largest difference" in name:
            assert 0 <= ours[name] <= 1e-5
        if name.endswith(("confidence", "share", "class", "on real images")):
            assert 0 <= ours[name] <= 1


def test_a_part_is_named_wherever_its_numbers_stand(chapter, numbers):
    assert numbers["mode"] == "quick" and numbers["seed"] == 0
    parts = {one["network"]: one["part"] for one in numbers["trained"]}
    assert parts == {
        "BasicUNet": "quick: 512 of 180,000 images",
        "UNet2DModel": "quick: 16 of 180,000 images",
        WITH: "quick: 512 of 180,000 images",
    }
    for quantity in numbers["quantities"]:
        if any(word in quantity["name"] for word in ("loss", "error", "step")) and "against" not in quantity["name"]:
            assert "of 180,000 images" in quantity["note"], quantity["name"]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", chapter[1])
    assert len([caption for caption in captions if "quick: " in caption]) == len(FIGURES) - 3


def test_machine_and_versions_are_written(numbers):
    assert {"cores", "device", "processor", "reason", "system", "threads"} == set(numbers["machine"])
    assert {"diffusers", "fromnoise", "python", "torch"} == set(numbers["versions"])
    assert numbers["seconds"] > 0 and numbers["data"] == "digits" and numbers["images"] == 1500


def test_the_page_has_every_section_in_order_and_compares_nothing(chapter):
    page = html.unescape(re.sub(r"<style>.*?</style>", "", chapter[1], flags=re.DOTALL))
    places = [page.index(f"<h2>{number} ") for number in SECTIONS]
    assert places == sorted(places)
    assert ">published</th>" not in page
    assert "https://github.com/huggingface/diffusion-models-class" in page and "从零开始搭建扩散模型" in page


def test_the_code_on_the_page_is_the_code_that_ran(chapter, capsys):
    """All blocks of the page run again, in one namespace: nothing is trained again, and the numbers are the same."""
    folder, page = chapter
    before = json.loads((folder / "chapter.json").read_text(encoding="utf-8"))
    checkpoints = sorted(folder.glob("runs/quick/*/checkpoints/*/*"))
    written = [path.stat().st_mtime_ns for path in checkpoints]
    blocks = [html.unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)]
    names: dict[str, object] = {"__name__": "__main__"}
    for code in blocks:
        exec(compile(code, "a block of the page", "exec"), names)
    after = json.loads((folder / "chapter.json").read_text(encoding="utf-8"))
    assert after["quantities"] == before["quantities"]
    assert [path.stat().st_mtime_ns for path in checkpoints] == written and len(checkpoints) >= 9


def test_the_networks_stay_as_runs_that_can_be_sampled(chapter):
    for name in ("basic-unet", "unet2d", "basic-unet-time"):
        run = Run(chapter[0] / "runs" / "quick" / name)
        assert run.sample(2, steps=2).images.shape == (2, 16, 16, 1)


def test_two_processes_share_the_chapter(chapter, numbers, tmp_path, run_processes):
    """One network is trained again by both; the samples of all are made by both, and one of them writes."""
    folder = shutil.copytree(chapter[0], tmp_path / "shared")
    shutil.rmtree(folder / "runs" / "quick" / "unet2d")
    for name in ("chapter.json", "chapter.html"):
        (folder / name).unlink()
    assert run_processes(lambda group: run_with({**TINY, "OUTPUT_DIR": str(folder)}), 2) == [0, 0]
    found = json.loads((folder / "chapter.json").read_text(encoding="utf-8"))["quantities"]
    assert [one["name"] for one in found] == [one["name"] for one in numbers["quantities"]]
    for one, other in zip(found, numbers["quantities"], strict=True):
        shared = one["name"].startswith("UNet2DModel")  # trained by both: on some CPUs its confidence differs by 1.6e-5
        assert one["ours"] == pytest.approx(other["ours"], abs=1e-4 if shared else 1e-5), one["name"]
    assert (folder / "chapter.html").exists()


def test_another_chapter_in_the_same_place_is_refused(chapter):
    with pytest.raises(UsageError, match=r"train\.num_images: 512"):
        run_with({**TINY, "OUTPUT_DIR": str(chapter[0]), "BASIC_IMAGES": 256})


def test_images_without_classes_are_not_scored(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for i in range(24):
        place = tmp_path / "images" / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    values = {**TINY, "DATA": str(tmp_path / "images"), "BASIC_IMAGES": 32, "OUTPUT_DIR": str(tmp_path / "out")}
    run_with(values)
    assert len(list((tmp_path / "out" / "figures").iterdir())) == len(FIGURES) - 2
    assert "no classifier" in capsys.readouterr().out


def test_without_mnist_the_error_names_its_files_and_another_way(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_OFFLINE", "1")
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
    with pytest.raises(DataError) as error:
        run_chapter(tmp_path / "out", quick=True)
    assert "train-images-idx3-ubyte.gz" in str(error.value) and "--data digits" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WriteError):
        run_with({**TINY, "OUTPUT_DIR": str(tmp_path / "out")})
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.alone
def test_the_quick_chapter_keeps_its_promise(mnist_dir, tmp_path):
    """`fromnoise chapter --quick` on MNIST: under 300 s, as it promises, and its numbers beside the published ones."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "fromnoise", "chapter", "--quick", "--output_dir", str(tmp_path / "chapter")],
        capture_output=True,
        text=True,
        timeout=900,
    )
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "chapter" / "chapter.html")
    numbers = json.loads((tmp_path / "chapter" / "chapter.json").read_text(encoding="utf-8"))
    quantities = {q["name"]: q for q in numbers["quantities"]}
    for name, count in (("BasicUNet", 309_057), ("UNet2DModel", 1_707_009)):
        assert quantities[f"{name}, parameters"]["ours"] == quantities[f"{name}, parameters"]["published"] == count
        for epoch in (1, 2, 3):
            quantity = quantities[f"{name}, mean loss of epoch {epoch}"]
            assert quantity["ours"] is None and quantity["published"] < 0.03 and "quick: " in quantity["note"]
    last = next(q for name, q in quantities.items() if name.startswith("BasicUNet, mean loss of the last"))
    assert last["ours"] < 0.04, "after 20,480 images the loss is near that of the first epoch"
    assert quantities["the classifier's accuracy on real images"]["ours"] > 0.9
    real = quantities["real images, confidence"]["ours"]
    samples = [q["ours"] for name, q in quantities.items() if name.endswith("steps, confidence")]
    assert len(samples) == 10 and real > max(samples), "a part of the training does not reach real digits"
    assert took < 300, f"the quick chapter took {took:.0f} s, but promises less than 300"
