"""The page in a browser: from a file, without a network, it makes the images that torch makes for the same noise."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion import editing as edits
from fromnoise.diffusion.process import Normal, Uniform
from fromnoise.diffusion.samplers import loop
from fromnoise.editing.editor import Editor
from fromnoise.export import html_file as module
from fromnoise.export.html_file import edit_steps, html_file
from fromnoise.export.runtime import web_runtime
from fromnoise.export.shared_noise import STREAMS, shared_noise

pytest.importorskip("onnxruntime")
GUIDED = {
    "objective.prediction": "edm",
    "sample.sampler": "unipc_2",
    "sample.guidance_scale": 2.0,
    "sample.guidance_interval": (0.2, 0.8),
}
MODELS = {
    "guided": (ImageSpec(1, 9, 12, ("cat", "dog")), GUIDED),
    "fresh-noise": (ImageSpec(3, 8, 8), {"sample.sampler": "ddpm", "sample.clip": True}),
    "uniform": (ImageSpec(1, 8, 8), {"net.kind": "basic_unet", "process.prior": "uniform", "process.low": 0.0}),
    "ve": (ImageSpec(1, 8, 8), {"process.kind": "ve", "objective.prediction": "edm", "sample.sampler": "unipc_2"}),
}


@pytest.fixture(scope="module")
def page_of(made, package, tmp_path_factory):
    """page_of(case): the model of that name, and its page; each is made once."""
    pages = {}

    def page(case):
        if case not in pages:
            spec, changes = MODELS[case]
            model, path = made(spec, **changes), tmp_path_factory.mktemp("pages") / f"{case}.html"
            file = html_file(model, "A page", web_runtime(package))
            assert len(file.content) <= module.MOST_BYTES
            path.write_bytes(file.content)
            pages[case] = model, path
        return pages[case]

    return page


@pytest.fixture
def expect():
    return pytest.importorskip("playwright.sync_api").expect


SAMPLE = """async ([seed, label, steps, scale]) => {
  const studio = await globalThis.fromnoise;
  let last;
  for await (const frame of studio.model.sample({ seed, label, steps, scale })) last = frame;
  return [Array.from(last.x), Array.from(studio.model.noise(seed))];
}"""
INPAINT = """async ([known, open, wish]) => {
  const studio = await globalThis.fromnoise;
  let last;
  for await (last of studio.model.inpaint({ known: Float32Array.from(known), open, ...wish }));
  return Array.from(last.x);
}"""
DRAWING = """async () => {
  const { drawing } = (await globalThis.fromnoise).completion;
  const shown = document.getElementById("completed"), { width, height } = shown;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(shown, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  return [Array.from(drawing.open), Array.from(drawing.values), Array.from(data).filter((_, i) => i % 4 === 0)];
}"""


def greys(model, x):
    """What the page draws of x, in grey levels."""
    spec = model.spec
    return 255 * ((torch.tensor(x).reshape(spec.shape) - spec.low) / (spec.high - spec.low)).clamp(0, 1)


@pytest.mark.parametrize("case", MODELS)
def test_the_browser_makes_the_models_images(case, page_of, opened):
    model, path = page_of(case)
    page, said = opened(path)
    seeds, labels = range(3), torch.tensor([0, 1, 1]) if model.spec.classes else None
    expected = module._samples(model, model.denoiser.net, seeds, labels)
    for seed in seeds:
        label = None if labels is None else int(labels[seed])
        x, noise = page.evaluate(SAMPLE, [seed, label, 3, model.sampling.guidance_scale])
        np.testing.assert_allclose(noise, shared_noise(seed, len(noise), prior_of(model)), atol=1e-6)
        assert float((greys(model, x) - 255 * expected[seed]).abs().max()) < 2
    assert said == []


def test_noise_of_many_times_the_image_is_shown_with_its_contrast(page_of, opened):
    page, _ = opened(page_of("ve")[1])
    sizes = page.evaluate("""async () => {
      const studio = await globalThis.fromnoise;
      return studio.frames.map((frame) => [frame.t, frame.size]);
    }""")
    assert [size for _, size in sizes] == pytest.approx([float(np.hypot(1, t)) for t, _ in sizes])
    assert sizes[0][1] > 2 and sizes[-1] == [0, 1]


def prior_of(model):
    return type(model.process.prior).__name__.lower()


@pytest.fixture
def with_the_pages_noise(monkeypatch):
    """Inpainting in this process draws the page's noise: stream 0 at the start, then three of them each pass."""
    passes = []
    kinds = {"fresh noise": 0, "noise of what is known": 1, "back up": 2}

    def stream(purpose, *place):
        if purpose == "sample":
            return 0
        step, again, _ = place
        return 1 + 3 * (step * passes[-1] + again) + kinds[purpose]

    def draw(self, shape, key):
        _, purpose, *place = key
        noise = shared_noise(
            place[-1] + STREAMS * stream(purpose, *place), int(np.prod(shape)), type(self).__name__.lower()
        )
        return torch.from_numpy(noise).reshape(shape)

    for place in (edits, loop):
        monkeypatch.setattr(place, "generator", lambda *key: key)
    for prior in (Normal, Uniform):
        monkeypatch.setattr(prior, "sample", draw)
    return passes.append


@pytest.mark.parametrize("case, passes, label", [
    ("guided", 1, "dog"), ("guided", 3, "dog"), ("guided", 2, None), ("fresh-noise", 2, None), ("uniform", 1, None)
])  # fmt: skip
def test_the_browser_completes_as_edit_inpaint_does(case, passes, label, page_of, opened, with_the_pages_noise):
    model, path = page_of(case)
    spec, seeds = model.spec, [0, 5]
    image = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, spec.channels), dtype=np.uint8)
    mask = np.zeros((spec.height, spec.width), dtype=bool)
    mask[4:, 2:] = True
    page, said = opened(path)
    known = model.spec.encode(torch.from_numpy(image).permute(2, 0, 1)[None]).flatten().tolist()
    number = None if not spec.classes else spec.classes.index(label) if label else len(spec.classes)
    wish = {"label": number, "steps": 3, "passes": passes, "scale": model.sampling.guidance_scale}
    with_the_pages_noise(passes)
    edit = Editor(model, requested={"steps": 3}).inpaint(image, mask, seeds=seeds, resample=passes, label=label)
    for seed, expected in zip(seeds, edit.images, strict=True):
        x = page.evaluate(INPAINT, [known, mask.flatten().astype(int).tolist(), {**wish, "seed": seed}])
        made = greys(model, x).permute(1, 2, 0).numpy()
        assert np.abs(made - expected.astype(float)).max() < 2
        assert (made.round()[~mask] == image[~mask]).all() and np.abs(made[mask] - image[mask]).max() > 20
    assert said == []


