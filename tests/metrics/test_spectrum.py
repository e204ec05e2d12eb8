"""Power of octaves is that of closed forms: white noise, one wave, a blur."""

import math

import pytest
import torch
import torch.nn.functional as F

from fromnoise.common.errors import DataError
from fromnoise.metrics import spectrum
from fromnoise.metrics.spectrum import octave_power, spectrum_distance

ROUNDING = 1 / 12


def photographs(count, *shape, seed=0):
    """Smooth images around middle grey, far enough from black and white that noise is not cut."""
    coarse = torch.rand(count, shape[0], 5, 5, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(40 + 175 * coarse, shape[1:], mode="bicubic").clamp(40, 215)


def noisy(images, level, seed=1):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + level * noise).round().byte()


@pytest.mark.parametrize(("shape", "octaves"), [((1, 28, 28), 4), ((3, 32, 48), 5), ((4, 64, 64), 5), ((1, 8, 8), 2)])
def test_white_noise_adds_its_variance_to_every_octave(shape, octaves):
    images = photographs(400, *shape)
    plain = octave_power(images.round().byte())
    expected = (10 * ((plain + 12.0**2) / plain).log10()).tolist()
    found = spectrum_distance(octave_power(noisy(images, 12)), plain)
    assert found.lightness == pytest.approx(expected[0], abs=0.25) and len(found.lightness) == octaves
    assert found.colour == pytest.approx(expected[1] if shape[0] > 1 else [], abs=0.25)
    finest = [group[-1] for group in expected]
    assert found.grain == pytest.approx(max(finest), abs=0.25) and found.grain > 0.3
    grey = torch.full((1500, 1, *shape[1:]), 128.0)
    one, other = octave_power(noisy(grey, 10)), octave_power(noisy(grey, 20, seed=2))
    closed = 10 * math.log10((400 + ROUNDING) / (100 + ROUNDING))
    assert spectrum_distance(other, one).lightness == pytest.approx([closed] * octaves, abs=0.3)


@pytest.mark.parametrize(("wave", "octave"), [(1, 0), (2, 1), (4, 1)])
def test_a_wave_is_in_the_octave_of_its_period(wave, octave):
    x = 2 * math.pi * wave * torch.arange(8) / 8
    images = (128 + 100 * x.cos()).round().byte().expand(3, 1, 8, 8)
    power = octave_power(images)[0]
    squares = (images.double() - images.double().mean()).square().mean()  # Parseval: the sum over frequencies, over 64
    frequencies = (8, 55)  # of 8x8: (1, 0) and (1, 1) with their signs are below 1/4; one is the mean
    assert power[octave].item() == pytest.approx(64 * squares.item() / frequencies[octave], rel=1e-3)
    assert power[1 - octave].item() < 1e-3 * power[octave].item()


@pytest.mark.parametrize("channels", [3, 4])
def test_coloured_grain_shows_in_the_colours_where_detail_of_lightness_would_hide_it(channels):
    lightness = noisy(torch.full((300, 1, 16, 16), 128.0), 25).float()
    plain = lightness.expand(300, channels, 16, 16)
    noise = 6 * torch.randn(300, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    coloured = plain.clone()
    coloured[:, 0:1] += noise  # opposite in two channels: no lightness at all
    coloured[:, 1:2] -= noise
    found = spectrum_distance(octave_power(coloured.round().byte()), octave_power(plain.byte()))
    assert max(map(abs, found.lightness)) < 0.1
    # 2 * 36 of variance along one of the two colours, over none, which counts as that of one grey level
    assert found.colour == pytest.approx([10 * math.log10(36 + ROUNDING)] * 3, abs=0.5)
    assert found.grain == found.colour[-1]


def test_a_blur_takes_from_the_finest_octave_and_parts_change_nothing(monkeypatch):
    images = noisy(photographs(50, 3, 32, 32), 20)
    blurred = F.avg_pool2d(F.pad(images.float(), (1, 1, 1, 1), mode="replicate"), 3, stride=1).round().byte()
    whole = octave_power(images)
    assert spectrum_distance(octave_power(blurred), whole).grain < -3
    same = spectrum_distance(whole, whole)
    assert same.lightness == same.colour == (0.0,) * 4
    monkeypatch.setattr(spectrum, "_VALUES", 7 * 3 * 32 * 32)
    torch.testing.assert_close(octave_power(images), whole)


def test_black_images_differ_in_nothing_and_one_pixel_has_no_octave():
    black = octave_power(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    assert spectrum_distance(black, black).lightness == (0.0, 0.0)
    dot = octave_power(torch.zeros(2, 3, 1, 1, dtype=torch.uint8))
    found = spectrum_distance(dot, dot)
    assert found.lightness == found.colour == () and found.grain is None and found.deviation is None


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 4, 4), torch.zeros(0, 1, 4, 4, dtype=torch.uint8)])
def test_what_holds_no_images_is_refused(images):
    with pytest.raises(DataError, match=r"1, 4, 4"):
        octave_power(images)
