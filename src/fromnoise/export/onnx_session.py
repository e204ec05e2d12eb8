"""ONNX files on the CPU, through onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def session_of(content: bytes, threads: int | None = None) -> Any:
    """A session of the ONNX file, on as many threads as torch's if not given."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads or torch.get_num_threads(), 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, inputs: Mapping[str, Any]) -> Any:
    """The first output for `inputs`."""
    return session.run(None, {name: np.asarray(value) for name, value in inputs.items()})[0]


def run_onnx(content: bytes, inputs: Mapping[str, Any]) -> Any:
    """The first output of the ONNX file for `inputs`, on one thread."""
    return run_session(session_of(content, 1), inputs)
