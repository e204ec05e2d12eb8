"""Which size of the default recipe is chosen for which images, device and time, and that it says why."""

import pytest

from fromnoise.errors import UsageError
from fromnoise.images import ImageSpec
from fromnoise.recipes import recipe, size_of
from fromnoise.run import Run
from fromnoise.run.reporting import facts
from fromnoise.sizes import SIZES, UP_TO, Situation, choose_size

MNIST = ImageSpec(1, 28, 28, tuple("0123456789"))


def at(seconds=None, device="cpu", count=60_000, spec=MNIST):
    return Situation(spec, count, device, seconds)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_more_time_is_for_more_channels(device):
    small, base = UP_TO["gpu" if device == "cuda" else "cpu"]
    chosen = [choose_size(at(seconds, device)) for seconds in (small, small + 1, base, base + 1)]
    assert [one.name for one in chosen] == ["small", "base", "base", "large"]
    assert all("best for" in one.why for one in chosen)
    assert [one.width for one in chosen] == sorted(one.width for one in chosen)


def test_without_a_budget_it_is_base_and_few_images_make_it_small():
    assert choose_size(at()).name == "base"
    few = choose_size(at(3600.0, count=300))
    assert few.name == "small" and "300 images" in few.why
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
    assert choose_size(at(60.0, "cuda", count=1500)).batch < 100  # an epoch would be a step otherwise


def test_a_run_says_its_size_and_goes_on_elsewhere_as_it_was_begun(tmp_path, monkeypatch):
    settings = {"train.budget": "30s"}
    run = Run.create("digits", settings=settings, output_dir=tmp_path / "r")
    said = dict(facts(run))["size"]
    assert said.startswith("small, 24 channels and 64 images a step (") and "known by heart" in said
    record = run.folder.read_record()
    assert record["device"] == "cpu"
    monkeypatch.setattr("fromnoise.run.kind_of_device", lambda name: "cuda")
    again = Run.create("digits", settings=settings, output_dir=tmp_path / "r")
    assert again.config == run.config
    assert Run.create("digits", settings=settings, output_dir=tmp_path / "new").record["device"] == "cuda"
    with pytest.raises(UsageError, match="holds another run"):
        Run.create("digits", recipe="default-large", settings=settings, output_dir=tmp_path / "r")


def test_guidance_in_an_interval_of_times_is_for_the_recipes_own_process(tmp_path):
    def interval(**settings):
        run = Run.create("digits", settings=settings, output_dir=tmp_path / str(len(list(tmp_path.iterdir()))))
        return run.config.sample.guidance_interval

    assert interval() == (0.3, 0.8)
    assert interval(**{"process.kind": "vp"}) is None
    assert interval(**{"process.kind": "vp", "sample.guidance_interval": (300.0, 800.0)}) == (300.0, 800.0)


def test_a_width_of_ones_own_has_no_size(tmp_path):
    run = Run.create("digits", settings={"net.width": 20}, output_dir=tmp_path / "r")
    assert "size" not in dict(facts(run))
