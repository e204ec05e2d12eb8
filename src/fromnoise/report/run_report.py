"""report.html: one self-contained page that tells what was trained and shows it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fromnoise.common.durations import format_duration
from fromnoise.evaluation.report import evaluation_sections
from fromnoise.recipes.recipes import size_of
from fromnoise.report.diagnosis_sections import diagnosis_sections
from fromnoise.report.html import Section, page, write_page
from fromnoise.run.metadata import context_of
from fromnoise.settings import guidance_words
from fromnoise.train.hardware import choose_channels_last, choose_compile, choose_graph

if TYPE_CHECKING:
    from fromnoise.run import Run

_WORDS = {
    "loss": (
        "Loss",
        "The training loss against images seen: each line of `metrics.jsonl` faint, their running mean on top. It "
        "averages over all noise levels, so it flattens long before the pictures stop getting better.",
    ),
    "loss-by-noise": (
        "Loss by noise level",
        "The loss on images that training does not see, always with the same noise, in eight parts of the times. Where "
        "it stops falling, the network has learned what can be known at that noise.",
    ),
    "progress": (
        "While training",
        "Quick evaluations on the way: fewer pictures than an evaluation, so higher values.",
    ),
    "corruption": ("Corruption", "Training images, and the same images with noise growing from none to all of it."),
    "guesses": (
        "One-step guesses",
        "What the network says the clean image is, asked once. At little noise it should see through it; at pure "
        "noise all it can know is the average picture (of the class, where it is told one).",
    ),
    "trajectory": (
        "From noise to image",
        "Sampling asks many times. Each pair of rows follows one seed: the picture as it stands, and below it the "
        "guess at the clean image that the next step moves towards.",
    ),
    "samples": ("Samples", "Made from seeds 0 to 63, none of them chosen."),
    "nearest": (
        "Nearest training images",
        "Each sample above the training image nearest to it in pixels. Twins would mean copying; relatives are good.",
    ),
}
FIGURES = ("samples", "loss", "loss-by-noise", "progress", "corruption", "guesses", "trajectory", "nearest")


def report(run: Run) -> Path:
    """Write report.html from what lies in the run folder: figures, evaluation, diagnosis; each verb adds its part."""
    shown = run.folder.read_json(run.folder.figures / "show.json") or {"missing": "", "verdict": ""}
    rows = facts(run)
    if shown["verdict"]:
        rows.append(("taken for their class", shown["verdict"]))
    sections = [Section("What was trained", table=rows, text="\n\n".join(run.metadata["data"]["notes"]))]
    for name in FIGURES:
        picture = run.folder.figures / f"{name}.png"
        if picture.is_file():
            title, text = _WORDS[name]
            sections.append(Section(title, text=text, image=picture.read_bytes()))
    if shown["missing"]:
        sections.append(Section("What is missing", text=shown["missing"]))
    sections += evaluation_sections(run.folder)
    noise_levels = run.folder.figures / "noise-levels.png"
    sections += diagnosis_sections(
        run.folder.read_json(run.folder.diagnosis), noise_levels.read_bytes() if noise_levels.is_file() else None
    )
    sections.append(Section("How to go on", text=_GO_ON, code=_commands(run)))
    lead = f"The `{run.settings.recipe}` recipe on {run.metadata['data']['name']}, {run.metadata['data']['about']}."
    versions = ", ".join(f"{name} {version}" for name, version in run.metadata["versions"].items())
    return write_page(run.folder.report, page(run.path.name, lead, sections, f"Made by {versions}."))


_GO_ON = "A run folder is all that these commands need. The command that began the run goes on where it stopped."


def _commands(run: Run) -> str:
    path = shlex.quote(str(run.path))
    lines = [
        f"fromnoise sample {path} --num 64 --out samples.png",
        f"fromnoise sample {path} --seeds 0-15 --out film.gif",
    ]
    if run.spec.classes:
        last = run.spec.classes[-1]
        lines.append(f"fromnoise sample {path} --label {shlex.quote(last)} --out one-class.png")
    lines.append(f"fromnoise sample {path} --num 10000 --out samples.npz")
    return "\n".join(lines)


def facts(run: Run) -> list[tuple[str, str]]:
    """(what, value) rows about a run, the first a heading."""
    config, lines = run.settings, run.folder.read_metrics()
    newest = run.newest_checkpoint()
    seen = int(newest.name) if newest else 0
    steps = [line for line in lines if "step" in line]
    parameters = run.metadata.get("parameters") or sum(p.numel() for p in run.new_denoiser().net.parameters())
    epochs = seen / run.metadata["data"]["count"]
    rows = [
        ("", "value"),
        ("images", f"{run.metadata['data']['count']:,}, {run.metadata['data']['about']}"),
        ("network", f"{config.net.kind}, {parameters:,} parameters"),
        *_size(run),
        ("process", _process(run)),
        ("the network says", f"{config.objective.prediction}; times {config.objective.time_sampling}"),
        ("images seen", f"{seen:,} ({epochs:.1f} epochs)"),
    ]
    if steps:
        speed = sorted(line["images_per_second"] for line in steps)[len(steps) // 2]
        rows.append(("training time", f"{format_duration(steps[-1]['seconds'])}, {speed:,.0f} images/s"))
        rows.append(("last loss", f"{steps[-1]['loss']:.5f}"))
    rows.append(("device", f"{run.device} ({run.chosen_device.reason})"))
    rows.append(("precision", f"{run.precision.dtype_name} ({run.precision.reason})"))
    rows += _launching(run)
    sample = config.sample
    said = [f"{sample.sampler}, {sample.steps} steps, {sample.grid} grid"]
    said.append(guidance_words(sample.guidance_scale, sample.guidance_interval))
    rows.append(("samples below", ", ".join(filter(None, said))))
    return rows


def _size(run: Run) -> list[tuple[str, str]]:
    """Which size the recipe chose and why, unless the network's width was set to another."""
    size, train = size_of(run.settings.recipe, context_of(run.metadata)), run.settings.train
    if size is None or size.width != run.settings.net.width:
        return []
    return [("size", f"{size.name}, {size.width} channels and {train.train_batch_size} images a step ({size.reason})")]


def _launching(run: Run) -> list[tuple[str, str]]:
    """How memory is laid out and kernels are launched; of the latter, what there is a choice of on the device."""
    train = run.settings.train
    layout = choose_channels_last(run.settings.net.kind, run.device, train.memory_format)
    rows = [("memory format", f"channels {'last' if layout.on else 'first'} ({layout.reason})")]
    if run.device.startswith("cuda"):
        rows.append(("CUDA graph", str(choose_graph(run.device, train.cuda_graph))))
    if run.device.startswith("cuda") or train.compile != "auto":
        rows.append(("torch.compile", str(choose_compile(run.device, train.compile))))
    return rows


def _process(run: Run) -> str:
    options = run.settings.process
    if options.kind == "linear":
        return f"linear mix with {options.prior} noise, images in [{options.low:g}, 1]"
    if options.kind in ("vp", "vp_continuous"):
        how = f"{options.steps} steps" if options.kind == "vp" else "continuous"
        end = ", ending in pure noise" if options.zero_terminal_snr else ""
        return f"variance preserving, {options.betas} betas, {how}{end}"
    return "variance exploding"
