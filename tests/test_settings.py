"""Settings by dotted name, from TOML and text; a wrong name or value is one sentence."""

import pytest

from fromnoise.common.errors import UsageError
from fromnoise.common.options import all_settings, differences, from_dict, parse_value, replaced, to_dict
from fromnoise.recipes.resolve import read_toml
from fromnoise.settings import Settings


def test_a_config_survives_its_dict():
    config = replaced(Settings(), {"net.width": 48, "net.channels": (8, 16), "train.num_epochs": 2})
    assert from_dict(Settings(), to_dict(config)) == config
    assert config.train.num_epochs == 2.0 and isinstance(config.train.num_epochs, float)


def test_every_setting_has_help_and_can_be_named():
    known = all_settings(Settings)
    assert "train.learning_rate" in known and "sample.steps" in known
    assert all(field.metadata["help"] for field in known.values())


def test_text_becomes_the_settings_type():
    assert parse_value(Settings, "train.learning_rate", "3e-4") == 3e-4
    assert parse_value(Settings, "net.channels", "[16, 32]") == (16, 32)
    assert parse_value(Settings, "train.use_ema", "false") is False
    assert parse_value(Settings, "train.max_grad_norm", "none") is None
    assert parse_value(Settings, "process.kind", "vp") == "vp"


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"train.learnin_rate": 1.0}, r"'train\.learnin_rate'.*'train\.learning_rate'"),
        ({"trian.learning_rate": 1.0}, r"'trian\.learning_rate'.*'train\.learning_rate'"),
        ({"process.kind": "vpp"}, r"process\.kind 'vpp'.*'vp'"),
        ({"train.train_batch_size": 0}, r"train\.train_batch_size.*\b0\b.*\b1\b"),
        ({"train.train_batch_size": 1.5}, r"train\.train_batch_size.*1\.5.*int"),
        ({"train.use_ema": 1}, r"train\.use_ema.*\b1\b.*bool"),
        ({"train.max_grad_norm": 0}, r"train\.max_grad_norm is 0\.0,.*larger"),
    ],
)
def test_mistakes_are_named(changes, named):
    with pytest.raises(UsageError, match=named):
        replaced(Settings(), changes)


def test_differences_are_by_name():
    assert differences(Settings(), replaced(Settings(), {"net.width": 40})) == {"net.width": (32, 40)}


def test_a_duration_in_other_words_is_the_same():
    three, four = (replaced(Settings(), {"train.budget": budget}) for budget in ("180s", "4m"))
    assert not differences(three, replaced(Settings(), {"train.budget": "3m"}))
    assert differences(three, four) == {"train.budget": ("180s", "4m")}


def test_toml_tables(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[train]\nnum_images = 500\n[net]\nwidth = 24\n")
    config = from_dict(Settings(), read_toml(path))
    assert (config.train.num_images, config.net.width) == (500, 24)
    path.write_text("[train\n")
    with pytest.raises(UsageError, match=r"c\.toml"):
        read_toml(path)
    with pytest.raises(UsageError, match=r"'trains'.*'train'"):
        from_dict(Settings(), {"trains": {}})


@pytest.mark.parametrize("text", ["0.3,0.8", "[0.3, 0.8]", "[0.3,0.8]"])
def test_numbers_with_commas_need_no_brackets(text):
    assert parse_value(Settings, "sample.guidance_interval", text) == (0.3, 0.8)


def test_what_are_no_such_numbers_is_said_with_an_example():
    words = parse_value(Settings, "sample.guidance_interval", "wide")
    with pytest.raises(UsageError, match=r"sample\.guidance_interval.*\[wide\].*0\.3,0\.8"):
        replaced(Settings(), {"sample.guidance_interval": words})
