"""The views of the page in a browser: the main action of each, and what it shows beside what the run says."""

from __future__ import annotations

import io
import re
import shutil
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from fromnoise.editing.editor import Editor
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid
from fromnoise.run.folder import RunFolder
from fromnoise.run.status import noted


def test_the_playground_shows_what_the_command_makes(open_page, of_run, expect, hinders, by_command):
    page = open_page()
    of_run(page)
    page.get_by_role("link", name="Playground").click()
    page.wait_for_selector(".stage[data-drawn='1']", timeout=60_000)
    assert hinders(page) == []
    page.get_by_role("spinbutton", name="First seed").fill("7")
    page.wait_for_selector(".stage[data-drawn='2']")
    page.get_by_role("combobox", name="Class").select_option(label="3")
    page.wait_for_selector(".stage[data-drawn='3']")
    command = page.locator(".stage code").inner_text()
    shown = b64decode(page.get_attribute("#drawn", "src").partition(",")[2])
    assert by_command(command) == shown
    page.get_by_label("Step of sampling").focus()
    page.keyboard.press("Home")
    assert b64decode(page.get_attribute("#drawn", "src").partition(",")[2]) != shown
    page.get_by_role("button", name="Interpolate").click()
    page.wait_for_selector(".stage[data-drawn='4']")
    expect(page.locator(".stage code")).to_contain_text("interpolate --seeds 7,1")
    expect(page.locator("#drawn")).to_have_attribute("alt", re.compile("0%"))


def to_playground(page):
    page.get_by_role("link", name="Playground").click()
    page.wait_for_selector(".stage[data-drawn='1']", timeout=60_000)


def shown_in(page):
    """The PNG that is shown."""
    return b64decode(page.get_attribute("#drawn", "src").partition(",")[2])


def test_the_length_of_the_average_is_that_of_the_command(open_page, of_run, expect, by_command):
    page = open_page()
    of_run(page)
    to_playground(page)
    averaged = shown_in(page)
    page.get_by_role("combobox", name="Weights").select_option("length")
    page.wait_for_selector(".stage[data-drawn='2']", timeout=60_000)
    page.get_by_role("slider", name="Length of the average").fill("0.05")
    page.wait_for_selector(".stage[data-drawn='3']", timeout=60_000)
    command = page.locator(".stage code").inner_text()
    assert "--weights ema:0.05" in command and by_command(command) == shown_in(page) != averaged


def linked(page, name):
    """The file behind a link, as an array."""
    content = page.get_by_role("link", name=name).get_attribute("href").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(b64decode(content))))


def place_of(canvas, x, y):
    """Where the pixel x, y of a 16x16 image lies on the page."""
    box = canvas.bounding_box()
    return box["x"] + (x + 0.5) / 16 * box["width"], box["y"] + (y + 0.5) / 16 * box["height"]


def test_what_is_painted_over_is_made_again(open_page, of_run, expect, hinders, by_command, tiny_run):
    page = open_page(viewport={"width": 1280, "height": 1200})
    of_run(page)
    to_playground(page)
    page.get_by_role("button", name="Inpaint").click()
    expect(page.locator("#said-drawn")).to_contain_text("Paint over")
    page.get_by_role("spinbutton", name="Number of the image").fill("7")
    page.get_by_role("slider", name="Steps").fill("4")
    page.get_by_role("slider", name="Size of the brush").fill("3")
    canvas, brush = page.locator("#brush"), page.locator(".brush [role=status]")
    page.mouse.move(*place_of(canvas, 4, 4))
    page.mouse.down()
    page.mouse.move(*place_of(canvas, 11, 4), steps=4)
    page.mouse.up()
    page.wait_for_selector(".stage[data-drawn='2']", timeout=60_000)
    mask = np.zeros((16, 16), np.uint8)
    mask[3:6, 3:13] = 255
    assert (linked(page, "Save the mask") == mask).all()
    command = page.locator(".stage code").inner_text()
    files = by_command(command)
    assert "--image 7 " in command and "--steps 4" in command and len(files) == 4
    images = np.stack([np.asarray(Image.open(io.BytesIO(file)))[..., None] for file in files])
    assert png_bytes(grid(images)) == shown_in(page)
    model = tiny_run.model(steps=4)
    made = Editor(model, lambda: tiny_run.data, requested={"steps": 4}).inpaint(7, mask == 255, seeds=range(4))
    assert (made.images == images).all()
    assert page.locator(".given figcaption").all_inner_texts() == ["The image", "What is kept of it"]
    assert hinders(page) == []
    canvas.focus()
    page.keyboard.press("Control+z")
    expect(brush).to_have_text("0 of 256 pixels painted")
    page.get_by_role("slider", name="Size of the brush").fill("1")
    canvas.focus()
    for key in ("ArrowUp", " ", "ArrowLeft", "ArrowLeft", " "):
        page.keyboard.press(key)
    page.wait_for_selector(".stage[data-drawn='3']", timeout=60_000)
    mask[:] = 0
    mask[7, 6:9] = 255
    assert (linked(page, "Save the mask") == mask).all()
    page.get_by_role("button", name="Erase").click()
    canvas.click(
        position={"x": canvas.bounding_box()["width"] * 6.5 / 16, "y": canvas.bounding_box()["height"] * 7.5 / 16}
    )
    page.wait_for_selector(".stage[data-drawn='4']", timeout=60_000)
    expect(brush).to_have_text("2 of 256 pixels painted")
    page.get_by_role("button", name="Clear").locator("visible=true").click()
    expect(brush).to_have_text("0 of 256 pixels painted")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_selector(".stage[data-drawn='5']", timeout=60_000)
    expect(brush).to_have_text("2 of 256 pixels painted")


