"""Everyone can use every view: axe-core, in both languages and both themes; nothing is wider than a telephone."""

from __future__ import annotations

import json
import shutil

import pytest

from fromnoise.studio.index import run_id

WHOLE, FAILED = run_id("whole"), run_id("failed")
VIEWS = {  # what is there when a view is ready
    "": "tbody tr",
    "compare": ".choices input",
    f"compare/{WHOLE},{FAILED}": "[data-drawn='2']",
    "new": "form.new",
    "nothing": "main h1",
    f"run/{WHOLE}": ".chart .legend li",
    f"run/{WHOLE}/playground": ".stage[data-drawn]",
    f"run/{WHOLE}/microscope": ".walk[data-drawn]",
    f"run/{WHOLE}/data": ".browser img",
    f"run/{WHOLE}/tools": ".tool",
    f"run/{WHOLE}/report": "article section",
    f"run/{FAILED}": ".banner.wrong",
}
WIDTH = """Math.max(document.documentElement.scrollWidth,
  ...Array.from(document.querySelectorAll("nav a"), (one) => one.getBoundingClientRect().right))"""


@pytest.fixture(scope="module")
def address(root, serving_on, tmp_path_factory):
    """The address of a studio on a run that is whole, and on one that failed with long lines."""
    folder = tmp_path_factory.mktemp("a-folder-with-a-name-that-is-rather-long-" + "x" * 60)
    for name in ("whole", "failed"):
        shutil.copytree(root / "digits-tiny", folder / name, ignore=shutil.ignore_patterns("edits"))
    ended = {"state": "failed", "message": "", "lines": ["Traceback " * 30, "KeyError: 3"], "began": 1, "ended": 2}
    (folder / "failed" / "session.json").write_text(json.dumps(ended))
    with serving_on(folder) as served:
        yield served.address


def painted(page):
    """Open the brush and the pad of the playground."""
    page.locator(".controls button[aria-pressed]").last.click()
    page.locator(".controls select").first.select_option("drawn")
    page.locator(".pad canvas").wait_for()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_everyone_can_use_every_view(open_page, hinders, address, locale):
    small, wide = ({"width": width, "height": 900} for width in (390, 1280))
    page, found = open_page(address, viewport=small, color_scheme="light", locale=locale), {}
    for view, ready in VIEWS.items():
        page.goto(f"{page.url.partition('#')[0]}#/{view}")
        page.wait_for_selector(ready, timeout=90_000)
        if view.endswith("playground"):
            painted(page)
        for summary in page.locator(".chart details > summary:visible").all():
            summary.click()
        width = page.evaluate(WIDTH)
        found[view] = hinders(page) + ([f"{width} pixels wide"] if width > 390 else [])
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # no colour is halfway
        page.set_viewport_size(wide)
        found[f"{view}, dark and wide"] = hinders(page)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(small)
    assert {view: what for view, what in found.items() if what} == {}
