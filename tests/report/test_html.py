"""The page: one well-formed file that requests nothing and escapes everything."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.figures.animation import gif_bytes
from fromnoise.figures.curves import loss_curve
from fromnoise.figures.grid import grid
from fromnoise.report.html import Section, page, write_page

EVIL = "<img src=x onerror=alert(1)>\"'&"
VOID = {"meta", "link", "img", "br"}


class Reader(HTMLParser):
    """Every tag with its attributes, the text in each, and whether tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[tuple[str, str]] = []
        self.feed(html)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if data.strip():
            self.words.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def texts(self, tag):
        return [words for name, words in self.words if name == tag]


@pytest.fixture
def image():
    return grid(np.random.default_rng(0).integers(0, 255, (4, 8, 8, 1), dtype=np.uint8))


def everything(image):
    return [
        Section("What was trained", "First.\n\nSecond with `a < b`.", image, caption="Four `images`."),
        Section("Loss", image=loss_curve([1, 2, 3], [3, 2, 1])),
        Section("Numbers", table=[("quantity", "published", "ours"), ("parameters", 309057, 309057)], caption="Both."),
        Section("", "More of the same.", gif_bytes([np.zeros((2, 4, 4, 1), np.uint8)]), alt="It moves."),
        Section("Go on", code="fromnoise sample RUN > a.txt\n"),
        Section("数字", "End."),
    ]


def test_page_is_one_well_formed_file_without_requests(image):
    html = page("A `run`", "The lead.", everything(image), "The footer.")
    assert html.startswith("<!DOCTYPE html>\n")
    read = Reader(html)
    assert read.all("html") == [{"lang": "en"}]
    assert read.texts("title") == ["A run"]
    assert not read.all("script") and not read.all("iframe")
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), tag
    assert "http:" not in html and "https:" not in html and "url(" not in html and "@import" not in html
    (policy,) = [a["content"] for a in read.all("meta") if a.get("http-equiv")]
    assert "default-src 'none'" in policy and "script" not in policy


def test_images_have_size_alt_text_and_smoothing(image):
    read = Reader(page("t", "", everything(image)))
    still, drawn, moving = read.all("img")
    assert (still["width"], still["height"]) == tuple(str(side) for side in image.size)
    assert still["class"].startswith("pixels") and drawn["class"].startswith("drawn")
    assert (drawn["width"], drawn["height"]) == ("720", "410")
    assert (
        still["alt"] == "What was trained: Four `images`." and drawn["alt"] == "Loss" and moving["alt"] == "It moves."
    )
    assert moving["src"].startswith("data:image/gif")
    css = "".join(read.texts("style"))
    assert "image-rendering: pixelated" in css and "prefers-color-scheme: dark" in css


def test_paragraphs_and_code_spans():
    read = Reader(page("t", "One.\n\n\n  Two\nlines. ", [Section("s", "`a < b` and `c`\n\n\n\nnext")]))
    assert [words.split() for words in read.texts("p")] == [["One."], ["Two", "lines."], ["and"], ["next"]]
    assert read.texts("code") == ["a < b", "c"]


def test_lists_and_links():
    text = "See [the paper](https://arxiv.org/abs/2206.00364):\n\n- one `a`\n- [two](#s)\n"
    read = Reader(page("t", "", [Section("s", text)]))
    assert [a["href"] for a in read.all("a")] == ["https://arxiv.org/abs/2206.00364", "#s"]
    assert len(read.all("ul")) == 1 and len(read.all("li")) == 2


@pytest.mark.parametrize(
    "text",
    ["[x](javascript:a)", "![x](https://example.org/x.png)", "*a* _b_ **c**", "&lt;b&gt; <b>", "C:\\*\\_x", "# x"],
)
def test_names_of_files_are_not_taken_for_markup(text):
    read = Reader(page("t", "", [Section("s", text, table=[("a",), (text,)])]))
    assert not {tag for tag, _ in read.tags} & {"img", "em", "strong", "b", "h3"}
    assert text.startswith("!") or (read.texts("p") == [text] and text in read.texts("th") and not read.all("a"))


