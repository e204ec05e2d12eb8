"""Run by verification.py in a process of its own: call app.py's `generate` for given noise, and build its page.

    python check_space.py FOLDER GIVEN.npz MADE.npy

Nothing of fromnoise is imported, so that the folder proves that it stands alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import numpy as np
import torch


def main(folder: str, given_file: str, made_file: str) -> None:
    """Write the images, black 0 and white 1, that the app in `folder` makes of the noise in `given_file`."""
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    app: Any = importlib.import_module("app")
    given, pipe = np.load(given_file), app.load()
    made = []
    for i in range(len(given["noise"])):
        _draw(pipe, iter(torch.from_numpy(np.concatenate([given["noise"][None], given["fresh"]])[:, i : i + 1])))
        label = app.ABOUT["classes"][given["labels"][i]] if "labels" in given else app.ANY
        image = np.asarray(app.generate(pipe, label, scale=app.ABOUT["guidance_scale"])[0])
        made.append(image.reshape(*image.shape[:2], -1).transpose(2, 0, 1) / 255)
    if importlib.util.find_spec("gradio"):
        app.build(pipe)
    assert not any(name.startswith("fromnoise") for name in sys.modules)
    np.save(made_file, np.stack(made).astype(np.float32))


def _draw(pipe: Any, draws: Any) -> None:
    """Put the given noise where the pipeline draws its own."""
    if hasattr(pipe, "_noise"):
        type(pipe)._noise = lambda *_: next(draws)
    for module in {sys.modules[type(part).__module__] for part in (pipe, pipe.scheduler)}:
        if hasattr(module, "randn_tensor"):
            setattr(module, "randn_tensor", lambda *_, **__: next(draws))  # noqa: B010 (typed as a module)


if __name__ == "__main__":
    main(*sys.argv[1:])
