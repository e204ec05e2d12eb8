"""DINOv2 features: images are prepared as in its training, and missing parts are refused."""

import sys
import types

import pytest
import torch
from torch import nn

from fromnoise.common.errors import DataError, UsageError
from fromnoise.metrics.dinov2 import NAME, dinov2, recipe_hash


class Fake(nn.Module):
    """Takes what transformers' model takes; its class token is the mean of each channel, thrice."""

    config = types.SimpleNamespace(hidden_size=9)

    @classmethod
    def from_pretrained(cls, source, local_files_only, use_safetensors):
        assert use_safetensors, "a .bin of weights is a pickle"
        if source == NAME:
            assert local_files_only
            raise OSError(f"{source} is not in the cache\nand more")
        return cls()

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, pixel_values):
        assert pixel_values.shape[1:] == (3, 224, 224)
        token = pixel_values.mean((2, 3)).repeat(1, 3)
        return types.SimpleNamespace(last_hidden_state=torch.stack([token, -token], dim=1))


@pytest.fixture
def fake(monkeypatch):
    module = types.ModuleType("transformers")
    module.Dinov2Model = Fake
    monkeypatch.setitem(sys.modules, "transformers", module)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_images_are_prepared_as_in_its_training(fake, folder):
    space = dinov2(folder)
    assert (space.name, space.dim, space.recipe_hash) == ("dinov2", 9, recipe_hash()) and len(space.weight_hash) == 16
    white = space.of(torch.full((40, 1, 28, 28), 255, dtype=torch.uint8))
    assert white.shape == (40, 9) and white.dtype == torch.float32
    expected = torch.tensor([(1 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)])
    torch.testing.assert_close(white[0, :3], expected, rtol=1e-4, atol=1e-5)
    black = space.of(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert float(black.max()) < 0 and space.of(torch.zeros(1, 4, 8, 8, dtype=torch.uint8))[0, 0] > 0  # over white


def test_without_the_extra_the_pip_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match="pip install transformers"):
        dinov2()


def test_missing_weights_are_one_sentence(fake, tmp_path):
    with pytest.raises(DataError, match=r"facebook/dinov2-small.*--feature_weights") as error:
        dinov2()
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"nothing.*config\.json"):
        dinov2(tmp_path / "nothing")
