"""The chapter from end to end on the embedded digits, with parts so small that only the machinery is tested."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fromnoise.chapter import run_chapter
from fromnoise.chapter.parts import Parts
from fromnoise.chapter.story import tell
from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.run import Run

TINY = Parts(
    quick=True,
    basic=512,
    unet2d=16,
    told=512,
    judge_steps=10,
    unet2d_samples=2,
    judged=4,
    unet2d_judged=2,
    step_counts=(1, 3),
    unet2d_step_counts=(1,),
    held_out=16,
    previews=0,
    batch_size=16,
)
FIGURES = [
    "3.1-digits",
    "3.2-corruption",
    "3.3-loss",
    "3.3-predictions",
    "3.4.1-five-steps",
    "3.4.1-samples",
    "3.4.2-unet2d",
    "3.5-ddpm",
    "3.6-steps-confidence",
    "3.6-steps-one-class",
    "3.6-told-the-time",
    "3.6-told-the-time-by-amount",
]
SECTIONS = [
    "3.1 Environment and data",
    "3.2 Corruption",
    "3.3 Training",
    "3.4.1 Sampling",
    "3.4.2 UNet2DModel",
    "3.5 The DDPM corruption",
    "3.6 Further",
]
QUANTITIES = {
    "3.1": ["shape of the first batch", "labels of the first batch"],
    "3.3": ["BasicUNet, parameters", "BasicUNet, mean loss of the last 128 images"],
    "3.4.1": [f"the chapter's loop against our sampler, {n} steps, largest difference" for n in (5, 40)],
    "3.4.2": ["UNet2DModel, parameters", "UNet2DModel, mean loss of the last 16 images"],
    "3.5": ["VPLinear against diffusers' DDPMScheduler.add_noise, largest difference"],
    "3.6": [
        *[
            f"BasicUNet, {which}, {what}"
            for what in ("mean loss of the last 128 images", "error on held-out images")
            for which in ("blind", "told the time")
        ],
        "the judge's accuracy on real images",
        *[
            f"{whose}, {what}"
            for whose in ("real images", "BasicUNet, 1 step", "BasicUNet, 3 steps", "UNet2DModel, 1 step")
            for what in ("confidence", "one-class share", "share of the commonest class")
        ],
    ],
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(the chapter's folder, its page), told once."""
    folder = tmp_path_factory.mktemp("chapter") / "out"
    path = tell(folder, "digits", TINY, seed=0, device="cpu")
    assert path == folder / "chapter.html"
    return folder, path.read_text(encoding="utf-8")


@pytest.fixture
def numbers(told):
    """chapter.json."""
    return json.loads((told[0] / "chapter.json").read_text(encoding="utf-8"))


def test_every_figure_is_there_and_whole(told):
    folder, page = told
    assert sorted(path.stem for path in (folder / "figures").iterdir()) == FIGURES
    for name in FIGURES:
        with Image.open(folder / "figures" / f"{name}.png") as image:
            image.load()
            assert image.format == "PNG" and min(image.size) > 50
            assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"
    assert page.count("<img ") == len(FIGURES)


def test_digits_are_drawn_as_ink_on_paper(told):
    with Image.open(told[0] / "figures" / "3.1-digits.png") as image:
        assert image.mode == "L" and np.median(np.asarray(image)) > 200


def test_every_quantity_is_there(numbers):
    found = [(q["section"], q["name"]) for q in numbers["quantities"]]
    assert found == [(section, name) for section, names in QUANTITIES.items() for name in names]
    for quantity in numbers["quantities"]:
        assert list(quantity) == ["name", "section", "published", "ours", "note"]
        assert quantity["published"] is None, "the published numbers are not for these images"
        assert quantity["ours"] is not None


def test_the_numbers_are_the_runs_own(told, numbers):
    ours = {q["name"]: q["ours"] for q in numbers["quantities"]}
    assert ours["shape of the first batch"] == [8, 1, 16, 16] and len(ours["labels of the first batch"]) == 8
    assert ours["BasicUNet, parameters"] == 309_057
    run = Run(told[0] / "runs" / "quick" / "basic-unet")
    losses = [line["loss"] for line in run.folder.read_metrics() if "step" in line]
    assert len(losses) == 32
    assert ours["BasicUNet, mean loss of the last 128 images"] == pytest.approx(np.mean(losses[-8:]), abs=1e-9)
    for name in ours:
        if "largest difference" in name:
            assert 0 <= ours[name] <= 1e-5
        if name.endswith(("confidence", "share", "class", "on real images")):
            assert 0 <= ours[name] <= 1


