"""A folder that diffusers loads, read as data: settings, images' shape and weights, and nothing of it is executed.

Read are folders of a stock DDPMPipeline or DDIMPipeline with a UNet2DModel, and all that `export --to diffusers`
writes: its fromnoise-export.json holds the settings that diffusers has no place for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.extras import extra
from fromnoise.common.files import read_regular
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import from_dict, replaced, to_dict
from fromnoise.common.stored_json import MOST_BYTES, parse_object
from fromnoise.common.text import printable, some
from fromnoise.export.stock_reading import CHOICES, PIPELINES, SCHEDULERS, read_scheduler, with_defaults, with_sampler
from fromnoise.model.build import build_denoiser, net_options
from fromnoise.run.record import check_distilled, check_spec
from fromnoise.run.weights_files import WeightsFile, read_weights, weights_file
from fromnoise.settings import DataOptions, Settings, TrainOptions

CLASS_TABLE = "unet.class_embedding.weight"
_MOST_CLASSES = 100_000
MARK = "fromnoise-export.json"  # a folder that holds it is an export of ours, and may be replaced by another
_OWN_CODE = {"unet": ["network", "Network"], "scheduler": ["sampler", "TabulatedSampler"]}
_SECTIONS = ("net", "process", "objective", "sample")
_FROM_IMAGES = (
    "sample_size",
    "in_channels",
    "out_channels",
    "block_out_channels",
    "num_class_embeds",
    "class_embed_type",
)


@dataclass(frozen=True)
class DiffusersSource:
    """What a folder holds.

    Attributes:
        name: of the model, for people.
        settings: as they would train and sample it.
        spec: its images, in the network's range.
        sigma_data: of its images; the network's inputs and outputs are scaled by it.
        weights: by the names of our network. variant: of their file, as diffusers takes it.
        label_counts: training images of each class. images: seen in training, 0 where that is not known.
        own_code: whether the folder samples with its own pipeline.py.
        spacing: of a stock scheduler's steps. scheduler: the one that stands in for the folder's own, as JSON.
        numbered: whether its classes have numbers for names.
        distilled: from what, as in config.json; None for other models.
        notes: what is other than in diffusers.
    """

    name: str
    settings: Settings
    spec: ImageSpec
    sigma_data: float
    weights: Mapping[str, Tensor]
    label_counts: tuple[int, ...] = ()
    images: int = 0
    own_code: bool = False
    spacing: str = ""
    variant: str = ""
    scheduler: str = ""
    numbered: bool = False
    distilled: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def is_diffusers_folder(path: Path) -> bool:
    """Whether `path` is laid out for diffusers."""
    return (path / "model_index.json").is_file()


def described(settings: Settings, spec: ImageSpec, record: Mapping[str, Any]) -> dict[str, Any]:
    """What fromnoise-export.json holds to read the model back: no place on a machine is among it.

    record: config.json of the run.
    """
    tables, data = to_dict(settings), record["data"]
    tables["data"].pop("source")
    return {
        "settings": {
            **{name: tables[name] for name in ("recipe", "data", *_SECTIONS)},
            "train": {"mixed_precision": settings.train.mixed_precision},
        },
        "spec": spec.to_json(),
        "sigma_data": record["sigma_data"],
        "data": {"name": data["name"], "label_counts": list(data["label_counts"])},
        **{name: record[name] for name in ("distilled",) if record.get(name)},
    }


def read_diffusers(path: Path, steps: int | None = None, name: str = "", sampler: str | None = None) -> DiffusersSource:
    """The model in the folder `path`.

    Arguments:
        steps: of sampling; as many as the export's, or as the stock pipeline takes, if not given.
        name: of the model where the folder does not say it.
        sampler: "ddpm" or "ddim", in the place of a stock pipeline's scheduler.

    Raises:
        CheckpointError: for a folder that is incomplete, damaged, or holds what our settings cannot.
        UsageError: where diffusers is not installed, and for a sampler in the place of an export's own.
    """
    if sampler and (path / MARK).is_file():
        raise UsageError(
            f"--sampler {sampler} is for a pipeline of diffusers, but {printable(name or str(path))} is an export of "
            "fromnoise, which names its own; leave --sampler out, and give it to `fromnoise sample`"
        )
    with extra("diffusers", "reading a folder for diffusers"):
        import diffusers
    try:
        index = _json(path, "model_index.json")
        parts = {name: value for name, value in index.items() if not name.startswith("_")}
        if isinstance(index.get("_class_name"), list):
            found = _own_code(path, index, parts)
        else:
            found = _stock(path, index.get("_class_name"), parts, steps, sampler, diffusers)
        if (path / MARK).is_file():
            return _as_marked(found, _json(path, MARK), steps)
    except (OSError, ValueError, OverflowError, LookupError, TypeError, UsageError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        reason = f"a config lacks {reason}" if isinstance(error, KeyError) else reason
        raise CheckpointError(
            f"{printable(name or str(path))} cannot be read ({reason}); give a whole folder"
        ) from error
    return replace(found, name=name or path.name)


def loaded(net: nn.Module, weights: Mapping[str, Tensor], place: str) -> None:
    """Put `weights` into `net`, name by name; CheckpointError for another network and numbers that are not finite."""
    own = net.state_dict()
    missing, other = [n for n in own if n not in weights], [n for n in weights if n not in own]
    unlike = [name for name, value in own.items() if name in weights and weights[name].shape != value.shape]
    for names, words in ((missing, "lacks"), (other, "holds, beside the network's,"), (unlike, "has other shapes for")):
        if names:
            raise CheckpointError(
                f"{place} is of another network: it {words} {some(names, 3)}; give the one of its config"
            )
    broken = [name for name, value in weights.items() if not bool(value.isfinite().all())]
    if broken:
        raise CheckpointError(f"{place}: {broken[0]} holds numbers that are not finite; give weights that are")
    net.load_state_dict(dict(weights))


def refusal(path: Path, reasons: tuple[str, ...]) -> CheckpointError:
    """The error for a pipeline that our settings cannot hold."""
    return CheckpointError(
        f"{printable(str(path))} holds a pipeline without an equal here: {'; '.join(reasons)}; give --sampler ddpm or "
        "ddim to import it with a sampler of ours on the same process"
    )


def _stock(
    path: Path, pipeline: Any, parts: Mapping[str, Any], steps: int | None, sampler: str | None, diffusers: Any
) -> DiffusersSource:
    if pipeline not in PIPELINES:
        raise ValueError(f"its pipeline is {str(pipeline)[:60]}, and {', '.join(PIPELINES)} are read")
    if set(parts) != {"unet", "scheduler"} or parts["unet"] != ["diffusers", "UNet2DModel"]:
        raise ValueError("its parts are not a UNet2DModel and a scheduler alone, of diffusers")
    scheduler, config = _scheduler(path, pipeline, parts.get("scheduler"), sampler, diffusers)
    read = read_scheduler(scheduler, config, steps or _marked_steps(path) or PIPELINES[pipeline])
    if read.reasons:
        raise refusal(path, read.reasons)
    unet = with_defaults(diffusers.UNet2DModel, _json(path, "unet/config.json"))
    spec = _spec(unet)
    settings = replaced(_untrained(), {**_net_settings(unet, spec), **read.settings})
    build_denoiser(settings, spec, 0.5)  # refuses what cannot be before diffusers builds it
    file = weights_file(_unet(path))
    weights = {f"unet.{name}": value for name, value in _stock_weights(_unet(path), file, diffusers).items()}
    notes = [*read.notes, *filter(None, [file.note])]
    if spec.classes:
        table = weights[CLASS_TABLE]
        weights[CLASS_TABLE] = torch.cat([table, torch.zeros(1, table.shape[1])])  # "no class", which it was not shown
        notes.append(f"its {len(spec.classes)} classes are named by number, and drawn equally often")
    if sampler:
        notes.append(f"it samples with {sampler} here, instead of its own {str(parts['scheduler'][1])[:60]}")
    return DiffusersSource(
        path.name,
        settings,
        spec,
        0.5,
        weights,
        label_counts=(1,) * len(spec.classes),
        spacing=read.spacing,
        variant=file.variant,
        scheduler=json.dumps({"_class_name": scheduler, **config}) if sampler else "",
        numbered=bool(spec.classes),
        notes=tuple(notes),
    )


def _scheduler(path: Path, pipeline: str, pair: Any, sampler: str | None, diffusers: Any) -> tuple[str, dict[str, Any]]:
    """(the scheduler's name, all of its arguments): the folder's own, or the one of `sampler` on its process."""
    library, scheduler = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
    stored = _json(path, "scheduler/scheduler_config.json")
    kind = getattr(diffusers, str(scheduler), None) if library == "diffusers" else None
    if sampler and isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin):
        name = CHOICES[sampler]
        chosen = with_sampler(sampler, with_defaults(kind, stored))
        return name, with_defaults(getattr(diffusers, name), chosen)
    if scheduler not in SCHEDULERS or library != "diffusers":
        advice = "" if sampler else "; give --sampler ddpm or ddim to sample on its process with ours"
        raise ValueError(f"its scheduler is {str(scheduler)[:60]}, and {', '.join(SCHEDULERS)} are read{advice}")
    if pipeline == "DDIMPipeline":
        scheduler = "DDIMScheduler"  # which that pipeline makes of any other
    return scheduler, with_defaults(getattr(diffusers, scheduler), stored)


def _net_settings(unet: Mapping[str, Any], spec: ImageSpec) -> dict[str, Any]:
    more = {name: value for name, value in unet.items() if name not in _FROM_IMAGES}
    return {
        "data.resolution": f"{spec.height}x{spec.width}",
        "data.channels": spec.channels,
        "net.kind": "unet2d",
        "net.channels": tuple(unet["block_out_channels"]),
        "net.class_conditioning": bool(spec.classes),
        "net.unet2d": json.dumps(more),
        "objective.label_dropout": 0.0,
    }


def _untrained() -> Settings:
    """Settings whose training keeps no averages."""
    train = TrainOptions(num_epochs=10.0, train_batch_size=64, use_ema=False, posthoc_ema=False, mixed_precision="no")
    return Settings(recipe="ddpm", data=DataOptions(source=""), train=train)


def _marked_steps(path: Path) -> int | None:
    """The steps of an export of ours; None for other folders."""
    return int(_json(path, MARK)["run"]["settings"]["sample"]["steps"]) if (path / MARK).is_file() else None


def _spec(unet: Mapping[str, Any]) -> ImageSpec:
    size, channels = unet["sample_size"], unet["in_channels"]
    height, width = size if isinstance(size, list | tuple) else (size, size)
    if unet["out_channels"] != channels:
        raise ValueError(
            f"its network makes {unet['out_channels']} channels of {channels}, as where variances are learned, and as "
            "many as it takes are read"
        )
    classes = unet["num_class_embeds"] or 0
    if unet["class_embed_type"] is not None or not isinstance(classes, int) or not 0 <= classes <= _MOST_CLASSES:
        raise ValueError(f"its network takes classes by '{unet['class_embed_type']}', and a table of them is read")
    if unet["time_embedding_type"] == "fourier":
        raise ValueError("its network takes noise levels (time_embedding_type 'fourier'), and ours give it times")
    fields = {"channels": channels, "height": height, "width": width, "classes": [str(i) for i in range(classes)]}
    check_spec(fields)
    return ImageSpec.from_json(fields)


def _unet(path: Path) -> Path:
    """The network's folder."""
    return _file(path, "unet/config.json").parent


def _stock_weights(folder: Path, file: WeightsFile, diffusers: Any) -> Mapping[str, Tensor]:
    """The network's weights, under today's names; ValueError where not all of them are there."""
    read_weights(folder, file)  # whole, and holding nothing but numbers
    try:
        net, found = diffusers.UNet2DModel.from_pretrained(
            folder,
            use_safetensors=file.kind != "bin",
            variant=file.variant or None,
            local_files_only=True,
            output_loading_info=True,
            low_cpu_mem_usage=False,
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(f"its weights are of another network: {' '.join(str(error).split())[:160]}") from error
    for kind in ("missing_keys", "unexpected_keys"):
        if found[kind]:
            raise ValueError(
                f"its weights are of another network: {kind.replace('_', ' ')} {some(sorted(found[kind]), 3)}"
            )
    return {name: value.float() for name, value in net.state_dict().items()}


def _own_code(path: Path, index: Mapping[str, Any], parts: Mapping[str, Any]) -> DiffusersSource:
    """An export with its own code: its two config files say all that the code does."""
    if index["_class_name"] != ["pipeline", "FromNoisePipeline"] or parts != _OWN_CODE or not (path / MARK).is_file():
        raise ValueError("it brings code of its own, which is not executed, and it is not an export of fromnoise")
    unet = _json(path, "unet/config.json")
    fields = {name: unet[name] for name in ("channels", "height", "width", "classes", "low", "high")}
    if unet.get("guidance_input"):
        fields["guidance_input"] = unet["guidance_input"]
    check_spec(fields)
    settings = from_dict(_untrained(), {"net": {**unet["options"], "kind": unet["kind"]}})
    stored = read_weights(_unet(path), weights_file(_unet(path)))
    weights = {name.removeprefix("net."): value.float() for name, value in stored.items()}
    return DiffusersSource(path.name, settings, ImageSpec.from_json(fields), 0.5, weights, own_code=True)


def _as_marked(found: DiffusersSource, mark: Mapping[str, Any], steps: int | None) -> DiffusersSource:
    """`found` with what fromnoise-export.json adds."""
    more = mark["run"]
    tables = {name: more["settings"][name] for name in ("data", "train", *_SECTIONS)}
    if more["spec"] != json.loads(json.dumps(found.spec.to_json())):  # as it was written: no tuples
        raise ValueError(f"{MARK} is of other images than unet/config.json")
    settings = from_dict(_untrained(), {"recipe": more["settings"]["recipe"], **tables})
    if found.own_code and net_options(settings) != found.settings.net:
        raise ValueError(f"{MARK} is of another network than unet/config.json")
    written = settings.sample.grid.count(",")
    if steps and written and steps != written:
        raise ValueError(f"its grid {settings.sample.grid} has {written} steps of its own, not {steps}")
    settings = replaced(settings, {"data.source": "", **({"sample.steps": steps} if steps else {})})
    counts = tuple(more["data"]["label_counts"]) if found.spec.classes else ()
    sigma_data = float(more["sigma_data"])
    if any(not isinstance(count, int) or count < 0 for count in counts) or not 1e-6 <= sigma_data < 1e6:
        raise ValueError(f"{MARK} holds label_counts or sigma_data that cannot be")
    return replace(
        found,
        name=str(more["data"]["name"]),
        settings=settings,
        sigma_data=sigma_data,
        label_counts=counts,
        images=max(0, int(mark.get("images_seen", 0))),
        distilled=check_distilled(more.get("distilled")),
        notes=(),
    )


def _file(path: Path, name: str) -> Path:
    """The file `name`; a part that has no folder of its own lies beside model_index.json, as for diffusers."""
    part, _, rest = name.partition("/")
    return path / (rest if rest and not (path / part).is_dir() else name)


def _json(path: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of the folder."""
    try:
        return parse_object(read_regular(_file(path, name), MOST_BYTES))
    except FileNotFoundError:
        raise ValueError(f"{name} is missing") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {(error.strerror if isinstance(error, OSError) else None) or error}") from error
