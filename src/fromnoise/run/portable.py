"""A run that is taken elsewhere: exported for others, packed into one file, and reported to trackers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from fromnoise.common.errors import UsageError
from fromnoise.common.outputs import UNROLLED
from fromnoise.run.opened import OpenedRun
from fromnoise.settings import SampleSettings

if TYPE_CHECKING:
    from fromnoise.export.int8 import Int8
    from fromnoise.run.export import Exported


class PortableRun(OpenedRun):
    """See `OpenedRun`."""

    def export(
        self,
        kind: str,
        path: str | Path,
        *,
        licence: str = "other",
        whole_sampler: bool = False,
        half: bool = False,
        int8: Int8 | None = None,
        num: int = 500,
        runtime: str | Path | None = None,
        private: bool = False,
        checkpoint: str = "last",
        weights: str = "ema",
        **settings: Unpack[SampleSettings],
    ) -> Exported:
        """Write the model for others to load, compared with what it was: see `fromnoise.run.export`.

            run.export("onnx", "digits.onnx", whole_sampler=True, steps=5)

        Arguments:
            kind: "diffusers", a folder; "onnx", a .onnx file; "torch", a .pt2 file of torch.export; "html", one .html
                file that samples in a browser; "space", a folder for a Space of the Hub; "hub", the folder for
                diffusers uploaded, with OWNER/NAME as path.
            path: what to write; a folder that is there is replaced only if it is an export.
            licence: for the model card, such as "apache-2.0".
            whole_sampler: of onnx and torch: all of sampling with its settings, instead of the denoiser alone.
            half: of onnx: in float16.
            int8: of onnx: in 8 bits, "dynamic" or "static", with what it changes in `num` samples.
            runtime: of html: where onnxruntime-web is; downloaded once if not given.
            private: of hub: seen by its owner alone.
            checkpoint: as for `model`, like `weights` and `settings`.

        Raises:
            UsageError: for what does not go together, a missing library, and for what the format cannot hold.
            CheckpointError: where the export does not make the model's images; nothing is written then.
            WriteError: where the path cannot be written, or the Hub refuses.
        """
        from fromnoise.common.errors import choose
        from fromnoise.run.export import EXPORTS, ExportRequest

        write = choose("export format", kind, EXPORTS)
        if int8 is not None:
            _check_int8(int8, num)
        own = {"half": half, "int8": int8, "whole_sampler": whole_sampler, "runtime": runtime, "private": private}
        _check_together(kind, [name for name, value in own.items() if value], list(settings))
        model = self.model(checkpoint, weights, **settings)
        place = None if runtime is None else Path(runtime)
        return write(ExportRequest(self, model, Path(path), licence, whole_sampler, half, int8, num, place, private))

    def pack(self, path: str | Path | None = None, *, resumable: bool = False) -> Path:
        """Write the run as one .zip for somebody who has fromnoise; returns its path: see `fromnoise.run.bundle`."""
        from fromnoise.run.bundle import pack_run

        return pack_run(self, path, resumable=resumable)

    @classmethod
    def unpack(cls, file: str | Path, output_dir: str | Path | None = None, *, device: str = "auto") -> Self:
        """Open the run that `pack` wrote to `file`, unpacked into `output_dir`: see `fromnoise.run.bundle`."""
        from fromnoise.run.bundle import unpack_run

        return cls(unpack_run(file, output_dir), device=device)

    def report_to(self, name: str) -> str:
        """Report the run to "tensorboard", "wandb" or "trackio"; returns where to look.

        Raises UsageError where it is not installed, and WriteError where it fails: see `fromnoise.run.tracking`.
        """
        from fromnoise.run.tracking import report_run

        return report_run(self.folder, self.settings, name)


_FOR = {"half": ("onnx",), "int8": ("onnx",), "whole_sampler": UNROLLED, "runtime": ("html",), "private": ("hub",)}


def _check_together(kind: str, given: list[str], settings: list[str]) -> None:
    """UsageError for arguments of another format, and for those that do not go together."""
    for name in given:
        if kind not in _FOR[name]:
            raise UsageError(f"{name} was given with {kind}, but it is for {' and '.join(_FOR[name])}; leave it out")
    if "half" in given and "int8" in given:
        raise UsageError("half and int8 were given, but a file has one of them; leave one out")
    if kind in UNROLLED and settings and not {"whole_sampler", "int8"} & set(given):
        raise UsageError(
            f"{', '.join(settings)} with {kind} alone, which holds one evaluation of the denoiser and no sampling; "
            "give whole_sampler=True, or leave it out"
        )


def _check_int8(kind: str, num: int) -> None:
    """UsageError for another kind of 8 bits than there are, and for too few samples to compare."""
    from fromnoise.common.errors import choose
    from fromnoise.evaluation.limits import check_num
    from fromnoise.export.int8 import KINDS

    choose("kind of int8", kind, dict.fromkeys(KINDS))
    check_num(num)
