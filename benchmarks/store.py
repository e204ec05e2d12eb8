"""What a store of many images takes and gives: seconds to make it, anonymous memory, images a second.

    python benchmarks/store.py                       # 1,000,000 made images of 64 pixels, 25 GB of disk
    python benchmarks/store.py --images 20000 --resident 5000

The images are made as one .npy, which is read where it lies and also imported into a store; so many as `--resident` are
trained on from memory, beside both. Each row is a process of its own. Writes docs/results/store.json and .md, and
removes what it made. Pictures are decoded from a .zip of PNGs of `--pictures`, once into memory and once into a store.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from common import RESULTS, in_words, keep, machine, short, table

SIDE, CHUNK = 64, 4096


def anonymous() -> int:
    """Anonymous memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


def make_array(path: Path, number: int) -> None:
    """So many images of noise and gradients, as uint8 (N, 64, 64, 3)."""
    random = np.random.default_rng(0)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (number, SIDE, SIDE, 3))
    for start in range(0, number, CHUNK):
        part = array[start : start + CHUNK]
        part[:] = random.integers(0, 256, part.shape, dtype=np.uint8)
    array.flush()


def make_pictures(path: Path, number: int) -> None:
    """So many smooth PNGs in a .zip."""
    from PIL import Image

    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for place in range(number):
            small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            file = BytesIO()
            small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "PNG")
            archive.writestr(f"{place:07}.png", file.getvalue())


def load_once(data: str, store: Literal["auto", "always", "never"]) -> dict[str, Any]:
    """Load DATA: seconds, and anonymous memory that is held."""
    from fromnoise.data import load

    load("digits")
    before, began = anonymous(), time.perf_counter()
    images = load(data, store=store)
    return {"seconds": time.perf_counter() - began, "anonymous": anonymous() - before, "images": len(images)}


def train(data: str, steps: int) -> dict[str, Any]:
    """Batches alone, and training steps of the smallest network: images a second, and the most anonymous memory."""
    from fromnoise.data import Batches, load
    from fromnoise.run import Run

    load("digits")
    before, peak, batch = anonymous(), 0, 128
    images = load(data, holdout=0.1)
    batches, began = Batches(images, batch, seed=0), time.perf_counter()
    for step in range(steps):
        batches.batch(step)
        peak = max(peak, anonymous())
    fetched = steps * batch / (time.perf_counter() - began)
    batches_peak, waited = peak - before, []
    with tempfile.TemporaryDirectory() as folder:
        settings = {"net.width": 8, "net.depth": 1, "train.num_images": batch * (steps // 4), "train.log_every": 10}
        settings |= {"train.previews": 0, "train.validations": 0, "train.train_batch_size": batch}
        run = Run.create(data, output_dir=Path(folder) / "run", settings=settings, device="cpu")
        began = time.perf_counter()
        for _ in run.steps():
            peak = max(peak, anonymous())
        speed = batch * (steps // 4) / (time.perf_counter() - began)
        waited = [line["data_wait"] for line in run.folder.read_metrics() if "data_wait" in line]
    return {
        "images": len(images),
        "fetched_per_second": fetched,
        "trained_per_second": speed,
        "anonymous_of_batches": batches_peak,
        "anonymous": peak - before,
        "data_wait": float(np.mean(waited)) if waited else None,
    }


def apart(task: str, *words: object) -> dict[str, Any]:
    """A task in a process of its own."""
    command = [sys.executable, __file__, "--task", task, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(task, *words, found, flush=True)
    return found


def measure(number: int, resident: int, pictures: int, steps: int, rounds: int, folder: Path) -> dict[str, Any]:
    """All rows."""
    os.environ["FROMNOISE_CACHE"] = str(folder / "cache")
    array, few, packed = folder / "images.npy", folder / "few.npz", folder / "pictures.zip"
    make_array(array, number)
    np.savez(few, images=np.load(array, mmap_mode="r")[:resident])
    make_pictures(packed, pictures)
    began = time.perf_counter()
    command = [sys.executable, "-m", "fromnoise", "data", "import", str(array), "--out", str(folder / "store")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    return {
        "images": number,
        "resident": resident,
        "rounds": rounds,
        "bytes": array.stat().st_size,
        "import_seconds": seconds,
        "decoded into memory": apart("load", packed, "never"),
        "decoded into a store": apart("load", packed, "always"),
        **in_turns({"memory": few, ".npy": array, "store": folder / "store"}, steps, rounds),
    }


def in_turns(sources: dict[str, Path], steps: int, rounds: int) -> dict[str, Any]:
    """Train on each in turns; the fastest of the rounds, with the most memory and waiting."""
    turns = [{name: apart("train", path, steps) for name, path in sources.items()} for _ in range(rounds)]
    rows = {}
    for name in sources:
        found = [turn[name] for turn in turns]
        largest = {key: max(one[key] for one in found) for key in found[0] if found[0][key] is not None}
        rows[name] = {"data_wait": None, **largest}
    return rows


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    rows = []
    for name in ("memory", ".npy", "store"):
        row = found[name]
        wait = "" if row["data_wait"] is None else f"{100 * row['data_wait']:.1f} %"
        speeds = [short(row["fetched_per_second"]), short(row["trained_per_second"])]
        held = [f"{row[key] / 2**20:,.0f} MB" for key in ("anonymous_of_batches", "anonymous")]
        rows.append([name, f"{row['images']:,}", *speeds, wait, *held])
    heading = ["images from", "images to train on", "fetched/s", "trained/s", "waiting", "anonymous memory: batches"]
    decoded = [
        [name, f"{row['images']:,}", short(row["images"] / row["seconds"]), f"{row['anonymous'] / 2**20:,.0f} MB"]
        for name, row in ((name, found[name]) for name in ("decoded into memory", "decoded into a store"))
    ]
    return f"""# Images that outgrow the memory

`python benchmarks/store.py --images {found["images"]} --resident {found["resident"]}`, on {in_words(found["machine"])}.

{found["images"]:,} made images of 64x64 RGB, {found["bytes"] / 1e9:.1f} GB, as one .npy;
`fromnoise data import` copied them into a store in {found["import_seconds"]:,.0f} s. The rows of `.npy` and `store`
train on all of them but those held out, that of `memory` on {found["resident"]:,}; "fetched" is random batches of 128
alone, "trained" the smallest U-Net, each the fastest of {found["rounds"]} turns. Anonymous memory is what the process
holds beyond its libraries; the cache of the system, which gives way to other uses, is not in it.

{table([*heading, "and training"], rows)}

PNGs of 64x64 in a .zip:

{table(["", "images", "images/s", "anonymous memory"], decoded)}
"""


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--resident", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each row, of which the fastest is kept")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the images are made; a temporary one if not given"
    )
    parser.add_argument("--to", type=Path, default=RESULTS / "store")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        name, data, word = args.task
        print(json.dumps(load_once(data, word) if name == "load" else train(data, int(word))))
        return
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        found = {
            "machine": machine(),
            **measure(args.images, args.resident, args.pictures, args.steps, args.rounds, folder),
        }
    finally:
        shutil.rmtree(folder)
    keep(args.to, found, page(found))


if __name__ == "__main__":
    main()
