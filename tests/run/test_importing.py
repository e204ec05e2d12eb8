"""Models of others become runs that make the same images; what is broken or has no equal here is named, and no more."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError, DataError, UsageError, WriteError
from fromnoise.data.loading import load
from fromnoise.diffusion.samplers.loop import starting_point
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.export.portable import check_diffusers as check
from fromnoise.export.stock_reading import read_scheduler, with_defaults
from fromnoise.export.verification import reference
from fromnoise.nets.unet2d import unet2d_arguments
from fromnoise.run import Run
from fromnoise.run.diffusers_source import MARK, read_diffusers
from fromnoise.run.importing import _model, _named, import_diffusers
from fromnoise.run.initial_weights import read_initial_weights

diffusers = pytest.importorskip("diffusers")
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
EVALUATE = ["--num", "16", "--steps", "2"]


def save(folder, scheduler=None, pipeline=None, **arguments):
    """A stock folder whose UNet2DModel has not the arguments that ours has."""
    torch.manual_seed(0)
    given = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4, "attention_head_dim": 4, "flip_sin_to_cos": False, "freq_shift": 1,
    } | arguments  # fmt: skip
    net = diffusers.UNet2DModel(**given)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    (pipeline or diffusers.DDPMPipeline)(net, scheduler or diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    return save(tmp_path_factory.mktemp("stock") / "model")


@pytest.fixture(scope="module")
def imported(stock, tmp_path_factory):
    run = Run.from_diffusers(stock, tmp_path_factory.mktemp("runs") / "model")
    record = run.metadata["imported"]
    assert record["largest_difference"] < 0.002 and "'trailing'" in record["notes"][0]
    return run.path


@pytest.fixture(scope="module")
def trained(tiny_run, tmp_path_factory):
    """A trained run of its own: what evaluates it writes into it."""
    return shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("runs") / "digits")


def sampled(pipeline, noise, steps, monkeypatch):
    """What a stock pipeline makes of `noise`; its own draws are all 0."""
    draws = iter([noise])
    for module in ("diffusers.pipelines.ddpm.pipeline_ddpm", "diffusers.pipelines.ddim.pipeline_ddim"):
        monkeypatch.setattr(f"{module}.randn_tensor", lambda *_, **__: next(draws))
    pipeline.set_progress_bar_config(disable=True)
    return torch.from_numpy(pipeline(len(noise), num_inference_steps=steps, output_type="np").images).permute(
        0, 3, 1, 2
    )


@pytest.mark.parametrize(
    "scheduler, steps, note",
    [
        (("DDIMScheduler", {"num_train_timesteps": 40, "clip_sample": False, "prediction_type": "v_prediction",
                            "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}), 8, False),
        (("DDIMScheduler", {"num_train_timesteps": 40, "clip_sample": False, "timestep_spacing": "linspace",
                            "beta_schedule": "squaredcos_cap_v2"}), 40, True),
        (("FlowMatchEulerDiscreteScheduler", {}), 6, False),
    ],
)  # fmt: skip
def test_what_is_read_makes_the_images_of_the_source(scheduler, steps, note, tmp_path, monkeypatch):
    from fromnoise.diffusion.samplers.loop import start_noise

    name, settings = scheduler
    save(tmp_path / "it", getattr(diffusers, name)(**settings))
    source = read_diffusers(tmp_path / "it", steps)
    assert bool(source.notes) == note
    model = _model(source)
    noise = start_noise(model.process, model.spec.shape, range(3))
    pipeline = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "it")
    expected = sampled(pipeline, noise, steps, monkeypatch)
    *_, last = model.steps(range(3), None)
    assert expected.std() > 0.05
    torch.testing.assert_close(((last.x + 1) / 2).clamp(0, 1), expected, atol=2e-3, rtol=0)


SCHEDULERS = {
    "fixed_large": ("DDPMScheduler", {"variance_type": "fixed_large"}, 8, None),
    "linspace": ("DDPMScheduler", {"timestep_spacing": "linspace"}, 7, None),
    "offset": ("DDPMScheduler", {"steps_offset": 1}, 8, None),
    "uneven": ("DDPMScheduler", {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}, 7, None),
    "clipped": ("DDIMScheduler", {"steps_offset": 1, "set_alpha_to_one": False}, 8, "ddim"),
    "PNDM": ("PNDMScheduler", {"beta_schedule": "scaled_linear"}, 8, "ddim"),
    "DPM-Solver": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, 8, "ddpm"),
    "Euler": ("EulerDiscreteScheduler", {"prediction_type": "v_prediction"}, 8, "ddim"),
}


@pytest.mark.parametrize("case", SCHEDULERS)
def test_schedulers_make_the_images_of_the_stock_pipeline(case, tmp_path, monkeypatch):
    name, settings, steps, sampler = SCHEDULERS[case]
    pipeline = diffusers.PNDMPipeline if case == "PNDM" else None
    save(tmp_path / "it", getattr(diffusers, name)(num_train_timesteps=40, **settings), pipeline)
    if sampler:
        with pytest.raises(CheckpointError, match="--sampler"):
            read_diffusers(tmp_path / "it", steps)
    assert (
        stock_difference(read_diffusers(tmp_path / "it", steps, sampler=sampler), tmp_path / "it", monkeypatch) < 2e-3
    )


def stock_difference(source, folder, monkeypatch):
    """The largest difference of the run's samples from those of the stock pipeline in the same noise."""
    model = _model(source)
    expected = reference(model)
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
    if source.scheduler:
        pipe = check._with_scheduler(pipe, json.loads(source.scheduler))
    for part in (pipe, pipe.scheduler):
        module = sys.modules[type(part).__module__]
        if hasattr(module, "randn_tensor"):
            monkeypatch.setattr(module, "randn_tensor", module.randn_tensor)  # so that what replaces it is taken back
    pipe.set_progress_bar_config(disable=True)
    assert expected.images.std() > 0.05
    start = grid_named(model.sampling.grid, model.process)(model.process, model.sampling.steps)[0]
    noise = starting_point(model.process, expected.noise, float(start))
    images = check._stock(pipe, noise, {**expected.arrays(), "steps": model.sampling.steps})
    return expected.difference(images)


