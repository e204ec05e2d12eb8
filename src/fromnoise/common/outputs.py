"""What a name that output goes to asks for: a file of one of the kinds that can be written, or a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fromnoise.common.errors import UsageError, WriteError

SAMPLE_KINDS = (".png", ".gif", ".npz")
FILM_KINDS = (".png", ".gif", ".npz")  # not a folder
EDIT_KINDS = (".png", ".gif")
UNROLLED = ("onnx", "torch")  # exports which hold the denoiser, or on request all of sampling
_ALSO_FILES = (".mp4", ".m4v", ".3gp", ".jp2", ".h5", ".bz2", ".7z")  # whose endings are not of letters alone


def output_kind(path: str | os.PathLike[str], kinds: Sequence[str], what: str) -> str:
    """The one of `kinds`, such as ".png", that `path` ends in, whatever its case, or "" for a folder.

    A name is that of a folder where it ends in "/", has no ending, or has one that is not of letters: cfg1.5.

    Arguments:
        what: is written, for the message.

    Raises:
        UsageError: for the ending of another kind of file.
        WriteError: for a folder where a file has that name.
    """
    text = os.fspath(path)
    folder = text.endswith(("/", os.sep))
    suffix = Path(text).suffix.lower()
    if not folder and suffix in kinds:
        return suffix
    # os.path answers False for names that no file can have, where Path raises.
    is_ending = suffix[1:].isalpha() or suffix in _ALSO_FILES
    if not folder and is_ending and not os.path.isdir(text):  # noqa: PTH112
        raise UsageError(
            f"cannot write {what} as '{Path(text).suffix}'; give a {', '.join(kinds)} or a folder's name, which may "
            "have such an ending with / behind it"
        )
    if os.path.isfile(Path(text)):  # noqa: PTH113
        raise WriteError(f"{text} is a file; give the name of a folder, or a {', '.join(kinds[:-1])} or {kinds[-1]}")
    return ""
