"""`fromnoise edit` as people type it: what works, and one sentence with exit code and no files for what does not."""

import numpy as np
import pytest
from PIL import Image

from fromnoise.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    words = ["--set", "net.width=8", "--set", "net.depth=1", "--num_images", "128", "--previews", "1"]
    assert main(["train", "digits", *words, "--output_dir", str(path)]) == 0
    return path


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """An image, masks, a file that is not an image, and one where a folder would have to be."""
    monkeypatch.chdir(tmp_path)
    half = np.zeros((16, 16), np.uint8)
    half[8:] = 255
    for name, pixels in {"seven": half, "mask": half, "small": half[:12, :12], "black": half * 0}.items():
        Image.fromarray(pixels).save(f"{name}.png")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "file").write_text("")


@pytest.mark.parametrize(
    "words, name, named",
    [
        (["inpaint", "--image", "seven.png", "--mask", "mask.png"], "inpaint-seven-mask-seeds0-7", ["128 of 256"]),
        (
            ["inpaint", "--image=7", "--mask=mask.png", "--resample=2", "--seeds", "1,3", "--label=3"],
            "inpaint-7-mask-resample2-seeds1-3-label3",
            ["class", "3"],
        ),
        (["img2img", "--image", "7", "--num", "2"], "img2img-7-strength0.6-seeds0-1", ["t = 0.779"]),
        (["interpolate", "--seeds", "3,17", "--num", "3"], "interpolate-seeds3-17", ["class"]),
        (["interpolate", "--images", "7", "seven.png"], "interpolate-7-seven", ["error"]),
        (["invert", "--image", "7", "4", "--sampler", "heun"], "invert-7-4", ["standard deviation"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_edits(run, capsys, words, name, named):
    assert main(["edit", str(run), *words, "--steps", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(run / "edits" / f"{name}.png")
    assert any(all(value in line for value in named) for line in lines[:-2])
    assert lines[-2] == f"steps: {run / 'edits' / name}-steps.png"
    for path in (lines[-1], lines[-2].removeprefix("steps: ")):
        assert Image.open(path).size[0] > 200


def test_the_ending_of_out_chooses_the_format(run, capsys, tmp_path):
    for out in ("there/a.png", "film.gif", "folder"):
        assert main(["edit", str(run), "img2img", "--image", "7", "--num", "1", "--steps", "2", "--out", out]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == out
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"a.png", "a-steps.png"}
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {"000-seed0.png", "steps.png"}


HOLE = ["inpaint", "--image", "7", "--mask", "mask.png"]
VARY = ["img2img", "--image", "7"]


@pytest.mark.parametrize(
    "words, code, named",
    [
        ([], 2, ["ACTION"]),
        (["inpant"], 2, ["'inpant'", "'inpaint'"]),
        (["inpaint", "--imge", "7"], 2, ["--imge", "--image"]),
        (["inpaint", "--image", "7"], 2, ["--mask"]),
        (["img2img"], 2, ["--image"]),
        (["invert"], 2, ["--image"]),
        (["inpaint", "--image", "7", "--mask", "small.png"], 2, ["small.png", "12x12", "16x16"]),
        (["inpaint", "--image", "7", "--mask", "black.png"], 2, ["mask", "white"]),
        (["inpaint", "--image", "7", "--mask", "none.png"], 3, ["none.png"]),
        ([*HOLE, "--resample", "0"], 2, ["resample is 0"]),
        ([*HOLE, "--resample", "x"], 2, ["--resample"]),
        ([*HOLE, "--strength", "0.5"], 2, ["'--strength'"]),
        ([*VARY, "--label", "10"], 2, ["'10'"]),
        ([*VARY, "--label", "-1"], 2, ["'-1'"]),
        ([*VARY, "--strength", "0"], 2, ["strength is 0"]),
        ([*VARY, "--strength", "1.5"], 2, ["strength is 1.5"]),
        ([*VARY, "--strength", "nan"], 2, ["strength is nan"]),
        ([*VARY, "--num", "0"], 2, ["--num", "at least 1"]),
        ([*VARY, "--num", "2", "--seeds", "1"], 2, ["--num", "--seeds"]),
        ([*VARY, "--seeds", "9-3"], 2, ["'9-3'"]),
        ([*VARY, "--sampler", "dimm"], 2, ["'dimm'", "'ddim'"]),
        ([*VARY, "--grid", "trailing"], 2, ["'trailing'", "'vp'"]),
        ([*VARY, "--out", "x.jpeg"], 2, [".jpeg"]),
        ([*VARY, "--out", "file"], 6, ["file"]),
        ([*VARY, "--out", "file/x.png"], 6, ["file"]),
        ([*VARY, "--checkpoint", "5"], 4, ["'5'", "last, best or one of 128"]),
        (["img2img", "--image", "1500"], 2, ["1500", "0 to 1499"]),
        (["img2img", "--image", "none.png"], 3, ["none.png"]),
        (["img2img", "--image", "text.png"], 3, ["text.png"]),
        (["interpolate"], 2, ["two seeds"]),
        (["interpolate", "--seeds", "1-3"], 2, ["two seeds"]),
        (["interpolate", "--seeds", "1,2", "--images", "1", "2"], 2, ["two seeds"]),
        (["interpolate", "--images", "1"], 2, ["--images"]),
        (["interpolate", "--seeds", "1,2", "--num", "1"], 2, ["at least 2"]),
        (["invert", "--image", "7", "--sampler", "ddpm"], 2, ["'ddim'"]),
        (["invert", "--image", "7", "--guidance_scale", "2"], 2, ["guidance"]),
        (["invert", "--image", "7", "--steps", "1"], 2, ["2 steps"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_sentence_and_leave_nothing(run, tmp_path, capsys, words, code, named):
    before = sorted(tmp_path.rglob("*")), sorted(run.rglob("*"))
    quick = [] if not words or "--steps" in words else ["--steps", "2"]
    assert main(["edit", str(run), *words, *quick]) == code
    out, err = capsys.readouterr()
    assert all(name in err for name in named), err
    assert "Traceback" not in err and err.startswith("fromnoise: ") and err.count("\n") == 1
    assert (sorted(tmp_path.rglob("*")), sorted(run.rglob("*"))) == before and (not out or "file/x.png" in words)


def test_no_run(capsys):
    assert main(["edit", "nowhere", "img2img", "--image", "7"]) == 4
    assert "nowhere" in capsys.readouterr().err


def test_help(capsys):
    assert main(["edit", "RUN", "inpaint", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--mask FILE" in said and "--resample R" in said and "--strength" not in said