def drop(page, target, name, content):
    """A file, dropped there."""
    make = """([name, content]) => {
        const held = new DataTransfer();
        held.items.add(new File([Uint8Array.from(content)], name));
        return held;
    }"""
    held = page.evaluate_handle(make, [name, list(content)])
    page.dispatch_event(target, "drop", {"dataTransfer": held})


def test_a_dropped_image_is_painted_with_a_finger(open_page, of_run, expect, hinders, by_command, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "mine.png").read_bytes()[:100])
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True)
    of_run(page)
    to_playground(page)
    page.get_by_role("button", name="Inpaint").click()
    expect(page.locator("#said-drawn")).to_contain_text("Paint over")
    drop(page, "#brush", "broken.png", (tmp_path / "broken.png").read_bytes())
    expect(page.locator(".pad [role=status]")).to_be_visible()
    expect(page.locator(".pad [role=status]")).to_contain_text("cannot be used")
    page.said.clear()  # browsers log what is refused
    page.get_by_label("An image file", exact=True).set_input_files(tmp_path / "mine.png")
    expect(page.locator(".pad [role=status]")).to_have_text("")
    canvas = page.locator("#brush")
    canvas.scroll_into_view_if_needed()
    page.touchscreen.tap(*place_of(canvas, 8, 8))
    page.wait_for_selector(".stage[data-drawn='2']", timeout=60_000)
    assert (linked(page, "Save the image") == pixels).all() and linked(page, "Save the mask")[8, 8] == 255
    files = by_command(page.locator(".stage code").inner_text())
    images = np.stack([np.asarray(Image.open(io.BytesIO(file)))[..., None] for file in files])
    assert png_bytes(grid(images)) == shown_in(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and hinders(page) == []


def test_runs_are_compared(open_page, expect, hinders, root):
    other = root / "another"
    shutil.copytree(root / "digits-tiny", other)
    try:
        page = open_page()
        page.get_by_role("link", name="Compare").click()
        page.get_by_label("digits-tiny").check()
        page.get_by_label("another").check()
        page.wait_for_selector("[data-drawn='2']", timeout=60_000)
        expect(page.get_by_text("All settings are the same.")).to_be_visible()
        expect(page.locator(".chart .legend").first.get_by_role("listitem")).to_have_text(["digits-tiny", "another"])
        images = page.locator(".between img").evaluate_all("(all) => all.map((one) => one.src)")
        assert images[0] == images[1] and images[0].startswith("data:image/png")
        page.get_by_label("Where one image ends").focus()
        page.keyboard.press("End")
        assert page.locator(".between img").nth(1).evaluate("(one) => one.style.clipPath") == "inset(0px 0% 0px 0px)"
        assert hinders(page) == []
    finally:
        page.goto("about:blank")
        shutil.rmtree(other)


def test_a_run_is_renamed_deleted_and_put_back(open_page, expect, hinders, root):
    shutil.copytree(root / "digits-tiny", root / "another")
    try:
        page = open_page()
        page.get_by_role("link", name="another").click()
        page.get_by_role("button", name="Rename").click()
        assert hinders(page) == []
        page.get_by_role("textbox", name="A new name").fill("digits-tiny")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("already")
        page.said.clear()  # browsers log what is refused
        page.get_by_role("textbox", name="A new name").fill("renamed")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("renamed")
        page.get_by_role("button", name="Delete").click()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert (root / "renamed").is_dir()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("row")).to_have_count(2)
        assert not (root / "renamed").exists()
        page.get_by_role("button", name="Put back").click()
        expect(page.get_by_role("row", name=re.compile("renamed"))).to_be_visible()
        assert (root / "renamed" / "config.json").is_file()
    finally:
        page.goto("about:blank")
        for name in ("another", "renamed", ".trash"):
            shutil.rmtree(root / name, ignore_errors=True)