@pytest.mark.parametrize("classes, names", [(10, tuple("0123456789")), (11, tuple("0123456789")), (4, tuple("0123"))])
def test_a_network_with_a_table_of_classes_makes_the_images_of_each(classes, names, tmp_path, monkeypatch):
    save(tmp_path / "it", diffusers.DDPMScheduler(num_train_timesteps=40), num_class_embeds=classes)
    source = read_diffusers(tmp_path / "it", 8)
    assert len(source.spec.classes) == classes and "classes" in " ".join(source.notes)
    if classes > 4:
        source = _named(source, load("digits").spec.classes)
    assert source.spec.classes == names and (source.settings.objective.label_dropout > 0) == (classes == 11)
    assert stock_difference(source, tmp_path / "it", monkeypatch) < 2e-3
    other = _model(source).sample(4, label=names[1]).images
    assert (other != _model(source).sample(4, label=names[2]).images).any()


def test_any_scheduler_will_do_for_weights_to_start_from(tmp_path):
    save(tmp_path / "it", diffusers.EulerDiscreteScheduler(beta_end=0.03))
    assert read_initial_weights(tmp_path / "it").settings.process.beta_end == 0.03


def test_a_run_is_sampled_edited_shown_and_exported_without_images(imported, tmp_path, monkeypatch, capsys):
    run = Run(imported)
    assert run.settings.sample.steps == 1000 and run.sample(2, steps=4).images.shape == (2, 8, 8, 1)
    assert run.trajectory(seeds=(0,), steps=2)
    assert main(["sample", str(imported), "--num", "2", "--steps", "5"]) == 0
    monkeypatch.setattr(Run, "model", partialmethod(Run.model, steps=5))
    assert run.show().is_file() and "imported from" in (imported / "README.md").read_text()
    with pytest.raises(DataError, match="--init"):
        run.evaluate(16)
    assert main(["export", str(imported), "--to", "diffusers", str(tmp_path / "again"), "--steps", "10"]) == 0
    again = json.loads((tmp_path / "again/unet/config.json").read_text())
    assert (again["norm_num_groups"], again["freq_shift"]) == (4, 1)
    back = Run(import_diffusers(tmp_path / "again", tmp_path / "back").path)
    assert back.settings.sample.steps == 10 and back.settings.net == run.settings.net
    assert main(["edit", str(imported), "interpolate", "--seeds", "1,2", "--steps", "4"]) == 0
    assert main(["train", "--resume", str(imported)]) == 3
    assert "--init" in capsys.readouterr().err


