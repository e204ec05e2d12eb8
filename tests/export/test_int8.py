"""ONNX files in 8 bits: they run on onnxruntime, are smaller, and what they change is measured and said."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from fromnoise.cli import main
from fromnoise.common.image_spec import ImageSpec
from fromnoise.export.int8 import samples_of
from fromnoise.export.onnx_file import onnx_file

onnx = pytest.importorskip("onnx")
CLASSES = ("cat", "dog")
UNET2D = {
    "net.kind": "unet2d",
    "net.channels": (32, 32),
    "process.kind": "vp",
    "objective.prediction": "eps",
    "sample.sampler": "ddpm",
    "sample.clip": True,
}
OPERATORS = {
    "dynamic": ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"),
    "static": ("QuantizeLinear", "DequantizeLinear"),
}


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("changes, sampler", [({}, True), (UNET2D, False)])
def test_a_network_of_convolutions_computes_in_8_bits(kind, changes, sampler, made):
    spec = ImageSpec(1, 8, 8) if changes else ImageSpec(1, 8, 8, CLASSES)
    model = made(spec, 0.05, **{"net.width": 32, **changes})
    file = onnx_file(model, sampler=sampler, int8=kind)
    there = Counter(node.op_type for node in onnx.load_from_string(file.content).graph.node)
    assert all(there[name] for name in OPERATORS[kind])
    assert there["ConvInteger"] > 10 and not there["Conv"] if kind == "dynamic" else there["Conv"] > 10
    assert len(file.content) < 0.7 * file.size
    images, expected = samples_of(file.content, model, 5, sampler), model.sample(5).images
    apart = (images.permute(0, 2, 3, 1).float() - torch.from_numpy(expected).float()).abs()
    assert apart.max() > 0 and apart.mean() < expected.std() / 2


def test_the_change_is_measured_in_samples_of_the_run(run, tmp_path, capsys):
    out = tmp_path / "digits.onnx"
    assert main(["export", str(run), "--to", "onnx", str(out), "--int8", "static", "--num", "16"]) == 0
    said, place = capsys.readouterr().out.splitlines()[-2:]
    card = (tmp_path / "digits.onnx.md").read_text()
    assert place == str(out) and "int8 (static)" in said and "MB instead of" in said
    for text in (said, card):
        assert "16 samples" in text and "in float32" in text
    assert f"{out.stat().st_size / 1e6:.2f} MB" in card


@pytest.mark.parametrize(
    "flags, word",
    [
        (["--int8", "fast"], "fast"),
        (["--int8", "--half"], "--half"),
        (["--int8", "--num", "3"], "--num"),
        (["--num", "30"], "--int8"),
    ],
)
def test_flags_that_do_not_go_together_are_named(flags, word, run, tmp_path, capsys):
    assert main(["export", str(run), "--to", "onnx", str(tmp_path / "x.onnx"), *flags]) == 2
    assert word in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert main(["export", str(run), "--to", "diffusers", str(tmp_path / "x"), "--int8"]) == 2