def test_edits_take_at_least_twenty_steps():
    assert (edit_steps([1, 5, 15, 20, 30], 5), edit_steps([5, 20, 50], 50), edit_steps([3], 3)) == (20, 50, 3)


def test_controls_languages_and_colours_work_by_keyboard_and_mouse(page_of, opened, expect):
    page, said = opened(page_of("guided")[1], viewport={"width": 390, "height": 800}, color_scheme="dark")
    assert page.title() == "A page" and page.get_attribute("html", "data-theme") == "dark"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first = page.get_attribute("#x", "aria-label")
    assert "cat" in first and "0" in first
    page.locator("#classes").get_by_role("button", name="dog").click()
    expect(page.locator("#x")).to_have_attribute("aria-label", re.compile("dog"))
    page.locator("#steps").focus()
    page.keyboard.press("End")
    expect(page.locator("#film-value")).to_have_text("30 / 30", timeout=30_000)
    page.get_by_role("button", name="Draw 16 more").click()
    expect(page.locator("#gallery canvas[aria-label]")).to_have_count(16, timeout=30_000)
    before = page.locator("#noisy").screenshot()
    page.get_by_label("Amount of noise").focus()
    page.keyboard.press("End")
    expect(page.locator("#amount-value")).to_have_text("1.0")
    assert page.locator("#noisy").screenshot() != before
    page.get_by_role("button", name="中文").click()
    assert page.get_attribute("html", "lang") == "zh-CN" and page.locator("h2").first.inner_text() == "从噪声到图像"
    assert said == []


