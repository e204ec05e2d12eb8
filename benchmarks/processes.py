"""Training by 1, 2 and 4 processes: images per second, and the share of time that goes into communication.

    python benchmarks/processes.py                            # CPUs, gloo
    python benchmarks/processes.py --processes 1 2 4 8        # the GPUs of this machine, NCCL, where there are any

Random images, no data needed; the machine should do nothing else. Each number of processes is started by torchrun, as
`fromnoise train --num_processes` does; on CPUs each has one thread, also one alone. The same batch for all together
shows how much sooner the same training ends; a batch for each, how much more is done. Communication is the time within
the exchanges of the group, waiting for the slowest process included. Writes docs/results/processes.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, in_words, keep, machine, short, spread, table, with_range

RECIPE, SIDE, TURNS = "default-base", 28, 3
EXCHANGES = ("sum_", "max_", "gather", "broadcast", "barrier")


def work(processes: int, batch: int, device: str, seconds: float) -> dict[str, Any] | None:
    """In each process: train for a while; process 0 gives what it measured."""
    import torch
    from stepping import engine, random_images, stepper, timed

    from fromnoise.common.threads import THREADS
    from fromnoise.run.together import join_training
    from fromnoise.train.hardware import choose_device

    group = join_training()
    assert group.world == processes, f"{group.world} processes are here instead of {processes}"
    name = choose_device(device).name
    step = stepper(engine(random_images(batch, 1, SIDE), RECIPE, {"train.train_batch_size": batch}, name, group))
    waited = 0.0

    def measured(exchange: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal waited
            if name != "cpu":
                torch.cuda.synchronize()
            began = time.perf_counter()
            try:
                return exchange(*arguments)
            finally:
                if name != "cpu":
                    torch.cuda.synchronize()
                waited += time.perf_counter() - began

        return call

    for exchange in EXCHANGES:
        setattr(group, exchange, measured(getattr(group, exchange)))
    for _ in range(5):  # memory is taken, kernels are chosen
        step()
    steps = group.broadcast(max(1, int(seconds / TURNS / timed(step, 0, name)["seconds"])))  # the same in all
    turns, shares = [], []
    for _ in range(TURNS):
        waited, began = 0.0, time.perf_counter()
        for _ in range(steps):
            step()
        group.barrier()
        turns.append(time.perf_counter() - began)
        shares.append(waited / turns[-1])
    if group.rank:
        return None
    return {
        "processes": processes,
        "batch": batch,
        "threads": THREADS.number,
        "ms_per_step": spread([1e3 * turn / steps for turn in turns]),
        "images_per_second": spread([steps * batch / turn for turn in turns]),
        "communication": spread(shares),
    }


def started(processes: int, batch: int, device: str, seconds: float) -> dict[str, Any]:
    """`work` in so many processes, which torchrun starts."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    own = [__file__, "--device", device, "--seconds", str(seconds), "--work", str(processes), str(batch)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return json.loads(subprocess.run([*command, *own], check=True, stdout=subprocess.PIPE, text=True, env=env).stdout)


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    rows = [
        [
            "the same for all" if one["kind"] == "same" else "one for each",
            str(one["processes"]),
            str(one["threads"]),
            f"{one['batch']:,}",
            with_range(one["ms_per_step"]),
            short(one["images_per_second"]["median"]),
            f"{one['times']:.2f}",
            f"{100 * one['communication']['median']:.0f} %",
        ]
        for one in found["rows"]
    ]
    heading = ["batch", "processes", "threads each", "images a step", "ms a step", "images/s"]
    backend = "gloo" if found["machine"]["device"] == "cpu" else "NCCL"
    return (
        f"# Training by many processes\n\n`{found['command']}`, on {in_words(found['machine'])}; {backend}.\n\n"
        f"Steps of the recipe `{RECIPE}` on random images of {SIDE}x{SIDE} pixels, the median of {TURNS} turns (least "
        "to most in brackets). Times one: in the fastest turn of each, which other programs held up least. "
        "Communication: the share of process 0's time within exchanges, waiting for the slowest process included. More "
        "processes than CPUs share them, so they only cost.\n\n"
        f"{table([*heading, 'times one', 'communication'], rows)}\n"
    )


def measure(processes: Sequence[int], batch: int, device: str, seconds: float) -> list[dict[str, Any]]:
    """All rows: the batch for all together, then one for each process."""
    rows: list[dict[str, Any]] = []
    for kind in ("same", "each"):
        for number in processes:
            if kind == "each" and number == processes[0]:
                continue  # the same thing
            one = started(number, batch if kind == "same" else batch * number // processes[0], device, seconds)
            first = rows[0] if rows else one
            rows.append({"kind": kind, **one, "times": times(one, first)})
    return rows


def times(one: Mapping[str, Any], first: Mapping[str, Any]) -> float:
    """How many times the images per second of `first` there were, in the fastest turn of each."""
    return one["images_per_second"]["max"] / first["images_per_second"]["max"]


def main() -> None:
    """Measure and write both files, or (--work) be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--processes", type=int, nargs="+", help="how many (default: 1, 2 and 4, as far as there are GPUs)"
    )
    parser.add_argument("--batch", type=int, default=64, help="images a step of one process")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=12.0, help="for each row")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        processes, batch = args.work
        if (mine := work(processes, batch, args.device, args.seconds)) is not None:
            print(json.dumps(mine))
        return
    import torch

    from fromnoise.train.hardware import choose_device

    device = choose_device(args.device).name
    most = torch.cuda.device_count() if device.startswith("cuda") else 4
    numbers = args.processes or [number for number in (1, 2, 4) if number <= most]
    command = f"python benchmarks/processes.py --processes {' '.join(map(str, numbers))} --batch {args.batch}"
    rows = measure(numbers, args.batch, args.device, args.seconds)
    found = {"command": command, "machine": machine(device), "rows": rows}
    name = "processes" if device == "cpu" else f"processes-{device.partition(':')[0]}"
    keep(args.output_dir / name, found, page(found))


if __name__ == "__main__":
    main()
