"""Runs that are conditioned on numbers, in the studio: what is given, drawn and known is so for the command too."""

from __future__ import annotations

from base64 import b64decode, b64encode

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.run import Run

SIDE, HEADERS = 8, {"origin": "http://127.0.0.1:8420"}
PIXELS = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 1), np.uint8)
MASK = np.zeros((SIDE, SIDE), np.uint8)
MASK[:4] = 255


@pytest.fixture(scope="module", params=["classes too", "numbers only"])
def numbered(request, tmp_path_factory):
    """(a folder with a run, the run), conditioned on two numbers, with or without classes."""
    folder, random = tmp_path_factory.mktemp("numbered"), np.random.default_rng(0)
    images = random.integers(0, 256, (60, SIDE, SIDE), np.uint8)
    numbers = {name: random.normal(size=60).astype(np.float32) for name in ("slant", "-x y")}
    numbers["slant"][3] = np.nan
    labels = {"labels": np.repeat([4, 7], 30)} if request.param == "classes too" else {}
    np.savez(folder / "images.npz", images=images, **numbers, **labels)
    tiny = {"net.width": 8, "net.depth": 1, "train.num_images": 640, "train.train_batch_size": 32, "train.previews": 0}
    settings = {**tiny, "sample.steps": 3, "data.conditions": "slant,-x y"}
    return folder, Run.create(folder / "images.npz", output_dir=folder / "run", settings=settings).train()


@pytest.fixture
def ask(client_of, numbered):
    """Posts a wish to the run, or asks for the choices."""
    client = client_of(numbered[0], known=True)
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}"
    return lambda action, body=None: (
        client.get(f"{place}/{action}")
        if body is None
        else client.post(f"{place}/{action}", json=body, headers=HEADERS)
    )


@pytest.fixture
def wish(how, numbered):
    """One number given, the other left open; a class where there are some."""
    return {**how, "conditions": {"slant": 0.1}, "label": ["7"] if numbered[1].spec.classes else []}


def test_the_choices_name_the_numbers(ask, numbered):
    found, run = ask("playground").json(), numbered[1]
    shown = [(one["name"], one["least"], one["most"], one["mean"]) for one in found["conditions"]]
    assert shown == [(one.name, one.least, one.most, one.mean) for one in run.spec.conditions] and found["guided"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label": [], "conditions": {}},
        {"conditions": {"slant": 1 / 3, "-x y": -2}, "guidance_scale": 2.0},
        {"conditions": {"-x y": 1e-7}, "label": [], "guidance_scale": 0.0},
    ],
)
def test_samples_are_those_of_the_command(ask, wish, changes, by_command, numbered):
    body = {**wish, "first": 5, "num": 3, "film": False, **changes}
    answer = ask("sample", body)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert b64decode(made["image"]) == by_command(made["command"])
    other = ask("sample", {**body, "conditions": {"slant": -0.9, "-x y": 0.9}, "guidance_scale": 1.0}).json()
    assert made["image"] != other["image"], "the numbers are used"


def test_edits_are_those_of_the_command(ask, wish, by_command):
    made = {
        "interpolate": ask("interpolate", {**wish, "first": 3, "second": 9}).json(),
        "img2img": ask("vary", {**wish, "image": 7, "strength": 0.9, "first": 0, "num": 2}).json(),
    }
    for found in made.values():
        assert found["facts"]["conditions"]["slant"] == pytest.approx([0.1] * len(found["images"]))
        files = by_command(found["command"])
        assert [b64decode(image) for image in found["images"]] == files


@pytest.mark.parametrize("source", ["training", "validation"])
def test_an_inpainted_image_has_its_own_numbers_unless_others_are_given(ask, how, source, by_command, numbered):
    run, given = numbered[1], {"slant": 0.25}
    images = run.data if source == "training" else run.held_out
    number = int((~images.conditions.isnan().any(1)).nonzero()[0])
    painted = {"source": source, "number": number, "pixels": "", "mask": b64encode(MASK).decode(), "resample": 1}
    for conditions in ({}, given):
        made = ask("inpaint", {**how, **painted, "conditions": conditions, "first": 1, "num": 2}).json()
        expected = dict(zip(("slant", "-x y"), images.conditions[number].tolist())) | conditions
        assert made["facts"]["conditions"] == {name: pytest.approx([one] * 2) for name, one in expected.items()}
        assert by_command(made["command"]) == [b64decode(image) for image in made["images"]]


