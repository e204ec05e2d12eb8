"""Averages of other lengths, made after training: against those computed directly, and the same after a resume."""

import math
import re

import pytest
import torch
from safetensors.torch import save
from torch import nn

from fromnoise.common.errors import CheckpointError, UsageError, WriteError
from fromnoise.run.checkpoints import ema_length
from fromnoise.train import posthoc_ema
from fromnoise.train.averages import POSTHOC_LENGTHS
from fromnoise.train.checkpoint import average_file, restore_trainer, save_checkpoint
from fromnoise.train.checkpoint_files import read_checkpoint
from fromnoise.train.ema import Ema
from fromnoise.train.posthoc_ema import coefficients, inner_product, prune_after, reconstruct
from fromnoise.train.snapshot_manifest import FIRST_SPACING, MAX_SNAPSHOTS, list_snapshots

STEPS = 40 * FIRST_SPACING
FAR = STEPS * 8  # images


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def wandering(step):
    """A weight that falls, swings and jumps about its place."""
    return math.exp(-step / 300) + 0.3 * math.sin(step / 90) + 0.05 * math.sin(7.3 * step**1.5)


def test_the_inner_product_is_the_integral():
    tau = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 4000  # to 100
    for (a_end, a), (b_end, b) in [((100, 2.5), (60, 7.0)), ((30, 0.5), (80, 16.9)), ((50, 6.0), (50, 6.0))]:
        p, q = ((g + 1) * tau**g / end ** (g + 1) * (tau <= end) for end, g in ((a_end, a), (b_end, b)))
        found = inner_product(f64(a_end), f64(a), f64(b_end), f64(b)).item()
        assert found == pytest.approx(float((p * q).sum() / 4000), rel=1e-4)


def test_a_saved_average_is_given_back_and_shares_add_up_to_one():
    ends, lengths = f64(100, 100, 200, 200, 300, 300), f64(*POSTHOC_LENGTHS).repeat(3)
    x, misfit = coefficients(ends, lengths, 300, 0.1)
    assert misfit < 1e-3 and x.sum().item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(x, f64(0, 0, 0, 0, 0, 1), atol=0.02, rtol=0)
    x, misfit = coefficients(ends, lengths, 300, 0.01)
    assert misfit > 0.4 and x.sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("length", "allowed"),
    [(0.02, 0.01), (0.03, 5e-3), (0.06, 1e-3), (0.075, 1e-3), (0.09, 1e-3), (0.12, 1e-3), (0.15, 2e-3), (0.25, 0.012)],
)
def test_a_chosen_length_is_the_average_computed_directly(tmp_path, length, allowed, make_trainer):
    net = nn.Linear(1, 1, bias=False)
    direct, t = Ema(net, length), make_trainer(total=FAR)
    t.averages.posthoc = {one: Ema(net, one) for one in POSTHOC_LENGTHS}
    for t.step in range(1, STEPS + 1):
        with torch.no_grad():
            net.weight.fill_(wandering(t.step))
        for average in (direct, *t.averages.posthoc.values()):
            average.update(t.step)
        if t.step < STEPS:
            posthoc_ema.save_if_due(tmp_path, t)
    assert len(list_snapshots(tmp_path)) == 19  # 20 spacings of 2 FIRST, the last of them the checkpoint
    files = {average_file(one): save(a.net.state_dict()) for one, a in t.averages.posthoc.items()}
    files["state.json"] = b'{"format": 1, "step": %d}' % STEPS
    reconstruct(net, files, tmp_path, length)
    assert net.weight.item() == pytest.approx(direct.net.weight.item(), abs=allowed)
    others = [abs(a.net.weight.item() - direct.net.weight.item()) for a in t.averages.posthoc.values()]
    assert min(others) > (3 if length < 0.2 else 1) * abs(net.weight.item() - direct.net.weight.item()), (
        "nearer than what it is made of"
    )


def test_the_moments_are_even_and_few():
    for step in (1, 31, 32, 768, 769, 1535, 1536, 100_000):
        gap = posthoc_ema.spacing(step)
        assert step // gap <= MAX_SNAPSHOTS and (step < 769 or step // gap >= MAX_SNAPSHOTS // 2)
    # Whatever is wanted later was written at its time, and was not deleted before.
    for later in range(1, 5000):
        gap = posthoc_ema.spacing(later)
        assert all(n % posthoc_ema.spacing(n) == 0 for n in range(gap, later + 1, gap))


