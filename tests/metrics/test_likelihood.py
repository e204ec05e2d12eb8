"""The bound is the entropy where the denoiser knows the law, on every process; a wrong denoiser pays for its errors."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import Velocity
from fromnoise.diffusion.process import VE, Linear, Normal, Uniform
from fromnoise.diffusion.vp import VP, VPContinuous, VPLinear
from fromnoise.metrics import likelihood as room
from fromnoise.metrics.likelihood import bits_per_dimension
from fromnoise.nets.basic_unet import BasicUNet
from fromnoise.testing.oracles import Gaussian, Oracle

SPEC = ImageSpec(1, 8, 8)
LINEAR = Linear(Normal())
PROCESSES = [LINEAR, VPContinuous(), VPContinuous("squaredcos_cap_v2"), VPLinear(), VE(), VP(zero_terminal_snr=True)]


def ids(process):
    return repr(process)


@dataclass(frozen=True)
class Levels(Oracle):
    """Pixels that take each of 256 grey levels with its own chance: the exact denoiser of quantised images."""

    chances: tuple[float, ...] = ()

    def image(self, xt, alpha, sigma):
        levels = self.spec.low + torch.arange(256) * (self.spec.high - self.spec.low) / 255
        scaled = (xt / sigma)[..., None] - (alpha / sigma)[..., None] * levels
        return torch.softmax(torch.tensor(self.chances).log() - scaled.square_().div_(2), -1) @ levels

    def flow(self, x, t, s):
        raise AssertionError("a likelihood asks the denoiser alone, and walks nowhere")


def normal_chances(mean, std, spec=SPEC):
    levels = spec.low + torch.arange(256, dtype=torch.float64) * (spec.high - spec.low) / 255
    return tuple(torch.softmax(-((levels - mean) ** 2) / (2 * std**2), 0).tolist())


def black_chances():
    """Black in four of five pixels, else anything: entropy 2.31 bits."""
    return tuple([0.8 + 0.2 / 256] + [0.2 / 256] * 255)


def drawn(chances, count=256, spec=SPEC, seed=0):
    chosen = torch.multinomial(
        torch.tensor(chances), count * math.prod(spec.shape), replacement=True, generator=generator(seed, "test")
    )
    return ArrayData("drawn", "test", chosen.view(count, *spec.shape).byte(), None, spec)


def bits(chances, data):
    """What an ideal code needs for these very images."""
    return float(-torch.tensor(chances, dtype=torch.float64).log2()[data.images.long()].mean())


@pytest.mark.parametrize("process", PROCESSES, ids=ids)
def test_the_exact_denoiser_reaches_the_entropy_on_every_process(process):
    chances = normal_chances(0.1, 0.1)
    data = drawn(chances)
    found = bits_per_dimension(Levels(process, SPEC, chances), data, draws=16)
    assert abs(found.bits - bits(chances, data)) < 0.02
    assert found.bits == pytest.approx(found.prior + found.reconstruction + found.diffusion, abs=1e-12)
    assert found.count == 256 and 0.005 < found.stderr < 0.05 and 0 <= found.prior < 1e-3


def test_the_range_of_the_images_does_not_matter():
    spec = replace(SPEC, low=0.0, high=1.0)
    chances = normal_chances(0.5, 0.1, spec)
    data = drawn(chances, spec=spec)
    found = bits_per_dimension(Levels(LINEAR, spec, chances), data, draws=16)
    assert abs(found.bits - bits(chances, data)) < 0.02


def test_a_black_background_costs_nothing_where_little_noise_can_be_asked_about():
    data = drawn(black_chances())
    fine = bits_per_dimension(Levels(LINEAR, SPEC, black_chances()), data, draws=20)
    rough = bits_per_dimension(Levels(VPContinuous(), SPEC, black_chances()), data, draws=20)
    assert fine.end == pytest.approx(1 / 6) and abs(fine.bits - bits(black_chances(), data)) < 0.04
    assert rough.end == pytest.approx(1.34, abs=0.01) and rough.bits > fine.bits + 0.5  # its t_min is that noisy


@pytest.mark.parametrize("process", [LINEAR, VPContinuous(), VE()], ids=ids)
@pytest.mark.parametrize(("mean", "std"), [(0.1, 0.2), (0.1, 0.4), (-0.1, 0.2)])
def test_a_wrong_gaussian_costs_its_cross_entropy(process, mean, std):
    data = drawn(normal_chances(0.1, 0.2))
    x = SPEC.encode(data.images).double()
    step = 2 / 255
    nats = 0.5 * ((x - mean) / std) ** 2 + math.log(std * math.sqrt(2 * math.pi) / step)
    found = bits_per_dimension(Gaussian(process, SPEC, mean, std), data, draws=24)
    assert abs(found.bits - float(nats.mean()) / math.log(2)) < 0.03
    assert found.end > 0.4  # a law without grey levels only pays for less noise


def test_what_is_left_of_the_image_at_the_start_is_paid_for():
    data = drawn(normal_chances(0.4, 0.3), count=40)
    process = VE(t_max=2.0)  # |x0|^2 / (2 sigma^2) nats
    found = bits_per_dimension(Gaussian(process, SPEC, 0.4, 0.3), data, draws=4)
    power = float(SPEC.encode(data.images).double().square().mean())
    assert found.prior == pytest.approx(power / 8 / math.log(2), rel=1e-6)


def test_reading_an_image_costs_what_the_noise_hides():
    images = torch.full((64, 1, 8, 8), 128, dtype=torch.uint8)
    wide = 0.5 * math.log(2 * math.pi * math.e * 1.5**2)  # differential entropy of the noise, in grey levels
    assert float(room._reconstruction(images, 1.5, 0).mean()) == pytest.approx(wide, abs=0.02)
    assert float(room._reconstruction(images, 1 / 6, 0).mean()) < 0.03
    edge = float(room._reconstruction(images * 0, 1.5, 0).mean())
    assert wide - 1 < edge < wide - 0.2  # there is nothing blacker than black


def test_seeds_and_batches():
    oracle, data = Gaussian(LINEAR, SPEC), drawn(normal_chances(0.4, 0.3), count=40)
    first = bits_per_dimension(oracle, data, draws=4)
    assert first == bits_per_dimension(oracle, data, draws=4) != bits_per_dimension(oracle, data, draws=4, seed=1)
    assert bits_per_dimension(oracle, data, count=30, draws=4).count == 30


def test_images_do_not_depend_on_their_batch(monkeypatch):
    oracle, data = Gaussian(LINEAR, SPEC), drawn(normal_chances(0.4, 0.3), count=40)
    whole = bits_per_dimension(oracle, data, draws=4)
    monkeypatch.setattr(room, "_AT_ONCE", 7)
    assert bits_per_dimension(oracle, data, draws=4) == whole


def test_a_model_with_classes_is_conditioned_on_labels():
    heard = []

    class Listening(Gaussian):
        def __call__(self, xt, t, label=None):
            heard.append(label)
            return super().__call__(xt, t, label)

    data = drawn(normal_chances(0.4, 0.3), count=6)
    labelled = replace(data, labels=torch.arange(6) % 3)
    two = ImageSpec(1, 8, 8, ("a", "b", "c"))
    bits_per_dimension(Listening(LINEAR, two), labelled, draws=1)
    assert sorted(heard.pop().tolist()) == [0, 0, 1, 1, 2, 2]
    for spec, images in ((SPEC, labelled), (two, data)):
        bits_per_dimension(Listening(LINEAR, spec), images, draws=1)
        assert heard.pop() is None
    with pytest.raises(DataError, match=r"\b2\b.*0 to 1"):
        bits_per_dimension(Gaussian(LINEAR, ImageSpec(1, 8, 8, ("a", "b"))), labelled)


def test_a_network_is_asked_too():
    torch.manual_seed(0)
    spec = ImageSpec(1, 28, 28)
    data = ArrayData("grey", "test", torch.full((4, 1, 28, 28), 90, dtype=torch.uint8), None, spec)
    found = bits_per_dimension(Denoiser(BasicUNet(), LINEAR, Velocity(), spec).eval(), data, draws=3)
    assert math.isfinite(found.bits) and found.bits > 2


def test_what_has_no_bound_is_refused():
    data = drawn(normal_chances(0.4, 0.3), count=6)
    with pytest.raises(UsageError, match=r"Linear.*uniform"):
        bits_per_dimension(Gaussian(Linear(Uniform()), SPEC), data)
    with pytest.raises(UsageError, match=r"draws.*\b0\b"):
        bits_per_dimension(Gaussian(LINEAR, SPEC), data, draws=0)
    with pytest.raises(DataError, match=r"\(1, 8, 8\).*\(1, 2, 2\)"):
        bits_per_dimension(Gaussian(LINEAR), data)
    with pytest.raises(DataError, match="at least 2"):
        bits_per_dimension(Gaussian(LINEAR, SPEC), data, count=1)