def test_a_run_and_a_folder_are_fine_tuned_on_other_images(stock, imported, tmp_path):
    small = ["--num_images", "64", "--previews", "0", "--set", "train.validations=0"]
    classes = ["--set", "net.class_conditioning=true"]
    for number, (source, more) in enumerate([(stock, []), (imported, ["--resolution", "8"]), (imported, classes)]):
        out = tmp_path / str(number)
        assert main(["train", "digits", "--init", str(source), "--output_dir", str(out), *small, *more]) == 0
        record = Run(out).metadata
        assert record["init"]["scratch"] == (["unet.class_embedding.weight"] if more is classes else [])
        assert record["settings"]["process"]["beta_end"] == 0.02


def test_an_export_comes_back_with_the_same_measures(trained, tmp_path, capsys):
    assert main(["evaluate", str(trained), *EVALUATE]) == 0
    assert main(["export", str(trained), "--to", "diffusers", str(tmp_path / "out")]) == 0
    (tmp_path / "out/pipeline.py").write_text("raise SystemExit('executed')")
    assert main(["import", str(tmp_path / "out"), "--output_dir", str(tmp_path / "back"), "--data", "digits"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "back")
    assert main(["evaluate", str(tmp_path / "back"), *EVALUATE]) == 0
    one, other = (json.loads((folder / "evaluation.json").read_text()) for folder in (trained, tmp_path / "back"))
    for part in ("metrics", "reference_rows", "ratio_to_test", "ratio_interval"):
        assert one[part] == other[part], "to the last digit"
    assert main(["train", "--resume", str(tmp_path / "back")]) == 2
    path = tmp_path / "out/scheduler/scheduler_config.json"
    config = json.loads(path.read_text())
    config["plans"]["5"]["evaluations"][1]["code"] += 0.01
    path.write_text(json.dumps(config))
    assert main(["import", str(tmp_path / "out"), "--output_dir", str(tmp_path / "other")]) == 4
    assert "plans" in capsys.readouterr().err and not (tmp_path / "other").exists()
    path.write_text(json.dumps(config | {"plans": 1}))
    assert main(["import", str(tmp_path / "out"), "--output_dir", str(tmp_path / "other")]) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"net.class_conditioning": False, "sample.guidance_scale": 1.0},
        {"objective.guidance_input": 2.0, "sample.guidance_scale": 1.5},
        {"net.bounded": True, "objective.prediction": "v"},
    ],
)
def test_other_networks_come_back_too(changes, tiny_settings, tmp_path):
    run = Run.create("digits", output_dir=tmp_path / "run", settings={**tiny_settings, **changes}).train()
    assert main(["export", str(run.path), "--to", "diffusers", str(tmp_path / "out")]) == 0
    back = Run.from_diffusers(tmp_path / "out", tmp_path / "back")
    assert (back.sample(4).images == run.sample(4).images).all()


