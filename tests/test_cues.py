"""What tells samples from test images: cues of images whose value is known, the best threshold, and the page."""

import pytest
import torch


@pytest.fixture(scope="module")
def cues(benchmark_module):
    return benchmark_module("cues")


@pytest.fixture
def bar():
    """A white bar of 4x12 pixels, two rows above the middle of 20x20, and one faint pixel in the last row."""
    images = torch.zeros(1, 1, 20, 20, dtype=torch.uint8)
    images[0, 0, 6:10, 4:16] = 255
    images[0, 0, 19, 10] = 3
    return images


def test_cues_of_a_bar(cues, bar):
    found = {name: cue(bar).item() for name, cue in cues.CUES.items()}
    assert found["exact zeros, share of pixels"] == pytest.approx(1 - 49 / 400)
    assert found["faint greys (1 to 15), share"] == pytest.approx(1 / 400)
    assert found["nearly white (from 250), share"] == pytest.approx(48 / 400)
    assert found["the brightest pixel"] == found["steepness of edges"] == 255
    assert found["thickness of strokes, pixels"] == pytest.approx(2 * 48 / 32)
    assert found["extent, pixels"] == 14, "from the bar's first row to the faint pixel"
    assert found["centre of mass off the centre, pixels"] == pytest.approx(2, abs=0.02)
    assert found["power in the finest octave, dB"] < found["power in the next octave, dB"]
    empty = torch.zeros_like(bar)
    assert [cue(empty).item() for cue in (cues.extent, cues.thickness, cues.steepness)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("ours", "real", "accuracy"),
    [([1, 2, 3], [4, 5, 6], 1.0), ([4, 5], [1, 2, 3], 1.0), ([1, 2], [1, 2], 0.5), ([7, 7, 7], [7, 7], 0.5),
     ([1, 3, 3, 3], [1, 1, 1, 3], 0.75)],
)  # fmt: skip
def test_the_best_threshold(cues, ours, real, accuracy):
    assert cues.separation(torch.tensor(ours), torch.tensor(real)) == pytest.approx(accuracy)


def test_changes_take_a_cue_from_both_sides(cues, bar):
    faint, clean = cues.CHANGES["greys below 16 made 0"], cues.CHANGES["black and white"]
    assert faint(bar).unique().tolist() == clean(bar).unique().tolist() == [0, 255]
    assert faint(bar).dtype == clean(bar).dtype == torch.uint8
    flat = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    assert (cues.CHANGES["blurred by a pixel"](flat)[..., 1:-1, 1:-1] == 100).all()


def test_a_run_is_measured_drawn_and_put_into_words(cues, tiny_run, tmp_path, monkeypatch):
    words = ["cues.py", str(tiny_run.path), "--num", "60", "--name", "tiny", "--output_dir", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr(cues, "CHANGES", {"as they are": cues.CHANGES["as they are"]})  # each trains two classifiers
    cues.main()
    page = (tmp_path / "cues-tiny.md").read_text()
    assert all(name in page for name in (*cues.CUES, *cues.CHANGES)) and "(cues-tiny.png)" in page
    assert (tmp_path / "cues-tiny.png").stat().st_size > 0