def test_a_part_is_never_passed_off_as_the_whole(told, numbers):
    assert numbers["mode"] == "quick" and numbers["seed"] == 0
    parts = {one["network"]: one["part"] for one in numbers["trained"]}
    assert parts == {
        "BasicUNet": "quick: 512 of 180,000 images",
        "UNet2DModel": "quick: 16 of 180,000 images",
        "BasicUNet told the time": "quick: 512 of 180,000 images",
    }
    trained = ("loss", "error on held-out", "step")
    for quantity in numbers["quantities"]:
        if any(word in quantity["name"] for word in trained) and "against" not in quantity["name"]:
            assert "of 180,000 images" in quantity["note"], quantity["name"]
    for caption in re.findall(r"<figcaption>(.*?)</figcaption>", told[1]):
        if not caption.startswith(("The first batch", "Eight images", "The same images")):
            assert "quick: " in caption, caption


def test_machine_and_versions_are_told(numbers):
    assert {"cores", "device", "processor", "reason", "system", "threads"} == set(numbers["machine"])
    assert {"diffusers", "fromnoise", "python", "torch"} == set(numbers["versions"])
    assert numbers["seconds"] > 0 and numbers["data"] == "digits" and numbers["images"] == 1500


def test_the_page_has_every_section_in_order_and_compares_nothing(told):
    page = html.unescape(re.sub(r"<style>.*?</style>", "", told[1], flags=re.DOTALL))
    places = [page.index(f"<h2>{title}") for title in SECTIONS]
    assert places == sorted(places)
    assert ">published</th>" not in page and "Published and ours" not in page
    assert "{" not in re.sub(r"<pre.*?</pre>|x_\{t-1\}", "", page, flags=re.DOTALL)


def test_the_code_on_the_page_runs(told, tmp_path, monkeypatch):
    """All blocks of Python, one after the other in one namespace, in an empty folder."""
    folder, page = told
    monkeypatch.chdir(tmp_path)
    blocks = [html.unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)]
    python = [code for code in blocks if not code.startswith("fromnoise ")]
    assert len(python) == 11 and len(blocks) == 12
    names: dict[str, object] = {}
    for code in python:
        exec(compile(code, "a block of the page", "exec"), names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-steps.png", "3-steps.png"]
    assert names["run"].path == folder / "runs" / "quick" / "basic-unet-told"
    assert float((names["ours"] - names["theirs"]).abs().max()) <= 1e-5


def test_the_networks_stay_as_runs_that_can_be_sampled(told):
    for name in ("basic-unet", "unet2d", "basic-unet-told"):
        run = Run(told[0] / "runs" / "quick" / name)
        assert run.sample(2, steps=2).images.shape == (2, 16, 16, 1)
    assert run.settings.net.time_conditioning


def test_another_chapter_in_the_same_place_is_refused(told):
    with pytest.raises(UsageError, match=r"train\.num_images.*512.*256"):
        tell(told[0], "digits", replace(TINY, basic=256), seed=0)


def test_without_mnist_it_says_how_to_get_it_and_what_to_do_instead(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_OFFLINE", "1")
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
    with pytest.raises(DataError) as error:
        run_chapter(tmp_path / "out", quick=True)
    assert "train-images-idx3-ubyte.gz" in str(error.value)
    assert "--data digits" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WriteError):
        tell(tmp_path / "out", "digits", TINY, seed=0)
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.slow
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
    assert quantities["the judge's accuracy on real images"]["ours"] > 0.9
    real = quantities["real images, confidence"]["ours"]
    samples = [q["ours"] for name, q in quantities.items() if name.endswith("steps, confidence")]
    assert len(samples) == 11 and real > max(samples), "a part of the training does not reach real digits"
    assert took < 300, f"the quick chapter took {took:.0f} s, but promises less than 300"
