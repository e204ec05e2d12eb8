"""Which size of the default recipe is chosen for which images, device and time, and that it says why."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import Condition, ImageSpec
from fromnoise.data import DataOptions, load
from fromnoise.diffusion.process import VE
from fromnoise.diffusion.samplers.loop import sample
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS
from fromnoise.model.build import build_denoiser, build_sampling
from fromnoise.recipes.model_sizes import SECONDS_LIMIT, SIZES, TrainingContext, choose_size
from fromnoise.recipes.recipes import recipe, size_of, trajectory_sampling
from fromnoise.recipes.resolve import Request
from fromnoise.run import Run
from fromnoise.run.facts import facts
from fromnoise.run.metadata import context_of
from fromnoise.train.hardware import choose_precision

MNIST = ImageSpec(1, 28, 28, tuple("0123456789"))


def at(seconds=None, device="cpu", count=60_000, spec=MNIST, planned=None):
    return TrainingContext(spec, count, device, seconds, planned, flat_share=0.8)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_more_time_is_for_more_channels(device):
    borders = SECONDS_LIMIT[device]
    chosen = [choose_size(at(seconds, device)) for border in borders for seconds in (border, border + 1)]
    assert [one.name for one in chosen] == ["tiny", "small", "small", "base", "base", "large"]
    assert all(one.reason for one in chosen)
    assert [one.width for one in chosen] == sorted(one.width for one in chosen)


def test_without_a_budget_it_is_base_and_few_images_make_it_small():
    assert choose_size(at()).name == "base"
    few = choose_size(at(3600.0, count=300))
    assert few.name == "small" and "300 images" in few.reason
    assert few.batch == 32 and choose_size(at(count=7)).batch == 7


def test_what_is_asked_for_is_taken_and_large_images_get_twice_the_channels():
    photographs = ImageSpec(3, 64, 64)
    for name, size in SIZES.items():
        assert choose_size(at(1.0), name).width == size.width
        assert choose_size(at(1.0, spec=photographs), name).width == 2 * size.width
        config = recipe(f"default-{name}", at(1.0))
        assert config.recipe == f"default-{name}" and config.net.width == size.width
    assert size_of("ddpm", at()) is None


def test_a_gpu_is_given_many_images_a_step():
    cpu, gpu = choose_size(at(60.0)), choose_size(at(60.0, "cuda"))
    assert gpu.batch > 10 * cpu.batch


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_steps_are_of_fewer_images_where_there_would_be_few_of_them_or_memory_would_not_do(device):
    whole = choose_size(at(device=device))
    few = choose_size(at(device=device, count=1500))
    short = choose_size(at(device=device, planned=24_000))
    vast = choose_size(at(device=device, spec=ImageSpec(3, 256, 256)))
    assert few.batch * 20 <= 1500 and short.batch * 500 <= 24_000 and vast.batch == 32
    for one in (few, short, vast):
        assert one.batch <= whole.batch and 0.6 * whole.learning_rate < one.learning_rate <= whole.learning_rate


@pytest.mark.parametrize(("side", "shift"), [(28, 1), (32, 1), (40, 1), (48, 1.5), (64, 2), (96, 2), (256, 2)])
def test_large_images_are_trained_at_more_noise_on_the_recipes_own_process(side, shift):
    context = at(180.0, spec=ImageSpec(3, side, side))

    def trained_at(**changes):
        named = {name.replace("_", ".", 1): value for name, value in changes.items()}
        return Request("x", "default", named).settings(context, DataOptions("x")).objective.time_shift

    assert trained_at() == recipe("default", context).objective.time_shift == shift
    assert [trained_at(process_kind=kind) for kind in ("vp", "vp_continuous", "ve")] == [1, 1, 1]
    assert trained_at(process_prior="uniform") == shift
    assert trained_at(process_kind="vp", objective_time_shift=3.0) == trained_at(objective_time_shift=3.0) == 3


def test_a_run_says_at_which_noise_levels_it_is_trained(tmp_path):
    said = []
    for side in (16, 64):
        np.save(tmp_path / f"{side}.npy", np.random.default_rng(0).integers(0, 256, (40, side, side), np.uint8))
        settings = {"net.width": 8, "net.depth": 1}
        run = Run.create(tmp_path / f"{side}.npy", settings=settings, output_dir=tmp_path / str(side))
        said.append(dict(facts(run))["training times"])
    assert said == ["logit_normal_high", "logit_normal_high, noise levels times 2"]


def test_a_run_says_its_size_and_goes_on_elsewhere_as_it_was_begun(tmp_path, monkeypatch):
    settings = {"train.budget": "30s"}
    run = Run.create("digits", settings=settings, output_dir=tmp_path / "r", device="cpu")
    said = dict(facts(run))["model size"]
    assert said.startswith("small: 24 channels") and "batch size 64" in said
    bf16 = choose_precision("cpu").autocast is not None
    digits = load(DataOptions("digits"))
    looks = {name: getattr(digits, name) for name in ("flat_share", "mirror_gap", "class_agreement")}
    context = {"device": "cpu", "seconds": 30.0, "planned": None, "bf16": bf16, **looks}
    assert run.metadata["context"] == context and 0.3 < digits.flat_share < 0.5
    monkeypatch.setattr("fromnoise.run.create.kind_of_device", lambda name: "cuda")
    again = Run.create("digits", settings=settings, output_dir=tmp_path / "r", device="cpu")
    assert again.settings == run.settings
    in_other_words = Run.create(
        "digits", settings={**settings, "net.width": 24}, output_dir=tmp_path / "r", device="cpu"
    )
    assert in_other_words.settings == run.settings
    elsewhere = Run.create("digits", settings=settings, output_dir=tmp_path / "new", device="cpu")
    assert elsewhere.metadata["context"]["device"] == "cuda"
    with pytest.raises(UsageError, match=r"recipe.*default.*default-large"):
        Run.create("digits", recipe="default-large", settings=settings, output_dir=tmp_path / "r")


def test_what_will_have_seen_more_is_guided_less():
    slow, fast = (at(600.0), replace(at(600.0), bf16=True))
    rising = [at(planned=1), at(60.0), at(180.0), slow, fast, at(600.0, "cuda")]
    strengths = [choose_size(one).guidance for one in rising]
    assert strengths == sorted(strengths, reverse=True) and len(set(strengths)) > 3
    assert strengths[-1] > 1 and strengths[0] < 2
    assert choose_size(replace(slow, flat_share=0.01)).guidance > strengths[3], "photographs want more"
    photographs = [replace(at(60.0, spec=ImageSpec(3, side, side, ("a", "b"))), flat_share=0.02) for side in (32, 64)]
    assert choose_size(photographs[0]).guidance < choose_size(photographs[1]).guidance, "larger ones more still"
    sides = (12, 16, 20, 28, 64)
    drawings = [choose_size(at(planned=30_000, spec=ImageSpec(1, side, side, ("a", "b")))).guidance for side in sides]
    assert drawings == sorted(drawings) and len(set(drawings)) == 4, "smaller drawings less, down to 28x28"
    assert choose_size(slow).name == choose_size(fast).name, "the same network, on a faster machine"


@pytest.mark.parametrize("instructions", [None, "AVX512_BF16"])
def test_bf16_counts_where_it_is_faster_and_allowed(monkeypatch, instructions):
    monkeypatch.setattr("fromnoise.train.hardware._cpu_bf16", lambda: instructions)
    digits = load(DataOptions("digits"))
    asked = [
        Request("digits", "default", {"train.mixed_precision": name}).context(digits).bf16
        for name in ("no", "bf16", "auto")
    ]
    assert asked == [False, instructions is not None, instructions is not None]


def test_photographs_whose_classes_are_told_apart_by_a_look_are_guided_less():
    usual = replace(at(planned=70_000, spec=ImageSpec(3, 64, 64, ("a", "b"))), flat_share=0.02)
    whole = choose_size(usual).guidance - 1
    shares = [(choose_size(replace(usual, class_agreement=a)).guidance - 1) / whole for a in (-0.1, 0.5, 0.75, 1.0)]
    assert shares == pytest.approx([1, 1, 0.5, 0.25], abs=0.01)
    drawn = [choose_size(at(planned=70_000)), choose_size(replace(at(planned=70_000), class_agreement=0.9))]
    assert drawn[0].guidance == drawn[1].guidance, "the rule for drawings was found on such"


def test_a_run_says_that_it_is_guided_less_and_why(tmp_path):
    shades = (
        np.random.default_rng(0).integers(0, 60, (200, 16, 16), np.uint8)
        + np.arange(200, dtype=np.uint8)[:, None, None] % 2 * 150
    )
    np.savez(tmp_path / "shades.npz", images=shades + 20, labels=np.arange(200) % 2)
    settings = {"net.width": 8, "net.depth": 1}
    run = Run.create(tmp_path / "shades.npz", settings=settings, output_dir=tmp_path / "r")
    assert run.metadata["context"]["class_agreement"] == 1
    assert "less guidance, as nearest images agree on the class: 1.00, 1 if always" in dict(facts(run))["sampling"]


def test_images_are_drawings_where_much_of_them_is_plain_paper(tmp_path):
    drawing, photograph = np.full((40, 16, 16), 255, np.uint8), np.arange(40 * 256, dtype=np.uint8).reshape(40, 16, 16)
    drawing[:, 4:8] = photograph[:, 4:8]
    for name, images, sampler in (("drawing", drawing, "dpmpp_2m"), ("photograph", photograph, "unipc_2")):
        np.save(tmp_path / f"{name}.npy", images)
        run = Run.create(str(tmp_path / f"{name}.npy"), output_dir=tmp_path / name, device="cpu")
        assert run.settings.sample.sampler == sampler and sampler in dict(facts(run))["sampling"]
        assert context_of(run.metadata).drawings is (name == "drawing")


def test_photographs_are_mirrored_where_they_are_seen_often(tmp_path):
    photograph = replace(at(spec=ImageSpec(3, 32, 32), count=300), flat_share=0.02, mirror_gap=0.01)

    def mirrored(**changes):
        return recipe("default", replace(photograph, **changes)).data.random_flip

    assert [mirrored(planned=images) for images in (20_000, 40_000)] == [False, True] and mirrored(seconds=600)
    angles = replace(photograph.spec, conditions=(Condition("angle", 0.0, 1.0, -2.0, 2.0),))
    for other in ({"flat_share": 0.5}, {"spec": angles}, {"mirror_gap": 0.04}, {"mirror_gap": None}):
        assert not mirrored(planned=40_000, **other)


def test_a_run_says_that_it_mirrors(tmp_path):
    source = tmp_path / "images.npy"
    np.save(source, np.random.default_rng(0).integers(1, 255, (40, 16, 16), np.uint8))

    def run(name, **settings):
        return Run.create(str(source), settings={"train.num_images": 4096, **settings}, output_dir=tmp_path / name)

    own, asked, requested = (
        run("own"),
        run("asked", **{"data.random_flip": False}),
        run("r", **{"data.random_flip": True}),
    )
    assert own.settings.data.random_flip and "100 times" in dict(facts(own))["mirrored"]
    assert not asked.settings.data.random_flip and "mirrored" not in dict(facts(asked))
    assert dict(facts(requested))["mirrored"] == "half of the time"
    assert run("own").settings == own.settings, "the same command again goes on"
    digits = Run.create("digits", settings={"train.num_images": 200_000}, output_dir=tmp_path / "digits")
    assert context_of(digits.metadata).mirror_gap > 0.4 and not digits.settings.data.random_flip


def test_noise_levels_of_training_are_those_that_ve_samples_at(tmp_path):
    def run(name, **settings):
        return Run.create("digits", settings={"process.kind": "ve", **settings}, output_dir=tmp_path / name).settings

    times = run("own").objective.time_sampling
    levels = TIME_DISTRIBUTIONS[times].sample(4000, VE(), torch.Generator().manual_seed(0))
    assert 0.5 < float((levels < 1).double().mean()) < 0.95, "the recipe's own times of the path are all noise there"
    assert run("asked", **{"objective.time_sampling": "uniform"}).objective.time_sampling == "uniform"


def test_a_model_without_classes_is_not_guided(tmp_path):
    settings = {"net.class_conditioning": False}
    sampling = Run.create("digits", settings=settings, output_dir=tmp_path / "run").settings.sample
    assert sampling.guidance_scale == 1 and sampling.guidance_interval is None


def test_times_of_sampling_are_those_of_the_recipes_own_process(tmp_path):
    def sampling(**settings):
        run = Run.create("digits", settings=settings, output_dir=tmp_path / str(len(list(tmp_path.iterdir()))))
        return run.settings.sample

    own, other = sampling(), sampling(**{"process.kind": "vp"})
    assert (own.grid, own.guidance_interval, own.churn) == ("few_steps", (0.3, 0.65), 3)
    assert (other.grid, other.guidance_interval, other.churn) == ("auto", None, None)
    assert other.steps > own.steps and other.guidance_scale < own.guidance_scale, "guided everywhere it is too much"
    uniform = sampling(**{"process.prior": "uniform"})
    assert uniform.churn is None and uniform.grid == own.grid, "churn is normal noise"
    asked = sampling(**{"process.kind": "vp", "sample.guidance_interval": (300.0, 800.0), "sample.steps": 7})
    assert asked.guidance_interval == (300.0, 800.0) and asked.steps == 7


def test_photographs_get_more_steps_and_few_of_them_are_guided():
    photograph = replace(at(spec=ImageSpec(1, 32, 32, ("a", "b"))), flat_share=0.02)
    drawn, seen = (recipe("default", context).sample for context in (at(), photograph))
    assert seen.steps > drawn.steps and seen.churn is None and drawn.churn
    assert seen.guidance_scale > drawn.guidance_scale
    assert [_evaluations(one) for one in (drawn, seen)] == [10, 15]
    assert _evaluations(trajectory_sampling(drawn)) == 8 and trajectory_sampling(seen) == seen
    shares = [recipe("default", context).objective.label_dropout for context in (at(), photograph)]
    assert 0 < shares[0] < shares[1], "what is drawn needs fewer images without their class"
    assert recipe("default", at(spec=ImageSpec(1, 28, 28))).sample.guidance_scale == 1
    assert recipe("default", at(spec=ImageSpec(1, 28, 28))).objective.label_dropout == 0


def _evaluations(options):
    """NFE of one image; guidance acts at the times that churn has raised."""
    denoiser = build_denoiser(recipe("default-tiny", at(1.0)), MNIST, 0.5)
    estimator, sampler, grid = build_sampling(options, denoiser)
    *_, last = sample(estimator, seeds=[0], sampler=sampler, grid=grid, label=torch.tensor([1]))
    return last.evaluations


def test_a_run_of_an_older_recipe_goes_on_by_the_same_command(tmp_path):
    settings = {"train.num_images": 640, "train.previews": 0}
    run = Run.create("digits", settings=settings, output_dir=tmp_path / "r", device="cpu")
    record = run.folder.read_record()
    record["settings"]["net"]["width"] = 20
    del record["context"]
    run.folder.config.write_text(json.dumps(record))
    again = Run.create("digits", settings=settings, output_dir=tmp_path / "r", device="cpu")
    assert again.settings.net.width == 20 and "model size" not in dict(facts(again))
    with pytest.raises(UsageError, match=r"train\.seed.*0.*1"):
        Run.create("digits", settings={**settings, "train.seed": 1}, output_dir=tmp_path / "r", device="cpu")


def test_what_cannot_be_is_refused_before_there_is_a_folder(tmp_path):
    for settings, named in (({"train.cuda_graph": "yes"}, "cuda_graph"), ({"train.budget": 180}, "budget.*180")):
        with pytest.raises(UsageError, match=named):
            Run.create("digits", settings=settings, output_dir=tmp_path / "r", device="cpu")
        assert not (tmp_path / "r").exists()


def test_a_width_of_ones_own_has_no_size(tmp_path):
    run = Run.create("digits", settings={"net.width": 20}, output_dir=tmp_path / "r")
    assert "model size" not in dict(facts(run))