def test_a_distilled_run_comes_back_as_one(tmp_path, tiny_settings, capsys):
    own = {**tiny_settings, "net.class_conditioning": False, "sample.guidance_scale": 1.0, "sample.steps": 4}
    source = Run.create("digits", output_dir=tmp_path / "run", settings=own).train()
    few = Run.distill(source.path, tmp_path / "few", budget=None, num_images=256, trajectories=64).train()
    assert main(["export", str(few.path), "--to", "diffusers", str(tmp_path / "out")]) == 0
    assert main(["import", str(tmp_path / "out"), "--output_dir", str(tmp_path / "back"), "--data", "digits"]) == 0
    assert "difference from the source" not in capsys.readouterr().out.splitlines()[-1], "no sample was made"
    back = Run(tmp_path / "back")
    assert back.metadata["distilled"] == few.metadata["distilled"]
    assert (back.sample(4).images == few.sample(4).images).all()
    assert "distilled from" in (back.path / "README.md").read_text()
    with pytest.raises(UsageError, match="guidance"):
        back.sample(1, guidance_scale=2.0)
    made = few.metadata["distilled"]["sampling"]["sampler"]
    assert read_initial_weights(tmp_path / "out").settings.sample.sampler == made != few.settings.sample.sampler
    mark = tmp_path / "out" / MARK
    content = json.loads(mark.read_text())
    content["run"]["distilled"]["sampling"]["steps"] = "many"
    mark.write_text(json.dumps(content))
    assert main(["import", str(tmp_path / "out"), "--output_dir", str(tmp_path / "bad")]) == 4


def test_images_of_a_network_with_a_guidance_input_are_taken(tmp_path, tiny_settings):
    changes = {"objective.guidance_input": 2.0, "sample.guidance_scale": 1.5, "sample.guidance_interval": (0.2, 0.7)}
    run = Run.create("digits", output_dir=tmp_path / "run", settings={**tiny_settings, **changes}).train()
    few = Run.distill(run.path, tmp_path / "few", budget=None, num_images=256, trajectories=64).train()
    few.export("diffusers", tmp_path / "out")
    back = Run.from_diffusers(tmp_path / "out", tmp_path / "back", data="digits")
    assert (back.sample(4).images == few.sample(4).images).all()


def test_a_written_grid_has_its_own_steps(exported, trained, tmp_path, capsys):
    assert main(["export", str(trained), "--to", "diffusers", str(tmp_path / "out"), "--grid", "1,0.6,0.3,0"]) == 0
    assert "3 steps, 1,0.6,0.3,0 grid" in (tmp_path / "out/README.md").read_text()
    words = ["import", str(tmp_path / "out"), "--output_dir", str(tmp_path / "back")]
    assert main([*words, "--steps", "7"]) == 4
    assert "3 steps of its own, not 7" in capsys.readouterr().err
    assert main([*words, "--steps", "3"]) == 0


def test_fixed_large_in_all_of_many_trailing_steps_is_compared_in_all(tmp_path):
    many = {"num_train_timesteps": 120, "variance_type": "fixed_large", "timestep_spacing": "trailing"}
    folder = save(tmp_path / "model", diffusers.DDPMScheduler(**many))
    run = Run.from_diffusers(folder, tmp_path / "back", steps=120)
    assert run.settings.sample.sampler == "ddpm_large" and run.metadata["imported"]["largest_difference"] < 0.002


def test_an_export_of_ours_takes_other_steps_and_no_other_sampler(exported, tmp_path, capsys):
    words = ["import", str(exported), "--output_dir", str(tmp_path / "back")]
    assert main([*words, "--sampler", "ddim"]) == 2
    assert "--sampler ddim" in capsys.readouterr().err and not (tmp_path / "back").exists()
    assert main([*words, "--steps", "5"]) == 0
    assert Run(tmp_path / "back").settings.sample.steps == 5


