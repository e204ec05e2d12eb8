"""Makes a virtual environment and installs into it what the tests ran with; standard library only.

    python scripts/setup_venv.py .venv -e ".[dev]"

What follows the folder's name goes to `pip install` as it is. On Linux without an NVIDIA driver torch's CPU build
is taken where PyTorch's CPU index answers at once; elsewhere, and without an answer, pip decides.
FROMNOISE_TORCH_INDEX=URL names another index (ROCm, say), FROMNOISE_TORCH_INDEX=none asks for none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 3.0
NVIDIA_SIGNS = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1")


def answers(url: str, seconds: float = PATIENCE) -> bool:
    """Whether `url` can be read within `seconds`; in a thread, because looking up a name knows no time limit."""
    read: list[bool] = []

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=seconds) as reply:
            read.append(bool(reply.read(64)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(read)


def has_nvidia_driver() -> bool:
    """Whether this Linux machine can run torch's CUDA build."""
    return shutil.which("nvidia-smi") is not None or any(Path(sign).exists() for sign in NVIDIA_SIGNS)


def torch_index() -> tuple[str | None, str]:
    """(an extra index for pip or None, why)."""
    chosen = os.environ.get("FROMNOISE_TORCH_INDEX", "")
    if chosen:
        return (None, "no extra index, as chosen") if chosen == "none" else (chosen, f"{chosen}, as chosen")
    if not sys.platform.startswith("linux"):
        return None, "pip's usual build, right for this system"
    if has_nvidia_driver():
        return None, "pip's usual build, since there is an NVIDIA driver"
    if answers(f"{CPU_INDEX}/torch/"):
        return CPU_INDEX, "the CPU build, since there is no NVIDIA driver"
    return None, f"what pip finds, since {CPU_INDEX} did not answer"


def python_of(folder: Path) -> Path:
    """The interpreter inside the environment `folder`."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_sound(folder: Path) -> bool:
    """Whether `folder` holds an environment that runs, has pip and is new enough."""
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python_of(folder), "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def make(folder: Path) -> None:
    """Creates the environment, or replaces one that no longer runs."""
    if is_sound(folder):
        return
    if folder.exists() and not (folder / "pyvenv.cfg").exists() and any(folder.iterdir()):
        sys.exit(f"{folder} exists and is not a virtual environment; remove it or name another folder.")
    print(f"Creating {folder} with Python {sys.version.split()[0]}", flush=True)
    venv.EnvBuilder(clear=folder.exists(), with_pip=True, symlinks=os.name != "nt").create(folder)


def install(folder: Path, wanted: list[str]) -> int:
    """Runs pip; its exit status."""
    index, why = torch_index()
    print(f"Installing {' '.join(wanted)}; torch: {why}. A first time takes minutes.", flush=True)
    command = [str(python_of(folder)), "-m", "pip", "install", "-c", str(CHECKOUT / "constraints.txt")]
    command += ["--disable-pip-version-check", "--no-input"]
    command += [] if sys.stdout.isatty() else ["--quiet"]
    command += ["--extra-index-url", index] if index else []
    return subprocess.run([*command, *wanted]).returncode


def main() -> int:
    """The exit status: 0 when the environment stands."""
    if sys.version_info < (3, 11):  # noqa: UP036  (what runs this may be any Python)
        sys.exit(f"fromnoise needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    if len(sys.argv) < 3:
        sys.exit('Usage: python scripts/setup_venv.py FOLDER REQUIREMENT..., such as .venv -e ".[dev]"')
    folder = Path(sys.argv[1])
    make(folder)
    status = install(folder, sys.argv[2:])
    if status:
        print("pip failed; its last lines say why. Once that is fixed, run the same command again.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
