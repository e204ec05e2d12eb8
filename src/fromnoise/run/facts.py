"""What a run is and what its training decided, as rows of (what, value) for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fromnoise.common.durations import format_duration
from fromnoise.common.text import count
from fromnoise.recipes.model_sizes import MIRRORED_FROM
from fromnoise.recipes.recipes import size_of
from fromnoise.run.checkpoints import newest_state
from fromnoise.run.disk_use import disk_use_of
from fromnoise.run.metadata import context_of
from fromnoise.settings import ObjectiveOptions, ProcessOptions, SampleOptions, TrainOptions, guidance_words
from fromnoise.train.distributed import current
from fromnoise.train.hardware import choose_channels_last, choose_compile, choose_graph

if TYPE_CHECKING:
    from fromnoise.run.opened import OpenedRun

Facts = list[tuple[str, str]]


def facts(run: OpenedRun, sampling: SampleOptions | None = None) -> Facts:
    """The rows of a report: data, network, process, how far training went, hardware and sampling.

    sampling: other than the run's own, as an export has it.
    """
    objective, distilled = run.settings.objective, run.metadata.get("distilled")
    return [
        *_model(run),
        ("network predicts", objective.prediction),
        ("training times", _distilled_times(run) if distilled else _times(objective)),
        *_progress(run),
        *_trained_on(run),
        ("sampling", _sampling(run, sampling)),
    ]


def decisions(run: OpenedRun) -> Facts:
    """The rows to print when training begins: data, network, process, hardware and disk, choices with their reasons."""
    use = disk_use_of(run.folder, run.settings.train, run.metadata)
    return [
        *_model(run),
        *_hardware(run),
        ("sampling", _sampling(run)),
        *([("disk", str(use))] if use else []),
    ]


def _model(run: OpenedRun) -> Facts:
    data, net = run.metadata["data"], run.settings.net
    parameters = run.metadata.get("parameters") or sum(p.numel() for p in run.new_denoiser().net.parameters())
    return [
        ("images", f"{data['count']:,}, {data['about']}" if data["count"] else f"not at hand; {data['about']}"),
        *_mirrored(run),
        ("network", f"{net.kind}, {parameters:,} parameters"),
        *_size(run),
        ("process", _process(run.settings.process)),
    ]


def _mirrored(run: OpenedRun) -> Iterator[tuple[str, str]]:
    """Whether images are mirrored, and why, where the recipe has chosen it."""
    if not run.settings.data.random_flip or run.metadata.get("distilled"):
        return
    size = size_of(run.settings.recipe, context_of(run.metadata))
    requested = "random_flip" in (run.folder.read_request() or {}).get("data", {})
    why = f": photographs seen more than {MIRRORED_FROM} times each, whose mirror images are as near to the others"
    yield "mirrored", f"half of the time{why if size is not None and size.mirrored and not requested else ''}"


def _size(run: OpenedRun) -> Iterator[tuple[str, str]]:
    """The model size that the recipe chose and its reason, unless the network's width was set to another."""
    size, train = size_of(run.settings.recipe, context_of(run.metadata)), run.settings.train
    if size is not None and size.width == run.settings.net.width:
        yield "model size", f"{size.name}: {size.width} channels, batch size {train.train_batch_size} ({size.reason})"


def _process(options: ProcessOptions) -> str:
    if options.kind == "linear":
        return f"linear interpolation to {options.prior} noise, images in [{options.low:g}, 1]"
    if options.kind in ("vp", "vp_continuous"):
        steps = f"{options.steps} steps" if options.kind == "vp" else "continuous"
        end = ", zero terminal SNR" if options.zero_terminal_snr else ""
        return f"variance preserving, {options.betas} betas, {steps}{end}"
    return "variance exploding"