def test_the_data_are_shown_class_by_class(open_page, of_run, expect, hinders, tiny_run):
    page = open_page()
    of_run(page)
    page.get_by_role("link", name="Data", exact=True).click()
    image = page.locator(".browser img")
    expect(image).to_be_visible(timeout=60_000)
    expect(page.locator(".facts")).to_contain_text(f"{len(tiny_run.held_out)}")
    page.get_by_role("combobox", name="Class").select_option(label="3")
    expect(image).to_have_attribute("alt", re.compile("class 3"))
    page.get_by_role("button", name="On").click()
    expect(image).to_have_attribute("src", re.compile("page=1&label=3"))
    image.evaluate("(one) => one.decode()")
    assert hinders(page) == []


def test_classes_are_chosen_in_the_order_of_their_labels(browser, serving_on, tmp_path, expect):
    """Keys of an object that are numbers would come first."""
    from fromnoise.run import Run

    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez(tmp_path / "signs.npz", images=pixels, labels=np.array(["-1", "1"])[np.arange(40) % 2])
    settings = {"net.width": 8, "net.depth": 1, "train.train_batch_size": 8}
    run = Run.create(tmp_path / "signs.npz", output_dir=tmp_path / "runs" / "run", settings=settings)
    with serving_on(run.path.parent) as served:
        page = browser.new_page()
        page.goto(served.address)
        page.get_by_role("link", name="run", exact=True).click()
        page.get_by_role("link", name="Data", exact=True).click()
        choice = page.get_by_role("combobox", name="Class")
        expect(choice.locator("option")).to_have_text(["all", "-1", "1"], timeout=60_000)
        choice.select_option(label="1")
        expect(page.locator(".browser img")).to_have_attribute("src", re.compile("label=1$"))
        page.close()


