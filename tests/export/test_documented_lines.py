"""What diffusers' documentation tells people to write makes the images of `fromnoise sample` from the same noise."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fromnoise.cli import main
from fromnoise.common.seeds import generator

pytest.importorskip("diffusers")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(BENCHMARKS))
    matrix, stock = (importlib.import_module(name) for name in ("export_matrix", "stock_pipeline"))

DDIM = ["--sampler", "ddim", "--grid", "trailing", "--steps", "4", "--no_clip"]
LINES = {
    "ddpm": (DDIM, "DDIMPipeline", "from_pretrained(folder, use_safetensors=True)", "eta=0.0, num_inference_steps=4"),
    "ddpm, flow": (["--steps", "4"], "DDPMPipeline", "from_pretrained(folder)", "num_inference_steps=4"),
    "default": (
        ["--steps", "4"],
        "DiffusionPipeline",
        "from_pretrained(folder, trust_remote_code=True)",
        "class_labels=labels, num_inference_steps=4",
    ),
}
"""Recipe of the matrix -> flags of export and sample; the class, how it is loaded, and what it is called with."""
SEEDS = range(4)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", LINES)
def test_the_documented_lines_make_the_images_of_the_verb(recipe, tmp_path, capsys):
    flags, pipeline, load, call = LINES[recipe]
    run = matrix.run_of(matrix.Cell(recipe, "diffusers", (28, 28), 1, recipe == "default"), tmp_path)
    assert main(["export", str(run.path), "--to", "diffusers", str(tmp_path / "model"), *flags]) == 0
    assert main(["sample", str(run.path), "--num", "4", "--out", str(tmp_path / "own.npz"), *flags]) == 0
    own = np.load(tmp_path / "own.npz")
    given = {"seeds": [generator(0, "sample", seed).initial_seed() for seed in SEEDS]}
    given["labels"] = own["labels"].tolist() if "labels" in own else None
    code = f"""
import json, sys
import numpy, torch
from diffusers import {pipeline}

folder, given = sys.argv[1], json.loads(sys.argv[2])
labels, generators = given["labels"], [torch.Generator("cpu").manual_seed(seed) for seed in given["seeds"]]
pipe = {pipeline}.{load}
images = pipe(batch_size=4, generator=generators, output_type="np", {call}).images
assert not any(name.startswith("fromnoise") for name in sys.modules)
numpy.save("made.npy", images)
"""
    words = [sys.executable, "-I", "-c", code, str(tmp_path / "model"), json.dumps(given)]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    made = np.load(tmp_path / "made.npy")
    levels = made if made.dtype == np.uint8 else 255 * made
    images = own["images"].astype(float)
    assert images.std() > 5 and np.abs(levels - images).max() <= 1, "at most the rounding to whole grey levels"


@pytest.mark.slow
def test_samples_of_the_stock_pipeline_are_as_good_as_ours(tmp_path):
    from fromnoise.run import Run

    small = {**matrix.RECIPES["ddpm"][1], "train.num_images": 640, "train.validations": 0, "train.previews": 0}
    run = Run.create("digits", output_dir=tmp_path / "run", recipe="ddpm", settings=small).train()
    found = stock.measured(run, "digits", tmp_path / "work", 64, 20)
    assert stock.agree(found) and found["stock"]["metrics"] != found["own"]["metrics"]


def test_the_page_is_of_what_was_measured():
    place = BENCHMARKS.parent / "docs" / "results" / "stock-pipeline-digits"
    found = json.loads(place.with_suffix(".json").read_text())
    assert found["num"] == 2000 and stock.agree(found)
    assert stock.page(found) == place.with_suffix(".md").read_text()
