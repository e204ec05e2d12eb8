"""The page in a browser, on a real run: what it shows is what the run says, and everyone can use it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from fromnoise.common.stored_json import signed
from fromnoise.run.folder import RunFolder


def test_the_table_shows_the_run_and_opens_it(open_page, expect, tiny_run):
    page = open_page()
    row = page.get_by_role("row", name=re.compile("digits-tiny"))
    steps = [line for line in tiny_run.folder.read_metrics() if "step" in line]
    expect(row).to_contain_text("finished")
    expect(row).to_contain_text("640")
    expect(row).to_contain_text(f"{steps[-1]['loss']:.3g}")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("digits-tiny")
    expect(page.locator("#tile-images")).to_have_text("640")
    expect(page.locator("#tile-loss")).to_have_text(f"{steps[-1]['loss']:.3g}")


def test_the_chart_reads_zooms_and_has_a_table(open_page, of_run, expect, tiny_run):
    page = open_page()
    of_run(page)
    lines = tiny_run.folder.read_metrics()
    steps = [line for line in lines if "step" in line]
    chart = page.locator(".chart").first
    page.locator("#smoothing").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    canvas = chart.locator("canvas")
    canvas.focus()
    page.keyboard.press("End")
    expect(chart.locator(".tip")).to_contain_text("640 images seen")
    expect(chart.locator(".tip")).to_contain_text(f"{steps[-1]['loss']:.3g}")
    chart.get_by_text("Data table").click()
    table = chart.get_by_role("row")
    first = page.get_by_role("rowheader", name="64", exact=True)
    expect(table.filter(has=first)).to_contain_text(f"{steps[0]['loss']:.3g}")
    assert table.count() == 1 + len(steps)
    canvas.focus()
    page.keyboard.press("+")
    expect(chart.get_by_role("button", name="Whole range")).to_be_visible()
    expect(table).not_to_have_count(1 + len(steps))
    page.keyboard.press("Escape")
    expect(table).to_have_count(1 + len(steps))


def test_film_events_and_report_are_those_of_the_run(open_page, of_run, expect, tiny_run):
    page = open_page()
    of_run(page)
    expect(page.locator(".film img")).to_have_attribute("src", re.compile("/previews/640$"))
    assert page.evaluate("document.querySelector('.film img').naturalWidth") > 0
    held = [line for line in tiny_run.folder.read_metrics() if line.get("event") == "validation"]
    expect(page.locator(".events li").first).to_contain_text(f"{held[-1]['loss']:.3g}")
    page.get_by_role("link", name="Report").click()
    expect(page.get_by_role("heading", name="What was trained")).to_be_visible(timeout=60_000)
    expect(page.locator("article")).to_contain_text(f"{tiny_run.metadata['parameters']:,} parameters")


def test_a_run_that_begins_is_watched_until_it_is_finished(open_page, expect, root):
    page = open_page()
    expect(page.get_by_role("row")).to_have_count(2)
    folder = root / "begun-later"
    small = ["--set", "net.width=8", "--set", "net.depth=1", "--set", "train.log_every=2", "--previews", "4"]
    command = [sys.executable, "-m", "fromnoise", "train", "digits", "--num_epochs", "6", "--output_dir", str(folder)]
    training = subprocess.Popen([*command, *small], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        row = page.get_by_role("row", name=re.compile("begun-later"))
        expect(row).to_contain_text("training", timeout=60_000)
        row.get_by_role("link").click()
        expect(page.locator("#state")).to_have_text("training")
        expect(page.locator("#tile-images")).not_to_have_text("0", timeout=60_000)
        expect(page.locator(".film img")).to_be_visible(timeout=60_000)
        expect(page.locator("#state")).to_have_text("finished", timeout=120_000)
        steps = [line for line in RunFolder(folder).read_metrics() if "step" in line]
        expect(page.locator("#tile-images")).to_have_text(f"{steps[-1]['images']:,}")
    finally:
        training.kill()
        training.wait()
        page.goto("about:blank")
        shutil.rmtree(folder)


def test_a_run_that_goes_while_it_is_watched_is_said_to_be_gone(open_page, expect, hinders, root, tmp_path):
    shutil.copytree(root / "digits-tiny", root / "another")
    page = open_page()
    page.get_by_role("link", name="another").click()
    page.wait_for_selector(".chart .legend li")
    (root / "another").rename(tmp_path / "another")
    expect(page.locator("#offline")).to_contain_text("removed or renamed", timeout=30_000)
    assert hinders(page) == []
    # What is asked as it goes is not found, which the browser says by itself; the curves are, once more, after 2 s.
    page.wait_for_timeout(2500)
    page.said[:] = [line for line in page.said if "status of 404" not in line]


def test_a_run_that_goes_while_the_page_is_hidden_is_not_in_the_table_afterwards(open_page, expect, root, tmp_path):
    shutil.copytree(root / "digits-tiny", root / "another")
    page = open_page()
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    expect(page.get_by_role("link", name="another")).to_be_visible()
    page.evaluate(hide, True)
    (root / "another").rename(tmp_path / "another")
    page.evaluate(hide, False)
    expect(page.get_by_role("link", name="another")).to_have_count(0, timeout=30_000)
    expect(page.get_by_role("link", name="digits-tiny")).to_be_visible()


def test_a_comparison_says_where_a_run_is_sampled_in_fewer_steps_than_its_own(open_page, expect, root):
    folder = RunFolder(root / "long")
    shutil.copytree(root / "digits-tiny", folder.path)
    try:
        record = json.loads(folder.config.read_text())
        record["settings"]["sample"]["steps"] = 300
        folder.config.write_text(json.dumps(signed({name: one for name, one in record.items() if name != "sha256"})))
        page = open_page()
        page.get_by_role("link", name="Compare").click()
        page.get_by_label("digits-tiny").check()
        page.get_by_label("long").check()
        page.wait_for_selector("[data-drawn='2']", timeout=120_000)
        expect(page.get_by_text("long is sampled in 250 steps here, and takes 300 itself.")).to_be_visible()
    finally:
        page.goto("about:blank")
        shutil.rmtree(folder.path)


def test_a_name_that_is_suggested_is_free_however_long_that_of_the_images_is(open_page, root):
    images, runs = root / ("f" * 58), []
    images.mkdir()
    for i in range(2):
        Image.new("L", (8, 8), i).save(images / f"{i}.png")
    try:
        page = open_page()
        for _ in range(2):
            page.goto(f"{page.url.partition('#')[0]}#/new")
            page.reload()
            page.get_by_label("Images").select_option(label=f"./{images.name}")
            runs.append(root / page.get_by_role("textbox", name="Name").input_value())
            assert not runs[-1].exists() and len(runs[-1].name) <= 60
            shutil.copytree(root / "digits-tiny", runs[-1])
    finally:
        page.goto("about:blank")
        for path in {images, *runs}:
            shutil.rmtree(path)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_everyone_can_use_it(open_page, of_run, hinders, width, theme, locale):
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=theme, locale=locale)
    page.wait_for_selector("tbody tr")
    assert hinders(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    of_run(page)
    links = page.locator("nav a").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().right)")
    assert max(links) <= width, "every view is seen without scrolling sideways"
    page.locator("details").first.locator("summary").click()
    assert hinders(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_language_and_colours_are_kept(open_page, expect):
    page = open_page(locale="en-US", color_scheme="light")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("训练列表")
    page.get_by_role("button", name="深色").click()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("训练列表")
    assert page.evaluate(ground) == dark and page.evaluate("document.documentElement.lang") == "zh-CN"


def test_the_table_is_sorted_by_keys(open_page, expect):
    page = open_page()
    page.get_by_role("button", name="Loss", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name=re.compile("^Loss"))).to_have_attribute("aria-sort", "descending")
    assert page.evaluate("document.activeElement.textContent").startswith("Loss")


def test_no_run_yet_and_no_such_run(browser, serving_on, tmp_path, expect):
    with serving_on(tmp_path) as served:
        page = browser.new_page()
        page.goto(served.address)
        expect(page.get_by_text("fromnoise train digits")).to_be_visible()
        page.goto(f"http://127.0.0.1:{served.port}/#/run/0123456789abcdef")
        expect(page.get_by_role("alert")).to_be_visible()
        page.goto(f"http://127.0.0.1:{served.port}/#/nothing")
        expect(page.get_by_role("heading", level=1)).to_have_text("There is no such view")
        page.close()