def test_a_time_that_is_a_place_in_a_table_is_a_whole_number(made, package, tmp_path, opened, expect):
    model = made(ImageSpec(1, 8, 8), **{"net.kind": "basic_unet", "process.kind": "vp"})
    (tmp_path / "table.html").write_bytes(html_file(model, "A page", web_runtime(package)).content)
    page, said = opened(tmp_path / "table.html")
    for key, shown in (("Home", "1.0"), ("End", "1000")):
        page.get_by_label("Amount of noise").focus()
        page.keyboard.press(key)
        expect(page.locator("#amount-value")).to_have_text(shown)
    assert said == []


def test_what_is_drawn_by_mouse_is_kept(page_of, opened, expect):
    model, path = page_of("guided")
    page, said = opened(path)
    width, kept = model.spec.width, slice(3 * model.spec.width + 2, 3 * model.spec.width + 8)
    page.locator("#clear").click()
    page.locator("#drawing").scroll_into_view_if_needed()
    box = page.locator("#drawing").bounding_box()
    across, down = box["width"] / width, box["height"] / model.spec.height
    page.locator("#brush").fill("1")
    page.locator("#ink").fill("60")
    count = page.get_attribute("html", "data-completed")
    page.mouse.move(box["x"] + 2.5 * across, box["y"] + 3.5 * down)
    page.mouse.down()
    page.mouse.move(box["x"] + 7.5 * across, box["y"] + 3.5 * down, steps=4)
    page.mouse.up()
    expect(page.locator("html")).not_to_have_attribute("data-completed", count)
    kept_pixels, _, shown = page.evaluate(DRAWING)
    assert sum(kept_pixels) == len(kept_pixels) - 6 and kept_pixels[kept] == [0] * 6
    assert shown[kept] == [153] * 6 and np.std(shown) > 10
    page.locator("#others").click()
    expect(page.locator("#completions canvas[aria-label]")).to_have_count(8, timeout=30_000)
    page.get_by_role("button", name="Wipe out").click()
    page.locator("#drawing").click(position={"x": 2.5 * across, "y": 3.5 * down})
    assert sum(page.evaluate(DRAWING)[0]) == len(kept_pixels) - 5
    page.locator("#take").click()
    expect(page.locator("#completion-state")).to_contain_text("Nothing is to be completed")
    kept_pixels, values, shown = page.evaluate(DRAWING)
    levels = (np.array(values) - model.spec.low) / (model.spec.high - model.spec.low) * 255
    assert sum(kept_pixels) == 0 and np.abs(levels.clip(0, 255) - shown).max() <= 1
    assert said == []