def test_what_an_edit_leaves_open_is_drawn_for_each_seed(numbered, tmp_path):
    run = numbered[1]
    Image.fromarray(np.zeros((run.spec.height, run.spec.width), np.uint8)).save(tmp_path / "black.png")
    editor = run.edit(steps=4)
    together = editor.img2img(tmp_path / "black.png", seeds=[0, 5], conditions={"slant": 0.1}).images
    alone = editor.img2img(tmp_path / "black.png", seeds=[5], conditions={"slant": 0.1}).images
    assert np.abs(alone[0].astype(int) - together[1]).max() <= 1


@pytest.mark.parametrize(
    "conditions",
    [{"tilt": 0.1}, {"slant": "0.1"}, {"slant": None}, {"slant": True}, {"slant": 1e31}, {"slant": 10**400}, ["slant"]],
)
def test_numbers_that_cannot_be_are_refused_with_a_sentence(ask, wish, conditions):
    answer = ask("sample", {**wish, "conditions": conditions, "first": 0, "num": 1, "film": False})
    assert answer.status_code == 400 and len(answer.json()["error"]) > 10


def test_a_run_without_numbers_takes_none(client_of, root, how):
    client = client_of(root, known=True)
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}"
    assert client.get(f"{place}/playground").json()["conditions"] == []
    body = {**how, "conditions": {"slant": 0.1}, "first": 0, "num": 1, "film": False}
    answer = client.post(f"{place}/sample", json=body, headers=HEADERS)
    assert answer.status_code == 400 and "slant" in answer.json()["error"]


def test_a_number_that_is_not_known_is_not_drawn_under_the_microscope(ask, wish, numbered):
    run, model = numbered[1], numbered[1].model()
    spec, process = model.spec, model.process
    slide = {"source": "drawn", "number": 0, "pixels": b64encode(PIXELS).decode(), "part": 0.5, "seed": 3}
    t = torch.tensor([process.t_min + 0.5 * (process.t_max - process.t_min)], dtype=torch.float64)
    x0, eps = spec.encode(torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)[None]), start_noise(process, spec.shape, [3])
    for conditions in ({}, {"slant": 0.5}):
        found = ask("look", {**wish, **slide, "conditions": conditions, "neighbours": False}).json()
        label = torch.tensor([[float(len(run.spec.classes) and 1), conditions.get("slant", torch.nan), torch.nan]])
        with torch.inference_mode():
            estimate = model.denoiser(process.corrupt(x0, eps, t), t, label)
        rms = float((estimate.x0 - x0).square().mean().sqrt()) * 255 / (spec.high - spec.low)
        assert found["errors"]["prediction"] == pytest.approx(rms)


def test_a_walk_is_that_of_the_sample(ask, wish, numbered):
    from fromnoise.figures.encode import png_bytes
    from fromnoise.model.samples import to_image

    (walk,) = ask("walk", {**wish, "seed": 5, "samplers": ["euler"]}).json()["walks"]
    label = wish["label"][0] if wish["label"] else None
    settings = {"sampler": "euler", "grid": "auto", "steps": 3, "guidance_scale": 1.0}
    sample = numbered[1].sample(seeds=[5], label=label, conditions={"slant": 0.1}, **settings)
    assert b64decode(walk["frames"][-1]["x"]) == png_bytes(to_image(sample.images[0]))


def test_a_number_is_given_on_the_page(browser, serving_on, numbered, expect, hinders, by_command):
    with serving_on(numbered[0]) as served:
        page = browser.new_page()
        page.goto(served.address)
        page.get_by_role("link", name="run", exact=True).click()
        page.get_by_role("link", name="Playground").click()
        page.wait_for_selector(".stage[data-drawn='1']", timeout=60_000)
        field = page.get_by_role("spinbutton", name="slant")
        expect(field).to_have_value("")
        field.fill("0.4")
        page.wait_for_selector(".stage[data-drawn='2']", timeout=60_000)
        command = page.locator(".stage code").inner_text()
        shown = b64decode(page.get_attribute("#drawn", "src").partition(",")[2])
        assert "--condition=slant=0.4" in command and by_command(command) == shown
        field.fill("99")
        expect(page.locator(".controls")).to_contain_text("beyond what was trained")
        page.wait_for_selector(".stage[data-drawn='3']", timeout=60_000)
        assert hinders(page) == []
        field.fill("")
        page.wait_for_selector(".stage[data-drawn='4']", timeout=60_000)
        expect(page.locator(".stage code")).not_to_contain_text("--condition")
        page.close()
