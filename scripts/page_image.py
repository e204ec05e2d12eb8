"""docs/images/page.png: the page of an export, as a browser shows it.

    python scripts/page_image.py PAGE.html docs/images/page.png

PAGE.html is written by `fromnoise export RUN --to html`. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from playwright.sync_api import ViewportSize, expect, sync_playwright

SIZE: ViewportSize = {"width": 1000, "height": 1045}
STROKE = ((0.30, 0.33), (0.42, 0.2), (0.6, 0.2), (0.7, 0.33), (0.64, 0.45), (0.52, 0.5))
"""The upper half of a three, as shares of the drawing's width and height."""


def main(page_file: Path, image: Path) -> None:
    """Draw, let it be completed as a three, and write what is seen of it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport=SIZE, offline=True, locale="en-US", color_scheme="light").new_page()
        page.goto(page_file.resolve().as_uri())
        page.wait_for_selector("html[data-completed]")
        page.locator("#completion-classes").get_by_role("button", name="3", exact=True).click()
        page.locator("#clear").click()
        page.locator("#complete-heading").evaluate("one => one.scrollIntoView()")
        box = page.locator("#drawing").bounding_box()
        assert box is not None
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in STROKE]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=5)
        page.mouse.up()
        page.locator("#others").click()
        expect(page.locator("#completions canvas[aria-label]")).to_have_count(8)
        expect(page.locator("#completion-state")).to_have_text(re.compile(r"\d"))
        page.screenshot(path=image)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("page", type=Path)
    parser.add_argument("image", type=Path)
    given = parser.parse_args()
    main(given.page, given.image)