def test_a_drawing_can_be_made_by_keyboard(page_of, opened, expect):
    model, path = page_of("guided")
    page, said = opened(path)
    page.locator("#clear").click()
    page.locator("#drawing").focus()
    for key in ("ArrowUp", "Space", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    state = page.locator("#completion-state")
    expect(state).to_have_text("Row 4, column 9, kept; brush down.")
    page.keyboard.press("Escape")
    expect(state).to_have_text(re.compile("Completed"))
    opens = np.array(page.evaluate(DRAWING)[0]).reshape(model.spec.height, model.spec.width)
    assert (opens[3, 6:9] == 0).all() and opens.sum() == opens.size - 3
    assert said == []


@pytest.mark.parametrize("case", ["guided", "fresh-noise"])
def test_a_picture_is_opened_and_scaled_to_cover(case, page_of, opened, expect, tmp_path):
    model, path = page_of(case)
    page, said = opened(path)
    picture = Image.new("RGB", (6 * model.spec.width, 2 * model.spec.height), (200, 40, 90))
    picture.paste((0, 0, 0), (0, 0, model.spec.width, 2 * model.spec.height))  # beside what the crop keeps
    picture.save(tmp_path / "some.png")
    page.set_input_files("#picture", tmp_path / "some.png")
    expect(page.locator("#completion-state")).to_have_text(re.compile("wipe a part"))
    opens, values, _ = page.evaluate(DRAWING)
    levels = [200, 40, 90] if model.spec.channels == 3 else [0.299 * 200 + 0.587 * 40 + 0.114 * 90]
    assert not any(opens)
    assert np.abs(greys(model, values).numpy() - np.array(levels)[:, None, None]).max() < 2
    (tmp_path / "text.png").write_text("no picture")
    page.set_input_files("#picture", tmp_path / "text.png")
    expect(page.locator("#completion-state")).to_have_text(re.compile(r"text\.png"))
    assert said == []


# -- for everyone -----------------------------------------------------------------------------------------------------

SHIFTS = """window.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((one) => window.shifts.push(one.value)))
  .observe({ type: "layout-shift", buffered: true });"""
FOCUS = """() => {
  const { activeElement: on } = document, { outlineStyle, outlineWidth } = getComputedStyle(on);
  return [on.id || on.textContent, outlineStyle, parseFloat(outlineWidth)];
}"""


@pytest.mark.parametrize("case", ["guided", "fresh-noise"])
def test_axe_finds_nothing_in_any_language_and_theme(case, page_of, opened, axe, expect):
    page, said = opened(page_of(case)[1], axe, reduced_motion="reduce")
    page.locator("#more").click()
    page.locator("#others").click()
    expect(page.locator("#completions canvas[aria-label]")).to_have_count(8, timeout=30_000)
    expect(page.locator("#gallery canvas[aria-label]")).to_have_count(16, timeout=30_000)
    for switch in ("#theme", "#language", "#theme"):
        found = page.evaluate("() => axe.run()")
        named = [(one["id"], one["impact"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
        assert named == [] and len(found["passes"]) > 20
        page.locator(switch).click()
    assert said == []


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(page_of, opened):
    page, _ = opened(page_of("guided")[1])
    controls = page.locator("button:visible, input:visible, canvas[tabindex]")
    names = controls.evaluate_all("all => all.map((one) => one.id || one.textContent)")
    reached = []
    for _ in names:
        page.keyboard.press("Tab")
        name, style, width = page.evaluate(FOCUS)
        assert style == "solid" and width >= 2, name
        reached.append(name)
    assert reached == names and {"drawing", "brush", "take", "passes", "others"} <= set(names)


def test_a_live_region_says_what_is_computed_and_when_it_is_there(page_of, opened, expect):
    page, _ = opened(page_of("guided")[1])
    page.evaluate("""() => {
      window.heard = [];
      const regions = [...document.querySelectorAll("[role=status]")];
      const hear = new MutationObserver(() => window.heard.push(...regions.map((one) => one.textContent)));
      regions.forEach((one) => hear.observe(one, { childList: true }));
    }""")
    page.locator("#another").click()
    page.locator("#passes").press("ArrowRight")
    expect(page.locator("#status")).to_have_text(re.compile("Drawn"))
    expect(page.locator("#completion-state")).to_have_text(re.compile("Completed"))
    heard = page.evaluate("() => window.heard")
    assert {"Drawing …", "Completing …"} < set(heard)


def test_nothing_moves_while_images_come(page_of, opened, expect):
    page, _ = opened(page_of("guided")[1], SHIFTS, viewport={"width": 1000, "height": 900})
    page.locator("#others").click()
    expect(page.locator("#completions canvas[aria-label]")).to_have_count(8, timeout=30_000)
    page.wait_for_timeout(100)
    assert sum(page.evaluate("() => window.shifts")) < 0.02  # the others' places appear at the click


COUNTED = """window.drawn = 0;
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...all) {
  if (this.canvas.id === "completed") window.drawn++;
  return put.apply(this, all);
};"""


@pytest.mark.parametrize("motion, most", [("reduce", 1), ("no-preference", 21)])
def test_who_wants_less_motion_sees_the_end_alone(motion, most, page_of, opened):
    page, _ = opened(page_of("guided")[1], COUNTED, reduced_motion=motion)
    assert page.evaluate("() => window.drawn") == most
    moving = page.locator("#more").evaluate("one => getComputedStyle(one).transitionDuration")
    assert (moving == "0s") == (motion == "reduce")


def test_without_javascript_the_page_says_so(page_of, browser, expect):
    page = browser.new_context(offline=True, java_script_enabled=False).new_page()
    page.goto(page_of("guided")[1].as_uri())
    expect(page.locator("header noscript")).to_be_visible()