def test_the_data_are_described_in_chinese(browser, serving_on, tmp_path, expect):
    from fromnoise.run import Run

    (tmp_path / "images").mkdir()
    for number in range(41):
        size = (12, 10) if number % 2 else (9, 9)
        image = Image.fromarray(np.random.default_rng(number // 2).integers(0, 256, size, np.uint8))
        image.save(tmp_path / "images" / f"{number}.png")
    Image.new("CMYK", (9, 9)).save(tmp_path / "images" / "print.jpg")
    Run.create(tmp_path / "images", output_dir=tmp_path / "runs" / "run", settings={"net.width": 8, "net.depth": 1})
    with serving_on(tmp_path / "runs") as served:
        page = browser.new_context(locale="zh-CN").new_page()
        page.goto(served.address)
        page.get_by_role("link", name="run", exact=True).click()
        page.get_by_role("link", name="数据", exact=True).click()
        card = page.locator(".card").filter(has=page.locator(".facts"))
        for text in (
            "训练 (42)",
            "所有图像都是灰度，存储为 RGB",
            "从 42 张图像中按固定种子留出 4 张",
            "尺寸不一（9x9 到 12x10）",
            "1 张 CMYK 图像转为 RGB",
        ):
            expect(card).to_contain_text(text, timeout=60_000)
        assert card.locator("[lang=en]").count() == 0
        page.get_by_role("link", name="新训练").click()
        expect(page.get_by_text("1,797 个手写数字")).to_be_visible()
        page.get_by_role("combobox", name="图像").select_option(label=str(tmp_path / "images"))
        page.get_by_role("button", name="估计").click()
        for text in ("用时", "从 42 张图像中按固定种子留出 4 张", "1 张 CMYK 图像转为 RGB"):
            expect(card).to_contain_text(text, timeout=60_000)
        assert card.locator("[lang=en]").count() == 0
        page.context.close()


def test_a_run_is_begun_from_the_page_stopped_and_continued(open_page, expect, hinders, root):
    page = open_page()
    page.get_by_role("link", name="New run").click()
    page.get_by_role("combobox", name="Images").select_option("digits")
    page.get_by_role("combobox", name="Recipe").select_option("default-tiny")
    page.get_by_role("spinbutton", name="Epochs").fill("400")
    page.get_by_role("textbox", name="Name").fill("from-the-page")
    assert hinders(page) == []
    page.get_by_role("button", name="Begin").click()
    try:
        expect(page.locator("#state")).to_have_text("training", timeout=60_000)
        expect(page.locator("#tile-images")).not_to_have_text("0", timeout=60_000)
        page.get_by_role("button", name="Save and stop").click()
        expect(page.locator("#state")).to_have_text("stopped", timeout=60_000)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#state")).to_have_text("training", timeout=60_000)
        page.get_by_role("link", name="Tools").click()  # every tab says how the run stands
        page.get_by_role("button", name="Save and stop").click()
        expect(page.locator("#state")).to_have_text("stopped", timeout=60_000)
    finally:
        page.goto("about:blank")
        shutil.rmtree(root / "from-the-page", ignore_errors=True)


def test_a_run_without_a_checkpoint_is_not_said_to_go_on(browser, serving_on, root, tmp_path, expect):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ZeroDivisionError), folder.locked(), noted(folder):
        1 / 0  # noqa: B018
    with serving_on(tmp_path) as served:
        page = browser.new_page()
        for there in (True, False):
            if not there:
                shutil.rmtree(folder.checkpoints)
            page.goto(served.address)
            page.get_by_role("link", name="run", exact=True).click()
            expect(page.locator("#note")).to_contain_text("ZeroDivisionError", timeout=60_000)
            expect(page.locator("#note code")).to_have_count(int(there))
        page.close()


def test_a_run_waits_in_the_queue_and_leaves_it(open_page, expect, hinders, root):
    page = open_page()
    page.get_by_role("link", name="New run").click()
    page.get_by_role("combobox", name="Recipe").select_option("default-tiny")
    page.get_by_role("spinbutton", name="Epochs").fill("400")
    queue = page.get_by_role("region", name="Queue")
    try:
        for name in ("first", "second"):
            page.get_by_role("textbox", name="Name").fill(name)
            page.get_by_role("button", name="Add to the queue").click()
            expect(page.get_by_text(f"{name} waits")).to_be_visible()
        expect(queue.get_by_role("listitem")).to_contain_text(["second"])
        assert hinders(page) == []
        queue.get_by_role("button", name="Take out").click()
        expect(queue.get_by_role("listitem")).to_have_count(0)
        page.get_by_role("link", name="Runs").click()
        page.get_by_role("link", name="first").click(timeout=60_000)
        expect(page.locator("#state")).to_have_text("training", timeout=60_000)
        page.get_by_role("button", name="Save and stop").click()
        expect(page.locator("#state")).to_have_text("stopped", timeout=60_000)
    finally:
        page.goto("about:blank")
        shutil.rmtree(root / "first", ignore_errors=True)


def test_an_image_lies_under_the_microscope(open_page, of_run, expect, hinders):
    page = open_page()
    of_run(page)
    page.get_by_role("link", name="Microscope").click()
    page.wait_for_selector(".scope[data-drawn='1']", timeout=60_000)
    page.wait_for_selector(".walk[data-drawn]", timeout=60_000)
    expect(page.locator(".near figure")).to_have_count(6)
    assert hinders(page) == []
    page.get_by_role("slider", name="Noise").focus()
    page.keyboard.press("End")
    expect(page.locator(".scope p").first).to_contain_text("0 times the image plus 1.00 times the noise")
    page.get_by_role("combobox", name="Image").select_option("drawn")
    page.locator(".pad canvas").click()
    expect(page.locator(".scope .wrong")).to_have_count(0)
    page.get_by_label("Step", exact=True).focus()
    page.keyboard.press("End")
    expect(page.locator(".walk figcaption").first).to_have_text(re.compile("t = 0"))


def test_another_image_is_one_of_those_to_choose_from(open_page, of_run, expect, tiny_run):
    page = open_page()
    of_run(page)
    page.evaluate("Math.random = () => 0.999")
    page.get_by_role("link", name="Microscope").click()
    page.wait_for_selector(".scope[data-drawn='1']", timeout=60_000)
    number = page.get_by_role("spinbutton", name="Number")
    for drawn, source in ((2, tiny_run.data), (4, tiny_run.held_out)):
        if source is tiny_run.held_out:
            page.get_by_role("combobox", name="Image").select_option("validation")
            page.wait_for_selector(".scope[data-drawn='3']", timeout=60_000)
            expect(number).to_have_value("0")
        page.get_by_role("button", name="Another").click()
        page.wait_for_selector(f".scope[data-drawn='{drawn}']", timeout=60_000)
        expect(number).to_have_value(str(int(0.999 * len(source))))


def test_a_tool_is_used(open_page, of_run, expect, hinders):
    page = open_page()
    of_run(page)
    page.get_by_role("link", name="Tools").click()
    expect(page.get_by_role("button", name="Draw the figures")).to_be_enabled()
    assert hinders(page) == []
    page.get_by_role("button", name="Draw the figures").click()
    expect(page.locator(".tool").first).to_contain_text("done", timeout=120_000)
    page.get_by_role("link", name="Report", exact=True).click()
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible(timeout=60_000)