def test_output_and_wide_code():
    read = Reader(page("t", "", [Section("s", code="x = 1\n", output="a  <b>\n"), Section("", code="y" * 100)]))
    assert read.texts("code") == ["x = 1", "y" * 100] and read.texts("pre") == ["a  <b>"]
    assert [a.get("class") for a in read.all("pre")] == [None, "output", "wide"]


@pytest.mark.parametrize(
    "field", ["title", "lead", "footer", "heading", "text", "caption", "alt", "code", "cell", "lang"]
)
def test_every_word_is_escaped(field, image):
    words = {name: EVIL if name == field else "w" for name in ("title", "lead", "footer", "lang")}
    section = Section(
        EVIL if field == "heading" else "h",
        f"`{EVIL}` {EVIL}" if field == "text" else "",
        image,
        [("a", "b"), (EVIL if field == "cell" else "c", 1)],
        EVIL if field == "code" else None,
        EVIL if field == "caption" else "",
        EVIL if field == "alt" else "",
    )
    html = page(words["title"], words["lead"], [section] * 5, words["footer"], lang=words["lang"])
    read = Reader(html)
    assert "<img src=x" not in html
    assert all("onerror" not in attributes for _, attributes in read.tags)
    shown = [text for _, text in read.words] + [value for _, found in read.tags for value in found.values() if value]
    assert any(EVIL in text for text in shown), "the name was lost rather than shown"


def test_numbers_are_aligned_and_written_plainly():
    table = [
        ("quantity", "published", "ours", "difference", "note"),
        ("parameters", 309057, 309057, None, "counted"),
        ("mean loss, epoch 1", "0.026962", 0.0267412345, "-0.8 %", "two `seeds`"),
        ("works", True, "–", "+1.2e-5", "3 words here"),
    ]
    read = Reader(page("t", "", [Section("s", table=table)]))
    assert read.texts("td")[:3] == ["309,057", "309,057", "–"]
    assert "0.0267412" in read.texts("td") and "−0.8 %" in read.texts("td")
    heads = [("number" in attributes.get("class", "")) for attributes in read.all("th")[:5]]
    assert heads == [False, False, True, True, False], "'yes' stands among the published numbers"
    assert [a["scope"] for a in read.all("th")] == ["col"] * 5 + ["row"] * 3


def test_a_caption_goes_to_the_table_where_there_is_no_image(image):
    table = [("a",), (1,)]
    alone = Reader(page("t", "", [Section("s", table=table, caption="under")]))
    both = Reader(page("t", "", [Section("s", image=image, table=table, caption="under")]))
    assert alone.texts("caption") == ["under"] and not alone.all("figcaption")
    assert both.texts("figcaption") == ["under"] and not both.all("caption")


@pytest.mark.parametrize("table, lengths", [([], "[]"), ([("a", "b"), (1,)], "[2, 1]")])
def test_a_ragged_table_is_refused(table, lengths):
    with pytest.raises(UsageError, match=re.escape(lengths)):
        page("t", "", [Section("s", table=table)])


def test_contents_appear_for_more_than_four_titles_and_lead_to_them():
    few, many = ([Section(title) for title in names] for names in ("abcd", ["A b", "A b", "<i>", "数字", "c", ""]))
    assert not Reader(page("t", "", few)).all("nav")
    read = Reader(page("t", "", many))
    goals = [a["href"].removeprefix("#") for a in read.all("a")]
    ids = [a["id"] for a in read.all("section")]
    assert len(goals) == 5 and goals == ids[:5] and len(set(ids)) == 6


def test_write_page_is_whole_or_nothing(tmp_path):
    path = write_page(tmp_path / "new" / "report.html", page("é 数字 \udcff", "", []))
    assert "é 数字 \\xff" in path.read_text(encoding="utf-8")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(WriteError, match=r"folder\.html"):
        write_page(tmp_path / "folder.html", "x")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.html", "new"]
