"""One training over the workers of a Ray cluster; the same command again goes on.

    python ray_train.py --workers 8 --gpu -- DATA --num_images 10000000 --output_dir /shared/runs/mine ...

What follows `--` goes to `fromnoise train`. Ray starts the workers, joins them into a process group, and starts all of
them again where one fails; fromnoise takes the group as it is and goes on from the newest checkpoint of the run folder,
which has to be at the same place on every machine. Of its exit codes only 0, 2, 3 and 75 are passed on: after any other
Ray starts the workers again, `--retries` times at most, and ends with 1 where that does not help.
"""

import argparse
import sys
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchTrainer

FINAL = (0, 2, 3, 75)  # done, wrong flags, wrong images, time limit: starting these again is of no use


class Ended:
    """Holds the workers' exit codes."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def add(self, code: int) -> None:
        """Keep the code of a worker that ended."""
        self.codes.append(code)

    def largest(self) -> int:
        """The largest code of those that ended."""
        return max(self.codes)


def work(config: dict[str, Any]) -> None:
    """One worker: a rank of the training."""
    from fromnoise.cli import main

    code = main(["train", *config["arguments"]])
    if code not in FINAL:
        raise RuntimeError(f"fromnoise train ended with exit code {code}")
    ray.get(config["ended"].add.remote(code))


def main() -> int:
    """Train; the exit code of the workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1, help="processes, over all machines")
    parser.add_argument("--gpu", action="store_true", help="give each of them a GPU")
    parser.add_argument("--retries", type=int, default=3, help="how often failed workers are started again")
    parser.add_argument("--storage", help="a folder that all machines share, for Ray's own records")
    parser.add_argument("arguments", nargs="+", metavar="ARGUMENT", help="of `fromnoise train`, behind --")
    args = parser.parse_args()
    ended = ray.remote(num_cpus=0)(Ended).remote()
    trainer = TorchTrainer(
        work,
        train_loop_config={"arguments": args.arguments, "ended": ended},
        scaling_config=ray.train.ScalingConfig(num_workers=args.workers, use_gpu=args.gpu),
        run_config=ray.train.RunConfig(
            storage_path=args.storage, failure_config=ray.train.FailureConfig(max_failures=args.retries)
        ),
    )
    trainer.fit()
    return ray.get(ended.largest.remote())


if __name__ == "__main__":
    sys.exit(main())
