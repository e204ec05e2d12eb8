"""The page in a browser: from a file, without a network, it makes the images that torch makes for the same noise."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.export import html_file as module
from fromnoise.export.html_file import corruption_table, html_file
from fromnoise.export.runtime import VERSION, Runtime, web_runtime
from fromnoise.export.shared_noise import hashed, shared_noise

pytest.importorskip("onnxruntime")
CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
NOTHING = Runtime(b"", b"")


GUIDED = {
    "objective.prediction": "edm",
    "sample.sampler": "unipc_2",
    "sample.guidance_scale": 2.0,
    "sample.guidance_interval": (0.2, 0.8),
}


def test_shared_noise_is_normal_uniform_and_its_seeds_own():
    many = shared_noise(3, 200_000)
    assert abs(many.mean()) < 0.01 and abs(many.std() - 1) < 0.01 and abs((many**3).mean()) < 0.03
    flat = shared_noise(3, 200_000, "uniform")
    assert flat.min() > 0 and flat.max() <= 1 and abs(flat.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(many, shared_noise(4, 200_000))[0, 1]) < 0.01
    assert (shared_noise(3, 10) == many[:10]).all()


def test_the_hash_is_lowbias32():
    def by_hand(n):
        n = (n ^ (n >> 16)) * 0x21F0AAAD % 2**32
        n = (n ^ (n >> 15)) * 0x735A2D97 % 2**32
        return n ^ (n >> 15)

    numbers = [0, 1, 2, 12345, 2**31, 2**32 - 1]
    assert hashed(numbers).tolist() == [by_hand(n) for n in numbers]


def test_corruption_runs_from_the_image_to_noise(made):
    rows = corruption_table(made(ImageSpec(1, 8, 8)))
    assert (rows[0]["t"], rows[-1]["sigma"]) == (0.001, 1.0) and rows[0]["alpha"] == pytest.approx(0.999)


def test_a_large_network_is_stored_in_half(made, monkeypatch):
    model = made(ImageSpec(1, 8, 8), **{"net.width": 32})
    whole = html_file(model, "whole", NOTHING)
    monkeypatch.setattr(module, "MOST_BYTES", len(whole.content) - 1000)
    half = html_file(model, "half", NOTHING)
    assert (whole.half, half.half) == (False, True) and len(half.content) < 0.8 * len(whole.content)
    assert half.difference < 1e-3


def test_a_page_that_differs_is_refused(made, monkeypatch):
    monkeypatch.setattr(module, "run_onnx", lambda _, inputs: 7 * np.ones_like(inputs["x"]))
    with pytest.raises(CheckpointError):
        html_file(made(ImageSpec(1, 8, 8)), "page", NOTHING)


def test_a_title_is_text_and_not_markup(made):
    page = html_file(made(ImageSpec(1, 8, 8)), "<img src=x onerror=alert(1)>", NOTHING).content.decode()
    assert "<img" not in page.split("<script", 1)[0]


def test_dynamic_thresholding_is_refused(made):
    with pytest.raises(UsageError, match="threshold"):
        html_file(made(ImageSpec(1, 8, 8), **{"sample.threshold": 0.9}), "page", NOTHING)


def test_a_runtime_that_is_none_is_refused(tmp_path):
    (tmp_path / "some.tgz").write_bytes(b"no archive")
    for place in (tmp_path, tmp_path / "some.tgz", tmp_path / "missing"):
        with pytest.raises(UsageError, match=VERSION):
            web_runtime(place)


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """onnxruntime-web as npm packs it."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    got = subprocess.run(
        ["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if got.returncode:
        pytest.skip(f"npm could not fetch onnxruntime-web: {got.stderr.strip()[-200:]}")
    return folder / got.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


def opened(browser, path, **context):
    """(page, what its console said) after the first image."""
    page = browser.new_context(offline=True, **context).new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]", timeout=60_000)
    return page, said


