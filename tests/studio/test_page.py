"""The page in a browser, on a real run: what it shows is what the run says, and everyone can use it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from base64 import b64decode

import pytest

from fromnoise.cli import main
from fromnoise.run.folder import RunFolder

CHROMIUM = shutil.which("chromium")
AXE = "4.14.1"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
SHIFTS = """new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted = (window.shifted || 0) + one.value;
}).observe({ type: "layout-shift", buffered: true })"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """axe-core's script, as npm packs it."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    got = subprocess.run(
        ["npm", "pack", "--silent", f"axe-core@{AXE}"], cwd=folder, capture_output=True, text=True, check=False
    )
    if got.returncode:
        pytest.skip(f"npm could not fetch axe-core: {got.stderr.strip()[-200:]}")
    shutil.unpack_archive(folder / got.stdout.strip().splitlines()[-1], folder)
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser, served):
    """Opens the studio; in the end nothing was complained about, and nothing has moved."""
    opened = []

    def open_one(address="", **context):
        page = browser.new_context(**context).new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda one: page.said.append(one.url) if f":{served.port}/" not in one.url else None)
        page.add_init_script(SHIFTS)
        page.goto(address or served.address)
        opened.append(page)
        return page

    yield open_one
    for page in opened:
        page.wait_for_timeout(100)
        shifted = page.evaluate("window.shifted || 0")
        assert page.said == [] and shifted < 0.1
        page.context.close()


@pytest.fixture
def expect():
    return pytest.importorskip("playwright.sync_api").expect


def serious(page, axe):
    """What axe-core finds that keeps somebody from using the page."""
    page.evaluate(axe)
    found = page.evaluate("axe.run().then((result) => result.violations.map((v) => [v.impact, v.id, v.nodes[0].html]))")
    return [one for one in found if one[0] in ("serious", "critical")]


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


def of_run(page):
    page.get_by_role("link", name="digits-tiny").click()
    page.wait_for_selector(".chart .legend li")


def test_the_chart_reads_zooms_and_has_a_table(open_page, expect, tiny_run):
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


def test_film_events_and_report_are_those_of_the_run(open_page, expect, tiny_run):
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


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_everyone_can_use_it(open_page, axe, width, theme, locale):
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=theme, locale=locale)
    page.wait_for_selector("tbody tr")
    assert serious(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    of_run(page)
    links = page.locator("nav a").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().right)")
    assert max(links) <= width, "every view is seen without scrolling sideways"
    page.locator("details").first.locator("summary").click()
    assert serious(page, axe) == []
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


def test_the_playground_shows_what_the_command_makes(open_page, expect, axe, tmp_path, monkeypatch):
    page = open_page()
    of_run(page)
    page.get_by_role("link", name="Playground").click()
    page.wait_for_selector(".stage[data-drawn='1']", timeout=60_000)
    assert serious(page, axe) == []
    page.get_by_role("spinbutton", name="First seed").fill("7")
    page.wait_for_selector(".stage[data-drawn='2']")
    page.get_by_role("combobox", name="Class").select_option(label="3")
    page.wait_for_selector(".stage[data-drawn='3']")
    command = page.locator(".stage code").inner_text()
    shown = b64decode(page.get_attribute("#drawn", "src").partition(",")[2])
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[1:]) == 0 and (tmp_path / "samples.png").read_bytes() == shown
    page.get_by_label("Step of sampling").focus()
    page.keyboard.press("Home")
    assert b64decode(page.get_attribute("#drawn", "src").partition(",")[2]) != shown
    page.get_by_role("button", name="Interpolate").click()
    page.wait_for_selector(".stage[data-drawn='4']")
    expect(page.locator(".stage code")).to_contain_text("interpolate --seeds 7,1")
    expect(page.locator("#drawn")).to_have_attribute("alt", re.compile("0%"))


def test_runs_are_compared(open_page, expect, axe, root):
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
        assert serious(page, axe) == []
    finally:
        page.goto("about:blank")
        shutil.rmtree(other)


def test_a_run_is_renamed_deleted_and_put_back(open_page, expect, axe, root):
    shutil.copytree(root / "digits-tiny", root / "another")
    try:
        page = open_page()
        page.get_by_role("link", name="another").click()
        page.get_by_role("button", name="Rename").click()
        assert serious(page, axe) == []
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


def test_the_data_are_shown_class_by_class(open_page, expect, axe, tiny_run):
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
    assert serious(page, axe) == []


def test_a_run_is_begun_from_the_page_stopped_and_continued(open_page, expect, axe, root):
    page = open_page()
    page.get_by_role("link", name="New run").click()
    page.get_by_role("combobox", name="Images").select_option("digits")
    page.get_by_role("combobox", name="Recipe").select_option("default-tiny")
    page.get_by_role("spinbutton", name="Epochs").fill("400")
    page.get_by_role("textbox", name="Name").fill("from-the-page")
    assert serious(page, axe) == []
    page.get_by_role("button", name="Begin").click()
    try:
        expect(page.locator("#state")).to_have_text("training", timeout=60_000)
        expect(page.locator("#tile-images")).not_to_have_text("0", timeout=60_000)
        page.get_by_role("button", name="Save and stop").click()
        expect(page.locator("#state")).to_have_text("stopped", timeout=60_000)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#state")).to_have_text("training", timeout=60_000)
        page.get_by_role("button", name="Save and stop").click()
        expect(page.locator("#state")).to_have_text("stopped", timeout=60_000)
    finally:
        page.goto("about:blank")
        shutil.rmtree(root / "from-the-page", ignore_errors=True)


def test_a_run_waits_in_the_queue_and_leaves_it(open_page, expect, axe, root):
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
        assert serious(page, axe) == []
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


def test_an_image_lies_under_the_microscope(open_page, expect, axe):
    page = open_page()
    of_run(page)
    page.get_by_role("link", name="Microscope").click()
    page.wait_for_selector(".scope[data-drawn='1']", timeout=60_000)
    page.wait_for_selector(".walk[data-drawn]", timeout=60_000)
    expect(page.locator(".near figure")).to_have_count(6)
    assert serious(page, axe) == []
    page.get_by_role("slider", name="Noise").focus()
    page.keyboard.press("End")
    expect(page.locator(".scope p").first).to_contain_text("0 times the image plus 1.00 times the noise")
    page.get_by_role("combobox", name="Image").select_option("drawn")
    page.locator(".pad canvas").click()
    expect(page.locator(".scope .wrong")).to_have_count(0)
    page.get_by_label("Step", exact=True).focus()
    page.keyboard.press("End")
    expect(page.locator(".walk figcaption").first).to_have_text(re.compile("t = 0"))


def test_a_tool_is_used(open_page, expect, axe):
    page = open_page()
    of_run(page)
    page.get_by_role("link", name="Tools").click()
    expect(page.get_by_role("button", name="Draw the figures")).to_be_enabled()
    assert serious(page, axe) == []
    page.get_by_role("button", name="Draw the figures").click()
    expect(page.locator(".tool").first).to_contain_text("done", timeout=120_000)
    page.get_by_role("link", name="Report", exact=True).click()
    expect(page.get_by_role("heading", name="Samples", exact=True)).to_be_visible(timeout=60_000)
