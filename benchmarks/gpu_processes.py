"""What only a GPU can show: training there by one process and by many, and batches fetched ahead. Under 5 minutes.

    python benchmarks/gpu_processes.py                 # one GPU; with several also a process on each
    python benchmarks/gpu_processes.py --device cpu    # all but NCCL and pinned memory, to try this script

The same 30 steps in float32, noise drawn on the CPU, by: one process on the CPU, one on the GPU, one that exchanges
with itself by NCCL, two on one GPU by gloo, and one on each GPU by NCCL. Then images that stay in the machine's memory,
fetched ahead and not. Prints a line a check, and ends with 1 where one fails. `benchmarks/processes.py` has the speeds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

STEPS, BATCH = 30, 64
SETTINGS = {"train.train_batch_size": BATCH, "train.mixed_precision": "no", "train.optimizer": "adamw"}
SETTINGS |= {"train.learning_rate": 1e-3}
SAME, NEAR = 1e-5, 2e-3  # of any weight: the same arithmetic in another order; another device, 30 steps of Adam at 1e-3


def work(way: str, device: str, goal: Path) -> None:
    """In each process: train, and let the first one write its weights."""
    import torch
    import torch.distributed as dist
    from stepping import engine, random_images, stepper

    from fromnoise.run.together import join_training
    from fromnoise.train.distributed import TorchGroup, leave
    from fromnoise.train.hardware import choose_device
    from fromnoise.train.shared_update import SharedUpdate

    torch.backends.cudnn.allow_tf32 = False
    if way in ("gloo", "nccl of one"):
        dist.init_process_group("gloo" if way == "gloo" else "cpu:gloo,cuda:nccl")
    group = TorchGroup() if way == "nccl of one" else join_training()
    name = device if way == "gloo" or group.world == 1 else choose_device("auto").name
    trainer = engine(random_images(512, 1, 28), "default-base", SETTINGS, name, group)
    trainer.noise_device = torch.device("cpu")  # devices draw other noise
    if way == "nccl of one":
        parts = trainer.denoiser, trainer.objective, trainer.optimizer, BATCH, trainer.options.max_grad_norm
        trainer.update = SharedUpdate(*parts, trainer.votes)
    step = stepper(trainer)
    for _ in range(STEPS):
        step()
    if group.rank == 0:
        torch.save({name: value.cpu() for name, value in trainer.best_net.state_dict().items()}, goal)
    group.part()
    leave()


def trained(way: str, device: str, processes: int = 1) -> dict[str, Any]:
    """The averaged weights of `work` in so many processes, which torchrun starts."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        goal = Path(folder) / "weights.pt"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, __file__, "--device", device, "--work", way, str(goal)], check=True, env=env)
        return torch.load(goal)


def furthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of any weight."""
    return max(float((value.double() - other[name].double()).abs().max()) for name, value in one.items())


def fetched(by_thread: bool, device: str, seconds: float) -> tuple[float, float]:
    """(images/s, share of the time in which training waited for a batch), with or without a thread that fetches it."""
    from stepping import engine, random_images, stepper, timed

    from fromnoise.data.batches import Batches
    from fromnoise.train.ahead import Ahead

    data = random_images(20_000 if device != "cpu" else 2_000, 3, 64)
    trainer = engine(random_images(BATCH, 3, 64), "default-base", {"train.train_batch_size": BATCH}, device)
    trainer.batches = Ahead(Batches(data, BATCH, 0, random_flip=True), device, by_thread)
    step = stepper(trainer)
    for _ in range(10 if device != "cpu" else 1):
        step()
    trainer.batches.take_share()
    took = timed(step, seconds, device)
    return took["images"] / took["seconds"], trainer.batches.take_share()


def checks(device: str) -> list[tuple[str, str, bool]]:
    """(what, what was found, whether it is as it should be)."""
    import torch

    gpus = torch.cuda.device_count() if device != "cpu" else 0
    alone = trained("alone", device)
    found = [("one process, beside the CPU", furthest(alone, trained("alone", "cpu")), NEAR if gpus else 0.0)]
    if gpus:
        found.append(("one process by NCCL", furthest(alone, trained("nccl of one", device)), SAME))
    found.append(("two processes on one device by gloo", furthest(alone, trained("gloo", device, 2)), SAME))
    if gpus > 1:
        found.append((f"{gpus} processes on {gpus} GPUs by NCCL", furthest(alone, trained("nccl", device, gpus)), SAME))
    rows = [(what, f"weights differ by {value:.1g} (at most {most:.1g})", value <= most) for what, value, most in found]
    (slow, waited), (fast, left) = fetched(False, device, 10.0), fetched(True, device, 10.0)
    words = f"{fast:,.0f} images/s, waiting {100 * left:.1f} % (not ahead: {slow:,.0f}, {100 * waited:.1f} %)"
    return [*rows, ("batches fetched ahead", words, left <= waited + 0.01)]


def main() -> None:
    """Print every check, or (--work) be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", choices=["cuda:0", "cpu"])
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work[0], args.device, Path(args.work[1]))
        return
    from fromnoise.train.hardware import choose_device

    choose_device(args.device)  # says so where there is no GPU
    found = checks(args.device)
    for what, words, good in found:
        print(f"{'ok  ' if good else 'FAIL'} {what}: {words}")
    sys.exit(not all(good for *_, good in found))


if __name__ == "__main__":
    main()
