"""Models on the Hugging Face Hub, through its own client: what is downloaded is data, what is uploaded is an export."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.common.extras import extra
from fromnoise.common.text import first_line, printable
from fromnoise.data.download import offline
from fromnoise.run.diffusers_source import MARK
from fromnoise.run.weights_files import PATTERNS, STEM

T = TypeVar("T")
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_CONFIGS = ["model_index.json", MARK, "unet/config.json", "config.json"]
_CONFIGS += ["scheduler/scheduler_config.json", "scheduler_config.json"]
_EMPTY = {".gitattributes", "README.md"}  # what a new model on the Hub holds


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form OWNER/NAME."""
    return _ID.fullmatch(name) is not None


def downloaded(name: str) -> Path:
    """The folder of the Hub's model `name` in the client's cache: configs and one set of weights, and no code.

    Raises DataError where it cannot be had.
    """
    hub = _library("a model of the Hub")
    try:
        for patterns in PATTERNS:
            wanted = [*_CONFIGS, *(f"{place}{one}" for place in ("unet/", "") for one in patterns)]
            folder = Path(hub.snapshot_download(name, allow_patterns=wanted, local_files_only=offline()))
            if any(folder.glob(f"{STEM}*")) or any(folder.glob(f"unet/{STEM}*")):
                break
        return folder
    except Exception as error:  # the library raises a great many types, all of them about this model
        why = "FROMNOISE_OFFLINE is set, and no copy is here" if offline() else first_line(error)[:200]
        raise DataError(
            f"{printable(name)} cannot be fetched from the Hub: {why}; check its name and the network"
        ) from error


def check_hub(name: str, private: bool) -> None:
    """Refuse what `upload` is bound to fail at, before any work.

    Raises:
        UsageError: for a bad name, no token, and a model there that is not an export of ours, or is public.
        WriteError: where the Hub cannot be reached or refuses.
    """
    if not is_hub_id(name):
        raise UsageError(f"'{printable(name)}' names no model of the Hub; write OWNER/NAME")
    hub = _library("export to the Hub")
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if offline() or HF_HUB_OFFLINE:
        variable = "FROMNOISE_OFFLINE" if offline() else "HF_HUB_OFFLINE"
        raise UsageError(f"{variable} is set, so nothing is uploaded; unset it, or export --to diffusers")
    if not hub.get_token():
        raise UsageError("there is no token for the Hub; log in with `hf auth login`, or set HF_TOKEN")
    there = _ask(name, lambda: _model_there(hub, name))
    if there is None:
        return
    files = {one.rfilename for one in there.siblings or ()}
    if files - _EMPTY and MARK not in files:
        raise UsageError(f"{name} is there on the Hub and is not an export of fromnoise; give another name")
    if private and not there.private:
        raise UsageError(f"{name} is there on the Hub and is public; make it private there, or leave --private out")


def upload(folder: Path, name: str, private: bool) -> str:
    """Make the files in `folder` those of the model `name`, in one commit; returns its address. Raises WriteError."""
    hub = _library("export to the Hub")
    api = hub.HfApi()

    def send() -> str:
        address = str(api.create_repo(name, private=private, exist_ok=True))
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload with fromnoise", delete_patterns="*")
        return address

    return _ask(name, send)


def _model_there(hub: Any, name: str) -> Any:
    """What the Hub says of the model; None where there is none yet."""
    try:
        return hub.HfApi().model_info(name)
    except hub.errors.RepositoryNotFoundError as error:
        if error.response.status_code == 401 and "Invalid" in str(error):
            raise
        return None


def _ask(name: str, question: Callable[[], T]) -> T:
    """What the Hub answers; one sentence where it refuses or cannot be reached."""
    try:
        return question()
    except Exception as error:  # of the library, of its HTTP client, and of the network: all about this upload
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == 401:
            raise UsageError(
                f"the Hub does not accept the token for {name}; log in with `hf auth login`, or set HF_TOKEN"
            ) from error
        if status == 403:
            raise WriteError(
                f"the Hub does not let you write {name}; give a name of yours, and a token that may write"
            ) from error
        home = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        raise WriteError(f"cannot upload {name} to {home} ({first_line(error)[:200]}); try again later") from error


def _library(purpose: str) -> Any:
    with extra("diffusers", purpose):
        import huggingface_hub
        import huggingface_hub.errors
    return huggingface_hub