def train(t, folder, until=None):
    """As a run trains: snapshots on the way, until `until` steps."""
    for step in t.steps():
        posthoc_ema.save_if_due(folder, t)
        if step.step == until:
            break
    return t


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("stopped", [70, 800])
def test_resumed_equals_uninterrupted(tmp_path, stopped, make_trainer, tiny_net):
    whole = train(make_trainer(total=FAR), tmp_path / "whole")
    first = train(make_trainer(total=FAR), tmp_path / "again", until=stopped)
    saved = save_checkpoint(tmp_path / "checkpoints", first, seconds=0, keep=2)
    train(first, tmp_path / "again", until=stopped + 90)  # and killed: what was saved since belongs to another future
    (tmp_path / "again" / ".00000096.safetensors").write_bytes(b"half")
    second = make_trainer(total=FAR)
    restore_trainer(read_checkpoint(saved), second)
    prune_after(tmp_path / "again", second.step)
    assert all(int(path.stem) <= stopped for path in list_snapshots(tmp_path / "again"))
    train(second, tmp_path / "again")
    assert contents(tmp_path / "whole") == contents(tmp_path / "again") != {}
    ends = [
        read_checkpoint(save_checkpoint(tmp_path / n, t, seconds=0, keep=2)) for n, t in (("a", whole), ("b", second))
    ]
    assert ends[0] == ends[1] and {"ema.safetensors", "ema-0.05.safetensors"} < set(ends[0])
    assert "ema-0.1.safetensors" not in ends[0], "the run's own average is one of the two"
    nets = [tiny_net(), tiny_net()]
    for net, files, name in zip(nets, ends, ("whole", "again"), strict=True):
        reconstruct(net, files, tmp_path / name, 0.15)
    assert torch.equal(nets[0].layer.weight, nets[1].layer.weight)


@pytest.mark.parametrize("length", [0.1, 0.2])
def test_training_is_the_same_with_and_without(tmp_path, length, make_trainer):
    files = []
    for name, posthoc in (("with", True), ("without", False)):
        t = train(make_trainer(total=800, ema_length=length, posthoc_ema=posthoc), tmp_path / name)
        files.append(read_checkpoint(save_checkpoint(tmp_path / "checkpoints" / name, t, seconds=0, keep=1)))
    more = {"ema-0.05.safetensors"} | ({"ema-0.1.safetensors"} if length != 0.1 else set())
    assert set(files[0]) - set(files[1]) == more and not (tmp_path / "without").exists()
    assert all(files[0][name] == content for name, content in files[1].items())
    assert not make_trainer(use_ema=False).averages.posthoc


def test_a_run_that_began_without_them_continues_without_them(tmp_path, make_trainer):
    saved = save_checkpoint(tmp_path / "c", train(make_trainer(posthoc_ema=False), tmp_path), seconds=0, keep=1)
    t = make_trainer()
    restore_trainer(read_checkpoint(saved), t)
    assert t.averages.posthoc == {} and t.averages.ema is not None


def test_an_earlier_checkpoint_uses_the_snapshots_before_it(tmp_path, make_trainer, tiny_net):
    t = train(make_trainer(total=FAR), tmp_path, until=400)
    files = read_checkpoint(save_checkpoint(tmp_path / "c", t, seconds=0, keep=1))
    before, after = tiny_net(), tiny_net()
    reconstruct(before, files, tmp_path, 0.15)
    train(t, tmp_path, until=700)
    reconstruct(after, files, tmp_path, 0.15)
    assert torch.equal(before.layer.weight, after.layer.weight)


def test_lengths_that_cannot_be_made_are_refused(tmp_path, make_trainer, tiny_net):
    def saved(name, **options):
        t = train(make_trainer(total=80, **options), tmp_path / name)
        return read_checkpoint(save_checkpoint(tmp_path / name / "c", t, seconds=0, keep=1))

    for options in ({"posthoc_ema": False}, {"use_ema": False}):
        with pytest.raises(UsageError, match="ema or raw") as caught:
            reconstruct(tiny_net(), saved("none", **options), tmp_path / "none" / "averages", 0.15)
        assert caught.value.exit_code == 2
    short = saved("short")
    reconstruct(tiny_net(), short, tmp_path / "short", 0.08)
    with pytest.raises(UsageError, match=r"\b2\b.*\b10 steps.*0\.28.*0\.03 to 0\.1\d"):
        reconstruct(tiny_net(), short, tmp_path / "short", 0.28)
    train(make_trainer(total=FAR), tmp_path / "damaged", until=40)
    list_snapshots(tmp_path / "damaged")[0].write_bytes(b"")
    t = train(make_trainer(total=FAR), tmp_path / "other", until=40)
    files = read_checkpoint(save_checkpoint(tmp_path / "c", t, seconds=0, keep=1))
    with pytest.raises(CheckpointError, match=r"damaged.*ema or raw"):
        reconstruct(tiny_net(), files, tmp_path / "damaged", 0.08)


def test_a_snapshot_that_cannot_be_written_is_an_error(tmp_path, make_trainer):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"--no_posthoc_ema"):
        train(make_trainer(total=FAR), tmp_path / "file" / "averages")


def test_weights_are_named_by_kind_and_length():
    assert [ema_length(text) for text in ("ema", "raw", "ema:0.15", "ema:0.01", "ema:0.28")] == [
        None,
        None,
        0.15,
        0.01,
        0.28,
    ]
    for text in ("", "emma", "ema:", "ema:long", "raw:0.1", "0.1"):
        with pytest.raises(UsageError, match=rf"'{re.escape(text)}'.*\bema\b.*\braw\b.*\bema:"):
            ema_length(text)
    for text in ("ema:0.009", "ema:0.3", "ema:-1", "ema:nan", "ema:inf"):
        with pytest.raises(UsageError, match=rf"{re.escape(text)}.*0\.01 to 0\.28"):
            ema_length(text)
