"""Device, precision, layout, graph and compilation are chosen by rule, with a reason, or forced."""

from types import SimpleNamespace

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.train.hardware import (
    choose_channels_last,
    choose_compile,
    choose_device,
    choose_graph,
    choose_precision,
)


def test_precision_and_device_give_their_reasons():
    assert choose_precision("cpu", "no").dtype_name == "float32"
    assert choose_precision("cpu", "bf16").autocast is torch.bfloat16
    assert choose_precision("cpu").reason and choose_precision("cpu").reason != choose_precision("cpu", "no").reason
    assert choose_device("cpu").name == "cpu"
    with pytest.raises(UsageError, match="'gpu'"):
        choose_device("gpu")


def test_layout_graph_and_compile_give_their_reasons_and_can_be_forced():
    assert choose_channels_last("unet", "cpu").on and choose_channels_last("unet2d", "cuda").on
    slower = choose_channels_last("unet2d", "cpu")
    assert not slower.on and slower.reason in str(slower)
    assert choose_channels_last("unet2d", "cpu", "channels_last").on
    assert not choose_channels_last("unet", "cpu", "channels_first").on
    assert choose_graph("cuda").on and not choose_graph("cpu").on and not choose_graph("cuda", "no").on
    assert choose_graph("cuda:1", "yes").reason == choose_precision("cpu", "no").reason, "requested, not chosen by rule"
    with pytest.raises(UsageError, match=r"cuda_graph.*cpu"):
        choose_graph("cpu", "yes")
    assert not choose_compile("cuda").on and choose_compile("cpu", "yes").on


def test_one_gpu_by_its_number_is_not_for_several_processes(monkeypatch):
    group = SimpleNamespace(world=2, local_world=2)
    monkeypatch.setattr("fromnoise.train.distributed.current", lambda: group)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"cuda:1.*\b2 processes.*--device cuda\b"):
        choose_device("cuda:1")
    group.world = group.local_world = 1
    assert choose_device("cuda:1").name == "cuda:1"