SHOWN = """async ([seed, label, steps, scale]) => {
  const studio = await globalThis.fromnoise;
  let last;
  for await (const frame of studio.model.sample({ seed, label, steps, scale })) last = frame;
  return [Array.from(last.x), Array.from(studio.model.noise(seed))];
}"""


@pytest.mark.parametrize(
    "spec, changes",
    [
        (ImageSpec(1, 9, 12, ("cat", "dog")), GUIDED),
        (ImageSpec(3, 8, 8), {"sample.sampler": "ddpm", "sample.clip": True}),
        (ImageSpec(1, 8, 8), {"net.kind": "basic_unet", "process.prior": "uniform", "process.low": 0.0}),
    ],
)
def test_the_browser_makes_the_models_images(spec, changes, made, package, browser, tmp_path):
    model = made(spec, **changes)
    path = tmp_path / "page.html"
    file = html_file(model, "A page", web_runtime(package))
    path.write_bytes(file.content)
    assert len(file.content) <= module.MOST_BYTES
    page, said = opened(browser, path)
    seeds, labels = range(3), torch.tensor([0, 1, 1]) if spec.classes else None
    expected = module._samples(model, model.denoiser.net, seeds, labels)
    for seed in seeds:
        label = None if labels is None else int(labels[seed])
        x, noise = page.evaluate(SHOWN, [seed, label, 3, model.sampling.guidance_scale])
        np.testing.assert_allclose(noise, shared_noise(seed, len(noise), page_prior(model)), atol=1e-6)
        images = (torch.tensor(x).reshape(spec.shape) - model.spec.low) / (model.spec.high - model.spec.low)
        assert float((images.clamp(0, 1) - expected[seed]).abs().max()) * 255 < 2
    assert said == []


def page_prior(model):
    return type(model.process.prior).__name__.lower()


def test_controls_languages_and_colours_work_by_keyboard_and_mouse(made, package, browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(
        html_file(made(ImageSpec(1, 8, 8, ("cat", "dog")), **GUIDED), "Pets", web_runtime(package)).content
    )
    expect = pytest.importorskip("playwright.sync_api").expect
    page, said = opened(browser, path, viewport={"width": 390, "height": 800}, color_scheme="dark")
    assert page.title() == "Pets" and page.get_attribute("html", "data-theme") == "dark"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first = page.get_attribute("#x", "aria-label")
    assert "cat" in first and "0" in first
    page.get_by_role("button", name="dog").click()
    expect(page.locator("#x")).to_have_attribute("aria-label", re.compile("dog"))
    page.get_by_label("Steps").focus()
    page.keyboard.press("End")
    expect(page.locator("#film-value")).to_have_text("30 / 30", timeout=30_000)
    page.get_by_role("button", name="Draw 16 more").click()
    expect(page.locator("#gallery canvas")).to_have_count(16, timeout=30_000)
    before = page.locator("#noisy").screenshot()
    page.get_by_label("Amount of noise").focus()
    page.keyboard.press("End")
    expect(page.locator("#amount-value")).to_have_text("1.0")
    assert page.locator("#noisy").screenshot() != before
    page.get_by_role("button", name="中文").click()
    assert page.get_attribute("html", "lang") == "zh-CN" and page.locator("h2").first.inner_text() == "从噪声到图像"
    assert said == []


def test_the_verb_writes_a_page(run, package, tmp_path, capsys):
    out = tmp_path / "digits.html"
    assert main(["export", str(run), "--to", "html", str(out), "--runtime", str(package)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    text = out.read_text()
    assert str(tmp_path) not in text and "http" not in text.replace("http-equiv", "").split("<script", 1)[0]
    assert main(["export", str(run), "--to", "html", str(tmp_path / "page.txt"), "--runtime", str(package)]) == 2
    assert main(["export", str(run), "--to", "html", str(out), "--runtime", str(tmp_path / "nothing")]) == 2
