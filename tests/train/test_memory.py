"""Memory that runs out in a training step: the same step in micro-batches, and nothing that is half done."""

import pytest
import torch

from fromnoise.common.errors import MemoryLimitError


@pytest.fixture
def room(monkeypatch, tiny_net):
    """room(most): from now on no more than `most` images fit through the network at once; gives the sizes tried."""
    forward, tried = tiny_net.forward, []

    def set_room(most):
        def limited(net, x, code, label=None):
            tried.append(len(x))
            if len(x) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(net, x, code, label)

        monkeypatch.setattr(tiny_net, "forward", limited)
        return tried

    return set_room


def inputs(trainer, step, count=8):
    x0 = trainer.denoiser.spec.encode(trainer.batches.batch(step)[0])[:count]
    return x0, None, trainer.objective.draw(trainer.denoiser.process, tuple(x0.shape), seed=0, step=step)


def everything(trainer):
    """Weights and the optimizer's state."""
    state = [value for row in trainer.optimizer.state.values() for value in row.values()]
    return [tensor.detach().clone() for tensor in (*trainer.net.parameters(), *state)]


@pytest.mark.parametrize(("most", "micro_batch"), [(7, 4), (3, 2), (1, 1)])
def test_a_step_in_micro_batches_is_the_step_up_to_rounding(make_trainer, room, most, micro_batch):
    whole, parts = (make_trainer(optimizer="adamw", max_grad_norm=0.1) for _ in range(2))
    losses = [whole.update(*inputs(whole, step, count), 0.01) for step, count in ((0, 8), (1, 8), (2, 5))]
    tried = room(most)
    again = [parts.update(*inputs(parts, step, count), 0.01) for step, count in ((0, 8), (1, 8), (2, 5))]
    assert parts.update.micro_batch == micro_batch and max(tried[4:]) <= micro_batch, "what failed is not tried again"
    torch.testing.assert_close(again, losses)
    torch.testing.assert_close(everything(parts), everything(whole))


def test_an_attempt_that_fails_in_its_last_part_leaves_no_gradient_behind(make_trainer, monkeypatch, tiny_net):
    plain, one, forward, calls = make_trainer(), make_trainer(), tiny_net.forward, []
    plain.update(*inputs(plain, 0), 0.01)
    one.update.micro_batch = 4

    def second_fails(net, x, code, label=None):
        calls.append(len(x))
        if len(calls) == 2:
            raise MemoryError
        return forward(net, x, code, label)

    monkeypatch.setattr(tiny_net, "forward", second_fails)
    one.update(*inputs(one, 0), 0.01)
    assert calls == [4, 4, 2, 2, 2, 2]
    torch.testing.assert_close(everything(one), everything(plain))


def test_a_single_image_that_does_not_fit_is_a_sentence_and_moves_nothing(make_trainer, room):
    trainer = make_trainer()
    trainer.update(*inputs(trainer, 0), 0.01)
    before, _ = everything(trainer), room(0)
    with pytest.raises(MemoryLimitError):
        trainer.update(*inputs(trainer, 1), 0.01)
    assert all(torch.equal(a, b) for a, b in zip(before, everything(trainer), strict=True))


def test_a_step_whose_weights_may_have_moved_is_not_done_again(make_trainer, monkeypatch):
    trainer, calls = make_trainer(), []

    def step(closure=None):
        calls.append(1)
        raise MemoryError

    monkeypatch.setattr(trainer.optimizer, "step", step)
    with pytest.raises(MemoryError):
        trainer.update(*inputs(trainer, 0), 0.01)
    assert calls == [1]


def test_other_errors_are_not_taken_as_memory(make_trainer, monkeypatch, tiny_net):
    trainer, calls = make_trainer(), []

    def broken(net, x, code, label=None):
        calls.append(1)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(tiny_net, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.update(*inputs(trainer, 0), 0.01)
    assert calls == [1]