@pytest.mark.parametrize(
    "form, files",
    [
        ({"max_shard_size": "6KB"}, "model-00002-of-*.safetensors"),
        ({"variant": "fp16"}, "model.fp16.safetensors"),
        ({"safe_serialization": False}, "model.bin"),
    ],
)
def test_weights_in_other_files_are_read(form, files, stock, tmp_path):
    pipeline = diffusers.DDPMPipeline.from_pretrained(stock)
    (pipeline.to(torch.float16) if "variant" in form else pipeline).save_pretrained(tmp_path / "it", **form)
    if "max_shard_size" in form:
        pipeline.unet.save_pretrained(tmp_path / "it/unet", **form)
        (tmp_path / "it" / WEIGHTS).unlink(missing_ok=True)
    assert list((tmp_path / "it/unet").glob(f"diffusion_pytorch_{files}"))
    done = import_diffusers(tmp_path / "it", tmp_path / "run", steps=5)
    assert done.difference < 0.002 and ("fp16" in " ".join(done.notes)) == ("variant" in form)
    if "max_shard_size" in form:
        next((tmp_path / "it/unet").glob(f"diffusion_pytorch_{files}")).unlink()
        with pytest.raises(CheckpointError, match="00002-of"):
            read_diffusers(tmp_path / "it")


def test_a_checkpoint_of_a_training_is_its_averaged_network(stock, tmp_path):
    shutil.copytree(stock, tmp_path / "it")
    for name, factor in (("unet", 1.0), ("unet_ema", 0.9)):
        net = diffusers.UNet2DModel.from_pretrained(stock, subfolder="unet")
        net.load_state_dict({key: factor * value for key, value in net.state_dict().items()})
        net.save_pretrained(tmp_path / "it/checkpoint-5" / name)
    done = import_diffusers(tmp_path / "it/checkpoint-5", tmp_path / "run", steps=5)
    assert done.difference < 0.002 and "checkpoint-5/unet_ema" in done.notes[-1]
    runs = Run(done.path), Run.from_diffusers(stock, tmp_path / "2", steps=5)
    averaged, plain = (run.model().denoiser.net.unet.conv_in.bias for run in runs)
    torch.testing.assert_close(averaged, 0.9 * plain)


def test_a_full_place_for_temporary_files_is_said(stock, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise shutil.Error([("one", "two", os.strerror(errno.ENOSPC))])

    shutil.copytree(stock, tmp_path / "it")
    shutil.copytree(stock / "unet", tmp_path / "it/checkpoint-5/unet")
    monkeypatch.setattr(shutil, "copytree", full)
    words = ["import", str(tmp_path / "it/checkpoint-5"), "--output_dir", str(tmp_path / "run")]
    assert main(words) == WriteError.exit_code
    assert "TMPDIR" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """An export with its own code."""
    folder = tmp_path_factory.mktemp("exports") / "model"
    assert main(["export", str(trained), "--to", "diffusers", str(folder)]) == 0
    return folder


def marked(**changes):
    """Changes what fromnoise-export.json says of the run."""

    def change(folder):
        content = json.loads((folder / MARK).read_text())
        (folder / MARK).write_text(json.dumps({**content, "run": {**content["run"], **changes}}))

    return change


def options(**changes):
    def change(folder):
        content = json.loads((folder / "unet/config.json").read_text())
        rewrite(folder, "unet/config.json", options={**content["options"], **changes})

    return change


OWN_BROKEN = {
    "not executed": lambda f: (f / MARK).unlink(),
    "fromnoise-export.json: ": lambda f: (f / MARK).write_bytes((f / MARK).read_bytes()[:-9]),
    "lacks 'run'": lambda f: (f / MARK).write_text("{}"),
    "other images": marked(spec={"channels": 3, "height": 8, "width": 8, "classes": [], "low": -1, "high": 1}),
    "sigma_data": marked(sigma_data=float("inf")),
    "label_counts": marked(data={"name": "digits", "label_counts": [-1] * 10}),
    "net.wdth": options(wdth=8),
    "another network": options(width=16),
    "spec.channels": lambda f: rewrite(f, "unet/config.json", channels=0),
    "unet/config.json is missing": lambda f: (f / "unet/config.json").unlink(),
    "diffusion_pytorch_model.safetensors is missing": lambda f: (f / WEIGHTS).unlink(),
    "leave.bias holds": lambda f: weights(lambda found: found["net.leave.bias"].fill_(float("nan")))(f),
    "leave.bias": lambda f: weights(lambda found: found.pop("net.leave.bias"))(f),
    "other shapes for leave.bias": lambda f: weights(lambda found: found.update({"net.leave.bias": torch.ones(2)}))(f),
    "scheduler_config.json cannot be read": lambda f: (f / "scheduler/scheduler_config.json").unlink(),
}


@pytest.mark.parametrize("word", OWN_BROKEN)
def test_a_broken_export_of_ours_is_named_and_nothing_written(word, exported, tmp_path, capsys):
    shutil.copytree(exported, tmp_path / "source")
    OWN_BROKEN[word](tmp_path / "source")
    assert main(["import", str(tmp_path / "source"), "--output_dir", str(tmp_path / "run")]) == 4
    said = capsys.readouterr().err
    assert word in said and len(said.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


OLD_NAMES = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}


def test_the_oldest_layout_and_names_are_read(stock, tmp_path):
    for path in stock.rglob("*.*"):
        shutil.copy(path, tmp_path)
    found = safetensors.torch.load_file(tmp_path / Path(WEIGHTS).name)
    for new, old in OLD_NAMES.items():
        assert any(new in name for name in found)
        found = {name.replace(new, old): value for name, value in found.items()}
    safetensors.torch.save_file(found, tmp_path / Path(WEIGHTS).name)
    one, other = read_diffusers(stock), read_diffusers(tmp_path)
    assert one.settings == other.settings
    assert all((one.weights[name] == value).all() for name, value in other.weights.items())
    diffusers.DiffusionPipeline.from_pretrained(tmp_path)


def rewrite(folder, name, **changes):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | changes))


