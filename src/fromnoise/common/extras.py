"""Libraries that only some of the work needs: the extras of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fromnoise.common.errors import UsageError

# Extra -> what pip installs for it. The package itself is not on an index, so "fromnoise[fid]" would not be ours there.
PACKAGES = {
    "diffusers": "diffusers",
    "hub": "datasets",
    "fid": "torch-fidelity",
    "dino": "transformers",
    "heif": "pillow-heif",
    "onnx": "onnx onnxscript onnxruntime",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "studio": "starlette uvicorn",
}


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """What is imported inside comes with the extra `name`, and `purpose` needs it.

    Raises:
        UsageError: a library is missing or cannot be imported; it names the line that installs it.
    """
    try:
        yield
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        state = "is not installed" if missing else f"cannot be imported ({error})"
        raise UsageError(
            f"{purpose} needs {error.name or name}, which {state}; run pip install {PACKAGES[name]} "
            f"(the extra [{name}])"
        ) from error