def _progress(run: OpenedRun) -> Iterator[tuple[str, str]]:
    newest = run.newest_checkpoint()
    seen = int(newest.name) if newest else 0
    there = run.metadata["data"]["count"]
    if origin := run.metadata.get("imported"):
        yield "imported from", origin["from"]
    if made := run.metadata.get("distilled"):
        yield "distilled from", _distilled(run, made)
        yield "points of trajectories seen", f"{seen:,}"
    elif seen or not origin:
        yield "images seen", f"{seen:,} ({seen / there:.1f} epochs)" if there else f"{seen:,}"
    steps = [line for line in run.folder.read_metrics() if "step" in line]
    if steps:
        speed = sorted(line["images_per_second"] for line in steps)[len(steps) // 2]
        yield "training time", f"{format_duration(steps[-1]['seconds'])}, {speed:,.0f} images/s"
        yield "last training loss", f"{steps[-1]['loss']:.5f}"
    if damaged := run.folder.damaged_metrics():
        yield "damaged log lines", f"{damaged:,} of metrics.jsonl, left out"


def _distilled(run: OpenedRun, made: Mapping[str, Any]) -> str:
    """The run that it came from, and the trajectories of it that were learned."""
    options = SampleOptions(**made["sampling"])
    lines = reversed(run.folder.read_metrics())
    event = next((line for line in lines if line.get("event") == "trajectories"), None)
    count = f"{event['count']:,} trajectories" if event else "trajectories"
    return f"{made['from']} after {made['images']:,} images ({made['weights']} weights): {count} by {_words(options)}"


def _distilled_times(run: OpenedRun) -> str:
    began = newest_state(run.folder).get("more", {}).get("matching_from")
    return "half of them at pure noise" + (f"; after {began:,} most, where samples are matched" if began else "")


def _trained_on(run: OpenedRun) -> Iterator[tuple[str, str]]:
    """The hardware, where it is of the kind that the training began on; else that kind alone, as far as it is known."""
    begun = run.metadata.get("context", {}).get("device")
    if begun == run.device.partition(":")[0]:
        yield from _hardware(run)
    elif begun:
        yield "device", begun


def _hardware(run: OpenedRun) -> Iterator[tuple[str, str]]:
    """Device, precision, memory format and how kernels are launched, where the device leaves a choice."""
    train = run.settings.train
    if (world := current().world) > 1:
        yield "processes", about_processes(train, world)
    yield "device", f"{run.device} ({run.chosen_device.reason})"
    yield "precision", f"{run.precision.dtype_name} ({run.precision.reason})"
    layout = choose_channels_last(run.settings.net.kind, run.device, train.memory_format)
    yield "memory format", f"channels {'last' if layout.on else 'first'} ({layout.reason})"
    if run.device.startswith("cuda"):
        yield "CUDA graph", str(choose_graph(run.device, train.cuda_graph))
    if run.device.startswith("cuda") or train.compile != "auto":
        yield "torch.compile", str(choose_compile(run.device, train.compile))


def about_processes(options: TrainOptions, world: int) -> str:
    """Such as "2 processes, 32 images a step each"."""
    least, most = options.train_batch_size // world, -(-options.train_batch_size // world)
    images = f"{most:,}" if least == most else f"{least:,} or {most:,}"
    parts = options.gradient_accumulation_steps
    return f"{world} processes, {images} images a step each" + (f", in {parts} micro-batches" if parts > 1 else "")


def _sampling(run: OpenedRun, other: SampleOptions | None = None) -> str:
    built_in, own = ", guidance built in" if run.metadata.get("distilled") else "", run.settings.sample
    if other not in (None, own):
        return _words(other) + built_in
    return _words(own) + built_in + _kind_of_images(run)


def _kind_of_images(run: OpenedRun) -> str:
    """What the default recipe took the images for, by which it samples, and why; empty where it does not decide."""
    context = run.metadata.get("context", {})
    decided = size_of(run.settings.recipe, context_of(run.metadata)) is not None and "flat_share" in context
    if not decided or run.metadata.get("distilled"):
        return ""
    went_by = context_of(run.metadata)
    kind = "drawings" if went_by.drawings else "photographs"
    less = ""
    if not went_by.drawings and went_by.share_of_guidance < 1:
        less = f"; less guidance, as nearest images agree on the class: {went_by.class_agreement:.2f}, 1 if always"
    return f" ({kind}: {context['flat_share']:.0%} of the values are exactly black or white{less})"


def _times(objective: ObjectiveOptions) -> str:
    shift = objective.time_shift
    return objective.time_sampling if shift == 1 else f"{objective.time_sampling}, noise levels times {shift:g}"


def _words(sample: SampleOptions) -> str:
    guidance = guidance_words(sample.guidance_scale, sample.guidance_interval)
    noise = [f"{name} {value:g}" for name in ("eta", "churn") if (value := getattr(sample, name))]
    steps = count(sample.grid.count(",") or sample.steps, "step")  # a written grid has its own number
    return ", ".join(filter(None, [sample.sampler, *noise, steps, f"{sample.grid} grid", guidance]))