def weights(change):
    def break_it(folder):
        found = safetensors.torch.load_file(folder / WEIGHTS)
        change(found)
        safetensors.torch.save_file(found, folder / WEIGHTS)

    return break_it


def only_a_pickle(folder):
    torch.save({"conv_in.bias": Path("elsewhere")}, folder / "unet/diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


BROKEN = {
    "scheduler_config.json": lambda f: (f / "scheduler/scheduler_config.json").unlink(),
    "unet/config.json": lambda f: (f / "unet/config.json").write_text("{"),
    "diffusion_pytorch_model.bin holds more": only_a_pickle,
    "is missing": lambda f: (f / WEIGHTS).unlink(),
    "damaged": lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-9]),
    "conv_in.bias holds": weights(lambda found: found["conv_in.bias"].fill_(float("nan"))),
    "missing keys": weights(lambda found: found.pop("conv_in.bias")),
    "conv_out.bias": weights(lambda found: found.update({"conv_out.bias": torch.zeros(2)})),
    "learned": lambda f: rewrite(f, "unet/config.json", out_channels=2),
    "takes classes": lambda f: rewrite(f, "unet/config.json", class_embed_type="timestep"),
    "class_embedding": lambda f: rewrite(f, "unet/config.json", num_class_embeds=3),
    "fourier": lambda f: rewrite(f, "unet/config.json", time_embedding_type="fourier"),
    "BlockOfMine": lambda f: rewrite(f, "unet/config.json", down_block_types=["BlockOfMine", "DownBlock2D"]),
    "layers_per_block": lambda f: rewrite(f, "unet/config.json", layers_per_block=10**9),
    "spec.height": lambda f: rewrite(f, "unet/config.json", sample_size=None),
    "steps_offset": lambda f: rewrite(f, "scheduler/scheduler_config.json", steps_offset=200),
    "num_train_timesteps": lambda f: rewrite(f, "scheduler/scheduler_config.json", num_train_timesteps="many"),
    "OtherPipeline": lambda f: rewrite(f, "model_index.json", _class_name="OtherPipeline"),
    "its scheduler is None": lambda f: rewrite(f, "model_index.json", scheduler=[]),
    "timestep_input_dim": lambda f: rewrite(f, "unet/config.json", time_embedding_type="x"),
    "not executed": lambda f: rewrite(f, "model_index.json", _class_name=["pipeline", "Mine"]),
    "UNet2DModel": lambda f: rewrite(f, "model_index.json", unet=["network", "Mine"]),
    "give --sampler": lambda f: rewrite(f, "model_index.json", scheduler=["diffusers", "PNDMScheduler"]),
}  # fmt: skip


