"""onnxruntime-web, the library that evaluates networks in a browser: downloaded once, or given by its path."""

from __future__ import annotations

import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from fromnoise.common.errors import UsageError
from fromnoise.data.download import obtain_files
from fromnoise.data.registry import RemoteFile

VERSION = "1.30.0"
OLDEST = (1, 24)  # older ones load a second script, which a page opened from the disk may not
SCRIPT, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_FILES = (
    RemoteFile(SCRIPT, 73_054, "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90", SCRIPT),
    RemoteFile(BINARY, 14_239_897, "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2", BINARY),
)
_MIRRORS = (
    f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/",
    f"https://unpkg.com/onnxruntime-web@{VERSION}/dist/",
)


@dataclass(frozen=True)
class Runtime:
    """script: the JavaScript module. binary: the WebAssembly that it runs."""

    script: bytes
    binary: bytes


def web_runtime(path: Path | None = None) -> Runtime:
    """onnxruntime-web from `path` (the npm package as .tgz or unpacked, or its dist folder), else downloaded once.

    Raises:
        UsageError: where `path` holds no onnxruntime-web with plain WebAssembly.
        DataError: where it has to be downloaded and cannot be.
    """
    if path is None:
        instead = f"give --runtime with the npm package onnxruntime-web {VERSION}"
        files = obtain_files(f"onnxruntime-web-{VERSION}", _FILES, _MIRRORS, instead)
        return Runtime(files[SCRIPT].read_bytes(), files[BINARY].read_bytes())
    found = _from_archive(path) if path.is_file() else _from_folder(path)
    if found is None:
        raise UsageError(
            f"--runtime {path} holds no {SCRIPT} and {BINARY}; give the npm package onnxruntime-web {VERSION}, as .tgz "
            "or unpacked, or its dist folder"
        )
    version = re.match(rb"/\*!\s*\* ONNX Runtime Web v(\d+)\.(\d+)", found.script)
    if version and tuple(map(int, version.groups())) < OLDEST:
        given, oldest = (".".join(map(str, map(int, one))) for one in (version.groups(), OLDEST))
        raise UsageError(f"--runtime {path} is onnxruntime-web {given}, but {oldest} or newer is needed; use {VERSION}")
    return found


def _from_folder(path: Path) -> Runtime | None:
    for folder in (path, path / "dist", path / "package" / "dist"):
        if (folder / SCRIPT).is_file() and (folder / BINARY).is_file():
            return Runtime((folder / SCRIPT).read_bytes(), (folder / BINARY).read_bytes())
    return None


def _from_archive(path: Path) -> Runtime | None:
    try:
        with tarfile.open(path) as archive:
            parts = [archive.extractfile(f"package/dist/{name}") for name in (SCRIPT, BINARY)]
            script, binary = (part.read() if part else b"" for part in parts)
    except (EOFError, KeyError, OSError, tarfile.TarError, zlib.error):
        return None
    return Runtime(script, binary) if script and binary else None
