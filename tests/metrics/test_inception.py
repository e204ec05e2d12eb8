"""Inception is asked the way torch-fidelity asks it, and whatever is missing is said in one sentence, at once."""

import re
import sys
import types

import pytest
import torch
from torch import nn

from fromnoise.common.errors import DataError, UsageError
from fromnoise.metrics import inception as room
from fromnoise.metrics.inception import FILE, URL, inception, recipe_hash


class Fake(nn.Module):
    """Takes what torch-fidelity's extractor takes; its features are the images' first pixel, times a weight."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None):
        super().__init__()
        assert (name, features_list) == ("inception-v3-compat", ["2048"])
        self.weight = nn.Parameter(torch.zeros(2048), requires_grad=False)
        self.load_state_dict(torch.load(feature_extractor_weights_path))
        self.seen = []

    def forward(self, images):
        assert images.dtype == torch.uint8 and images.shape[1] == 3
        self.seen.append(len(images))
        return (images.float().mean((2, 3))[:, :1] * self.weight,)


@pytest.fixture
def fake(monkeypatch):
    module = types.ModuleType("torch_fidelity")
    module.FeatureExtractorInceptionV3 = Fake
    monkeypatch.setitem(sys.modules, "torch_fidelity", module)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "some.pth"
    torch.save({"weight": torch.arange(2048.0)}, path)
    return path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def test_without_the_extra_the_pip_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UsageError, match=r"torch_fidelity.*pip install torch-fidelity"):
        inception()


def test_a_torchvision_that_does_not_fit_is_said(monkeypatch):
    class Broken(types.ModuleType):
        def __getattr__(self, name):
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torch_fidelity", Broken("torch_fidelity"))
    with pytest.raises(UsageError, match=r"torchvision::nms does not exist.*torch \d"):
        inception()


def test_offline_nothing_is_tried(fake, hub, monkeypatch):
    monkeypatch.setattr(room, "within_reach", None)  # calling it would fail
    with pytest.raises(DataError) as caught:
        inception()
    said = str(caught.value)
    assert FILE in said and URL in said and str(hub) in said and "FROMNOISE_OFFLINE" in said
    assert caught.value.exit_code == 3 and "\n" not in said and not hub.exists()


def test_without_a_network_or_when_it_breaks_off(fake, hub, monkeypatch):
    monkeypatch.setenv("FROMNOISE_OFFLINE", "")
    monkeypatch.setattr(room, "within_reach", lambda url: False)
    with pytest.raises(DataError, match=rf"{FILE}.*{URL}"):
        inception()

    def broken(url, path):
        raise OSError("gone")

    monkeypatch.setattr(room, "within_reach", lambda url: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", broken)
    with pytest.raises(DataError, match=r"\bgone\b"):
        inception()


def test_weights_are_given_or_found_or_downloaded(fake, hub, weights, monkeypatch):
    given = inception(weights)
    assert (given.name, given.dim, given.recipe_hash) == ("inception", 2048, recipe_hash())
    monkeypatch.setenv("FROMNOISE_OFFLINE", "")
    monkeypatch.setattr(room, "within_reach", lambda url: url == URL)
    fetched = []

    def download(url, path):
        fetched.append(url)
        torch.save({"weight": torch.ones(2048)}, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    downloaded, found = inception(), inception()
    assert fetched == [URL] and (hub / FILE).is_file()
    assert downloaded.weight_hash == found.weight_hash != given.weight_hash


def test_every_kind_of_image_becomes_rgb(fake, weights):
    of = inception(weights).of
    grey = torch.randint(0, 256, (40, 1, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = grey.float().mean((2, 3)) * torch.arange(2048.0)
    assert torch.equal(of(grey), expected) and of(grey).dtype == torch.float32
    assert torch.equal(of(grey.expand(-1, 3, -1, -1)), expected)
    opaque = torch.cat([grey.expand(-1, 3, -1, -1), torch.full_like(grey, 255)], 1)
    assert torch.equal(of(opaque), expected)
    assert of(torch.zeros(1, 4, 5, 7, dtype=torch.uint8))[0, 1] == 255.0  # nothing at all is white
    assert of(grey[:0]).shape == (0, 2048)
    for wrong in (grey.float(), grey[0], grey.expand(-1, 2, -1, -1)):
        with pytest.raises(DataError, match=rf"{re.escape(str(tuple(wrong.shape)))}.*Inception.*uint8 \(N, 1"):
            of(wrong)


def test_images_are_taken_in_small_batches(fake, weights, monkeypatch):
    built = []
    monkeypatch.setattr(room, "_builder", lambda: lambda *a, **k: built.append(Fake(*a, **k)) or built[-1])
    inception(weights).of(torch.zeros(40, 1, 4, 4, dtype=torch.uint8))
    assert built[0].seen == [16, 16, 8]


def test_weights_that_are_none_are_refused(fake, tmp_path):
    with pytest.raises(DataError, match=rf"nowhere\.pth.*{URL}"):
        inception(tmp_path / "nowhere.pth")
    path = tmp_path / "some.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(DataError, match=rf"some\.pth.*{URL}"):
        inception(path)
    torch.save([1, 2], path)
    with pytest.raises(DataError, match=rf"some\.pth.*{URL}"):
        inception(path)
    torch.save({"weight": torch.zeros(7)}, path)
    with pytest.raises(DataError, match=r"some\.pth.*torch-fidelity's Inception"):
        inception(path)