@pytest.mark.parametrize("word", BROKEN)
def test_a_folder_that_is_broken_or_has_no_equal_is_named_and_nothing_written(word, stock, tmp_path, capsys):
    shutil.copytree(stock, tmp_path / "source")
    BROKEN[word](tmp_path / "source")
    assert main(["import", str(tmp_path / "source"), "--output_dir", str(tmp_path / "run"), "--steps", "10"]) == 4
    said = capsys.readouterr().err
    assert word in said and len(said.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    "scheduler, change",
    [
        ("DDPMScheduler", {"variance_type": "learned_range"}),
        ("DDPMScheduler", {"variance_type": "fixed_large", "timestep_spacing": "trailing"}),
        ("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "linspace"}),
        ("DDPMScheduler", {"clip_sample_range": 2.0}),
        ("DDPMScheduler", {"thresholding": True, "sample_max_value": 3.0}),
        ("DDPMScheduler", {"beta_schedule": "sigmoid"}),
        ("DDPMScheduler", {"trained_betas": [0.1, 0.2]}),
        ("DDIMScheduler", {"clip_sample": True}),
        ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
        ("FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ],
)
def test_schedulers_without_an_equal_are_refused_by_the_setting(scheduler, change):
    read = read_scheduler(scheduler, with_defaults(getattr(diffusers, scheduler), change), 50)
    assert any(name in " ".join(read.reasons) or "clipped" in read.reasons[0] for name in change)


def test_images_that_differ_are_refused(stock, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fromnoise.run.importing.run_check", lambda *_: torch.zeros(4, 1, 8, 8))
    assert main(["import", str(stock), "--output_dir", str(tmp_path / "run"), "--steps", "10"]) == 4
    assert "differ" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_arguments_of_the_command(stock, imported, tmp_path):
    assert main(["import"]) == 2 and main(["import", str(stock), "--recipe", "ddpm"]) == 2
    assert main(["import", "--state_dict", "x.pt"]) == 2
    assert main(["import", str(stock), "--output_dir", str(imported)]) == 2
    assert main(["import", str(tmp_path / "nothing")]) == 4
    assert main(["import", str(stock), "--output_dir", str(tmp_path / "run"), "--data", str(tmp_path / "gone")]) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["[1]", "{", '{"sample_size": 4}', '{"layers_per_block": true}', '{"dropout": -1}'])
def test_arguments_of_unet2dmodel_are_checked(text):
    with pytest.raises(UsageError, match=r"net\.unet2d"):
        unet2d_arguments(text)


def test_weights_say_nothing_of_mirrored_images(tmp_path):
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(1, 255, (40, 8, 8), np.uint8))
    source, small = str(tmp_path / "noise.npy"), {"net.width": 8, "net.depth": 1}
    begun = Run.create(source, settings=small, output_dir=tmp_path / "run", device="cpu")
    assert begun.settings.data.random_flip, "the recipe would mirror so few in three minutes"
    torch.save(begun.new_denoiser().net.state_dict(), tmp_path / "w.pt")
    for flip in (False, True):
        settings = {**small, "data.random_flip": True} if flip else small
        made = Run.from_state_dict(tmp_path / "w.pt", source, "default", tmp_path / f"{flip}", settings=settings)
        assert made.settings.data.random_flip is flip


def test_a_state_dict_becomes_a_run_and_pickles_are_not_executed(trained, tmp_path, capsys):
    net = Run(trained).model(weights="raw").denoiser.net
    torch.save({"epoch": 3, "state_dict": {f"module.{n}": v for n, v in net.state_dict().items()}}, tmp_path / "old.pt")
    small = ["--recipe", "default", "--data", "digits", "--set", "net.width=8", "--set", "net.depth=1"]
    out = ["--output_dir", str(tmp_path / "run")]
    assert main(["import", "--state_dict", str(tmp_path / "old.pt"), *small, *out]) == 0
    one, other = (Run(path).sample(2, weights="raw", guidance_scale=1, steps=3) for path in (trained, tmp_path / "run"))
    again = Run.from_state_dict(
        tmp_path / "old.pt", "digits", "default", tmp_path / "3", settings={"net.width": 8, "net.depth": 1}
    )
    assert again.settings == Run(tmp_path / "run").settings and "state_dict" in again.metadata["imported"]["notes"][0]
    assert (one.images == other.images).all()
    broken = {**net.state_dict(), "leave.bias": torch.full_like(net.leave.bias, float("nan"))}
    torch.save(broken, tmp_path / "nan.pt")
    torch.save({**net.state_dict(), "leave.bias": torch.zeros(7)}, tmp_path / "shape.pt")
    torch.save({}, tmp_path / "empty.pt")
    for name in ("nan.pt", "shape.pt", "empty.pt"):
        assert main(["import", "--state_dict", str(tmp_path / name), *small, "--output_dir", str(tmp_path / "2")]) == 4
        said = capsys.readouterr().err
        assert name in said and ("leave.bias" in said) == (name != "empty.pt")
    small[-1] = "net.depth=2"
    assert main(["import", "--state_dict", str(tmp_path / "old.pt"), *small, "--output_dir", str(tmp_path / "2")]) == 4

    class Shot:
        def __reduce__(self):
            return Path.touch, (tmp_path / "marker",)

    torch.save({"weight": Shot()}, tmp_path / "shot.pt")
    (tmp_path / "words.pt").write_text("words")
    torch.save([1], tmp_path / "list.pt")
    for name in ("shot.pt", "words.pt", "list.pt", "none.pt"):
        assert main(["import", "--state_dict", str(tmp_path / name), *small, "--output_dir", str(tmp_path / "2")]) == 4
        assert name in capsys.readouterr().err
    assert not (tmp_path / "marker").exists() and not (tmp_path / "2").exists()


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be killed so there")
def test_what_a_killed_import_left_is_cleared_by_the_next(trained, tmp_path):
    torch.save(Run(trained).model(weights="raw").denoiser.net.state_dict(), tmp_path / "old.pt")
    place = tmp_path / "runs"
    words = ["import", "--state_dict", str(tmp_path / "old.pt"), "--recipe", "default", "--data", "digits"]
    words += ["--set", "net.width=8", "--set", "net.depth=1", "--output_dir", str(place / "run")]
    die = "from fromnoise.run import importing\nimporting.write_run_card = lambda *_: os.kill(os.getpid(), 9)"
    code = f"import os, sys\nfrom fromnoise.cli import main\n{die}\nmain(sys.argv[1:])"
    assert subprocess.run([sys.executable, "-c", code, *words], check=False).returncode == -signal.SIGKILL
    (left,) = place.iterdir()
    assert (left / "config.json").is_file()
    assert main(words) == 0 and [one.name for one in place.iterdir()] == ["run"]


def test_no_space_is_exit_6(stock, tmp_path, monkeypatch):
    monkeypatch.setattr("fromnoise.run.importing.run_check", lambda *_: pytest.fail("compared before the place"))
    (tmp_path / "file").touch()
    assert main(["import", str(stock), "--output_dir", str(tmp_path / "file" / "run"), "--steps", "10"]) == 6


def test_a_source_that_is_no_folder_for_diffusers(tmp_path):
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        import_diffusers(tmp_path, tmp_path / "run")
