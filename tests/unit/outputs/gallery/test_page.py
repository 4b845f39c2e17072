"""The gallery page as text: what is in it, what cannot act in it, and its stream."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.outputs.gallery.page import (
    BLOCK_RECORDS,
    GalleryRecord,
    GallerySummary,
    file_url,
    write_gallery,
)
from regioncap.outputs.pages import csp_hash, data_url

HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]></SCRIPT >",
    "{{ 7 * 7 }} {% raw %}",
    "\u2028 \u2029 \ud800 \x00",
    '"><svg onload=alert(1)>',
]


def a_record(index: int, caption: str = "a cup", **more: Any) -> GalleryRecord:
    region = {"region": 1, "bbox": [1, 2, 30, 40], "status": "ok", "caption": caption}
    record = {"id": f"r{index}", "index": index, "width": 64, "height": 48, "error": None}
    return GalleryRecord(
        record | {"regions": [region]} | more, clean=f"photos/{index}.jpg", marked=None
    )


def page_of(*records: GalleryRecord, summary: GallerySummary | None = None) -> str:
    out = io.StringIO()
    write_gallery(out, records, summary or GallerySummary("A job"))
    return out.getvalue()


def items_in(page: str) -> list[dict[str, Any]]:
    blocks = re.findall(r'<script type="application/json" class="block">(.*?)</script>', page, re.S)
    return [item for block in blocks for item in json.loads(block)]


@pytest.mark.parametrize("count", [0, 1, BLOCK_RECORDS, BLOCK_RECORDS + 1, 3 * BLOCK_RECORDS])
def test_every_record_is_in_the_page_once_and_in_order(count: int) -> None:
    items = items_in(page_of(*(a_record(i) for i in range(count))))
    assert [item["record"]["index"] for item in items] == list(range(count))
    assert [item["clean"] for item in items] == [f"photos/{i}.jpg" for i in range(count)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_data(text: str) -> None:
    page = page_of(a_record(0, caption=text, id=text), summary=GallerySummary("A job"))
    plain = page_of(a_record(0))
    assert page.count("<") == plain.count("<")
    assert items_in(page)[0]["record"]["regions"][0]["caption"] == text
    assert page.isascii()


@pytest.mark.parametrize("text", HOSTILE[:4])
def test_hostile_titles_and_facts_are_escaped(text: str) -> None:
    page = page_of(summary=GallerySummary(text, {text: text}))
    head = page.split("<body>")[1].split("</header>")[0]
    assert html.unescape(re.findall(r"<h1>(.*)</h1>", head)[0]) == text
    assert "<img" not in head
    assert "<script" not in head.lower()


@given(st.recursive(st.none() | st.text() | st.floats(), st.lists, max_leaves=8))
def test_any_meta_is_read_back(meta: object) -> None:
    page = page_of(a_record(0, meta={"x": meta}))
    read = items_in(page)[0]["record"]["meta"]["x"]
    as_json = json.loads(json.dumps(meta), parse_constant=lambda _: None)
    assert read == as_json


def test_the_policy_allows_only_the_pages_own_script_and_style() -> None:
    page = page_of(a_record(0))
    match = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert match
    parts = html.unescape(match[1]).split(";")
    policy = dict(part.strip().split(" ", 1) for part in parts)
    script = re.findall(r"<script>(.*?)</script>", page, re.S)
    style = re.findall(r"<style>(.*?)</style>", page, re.S)
    assert len(script) == len(style) == 1
    assert policy == {
        "default-src": "'none'",
        "img-src": "'self' data: file:",
        "script-src": sha256_source(script[0]),
        "style-src": sha256_source(style[0]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert csp_hash(script[0]) == policy["script-src"]


def sha256_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_nothing_in_the_page_needs_the_network_or_an_inline_attribute() -> None:
    page = page_of(a_record(0), summary=GallerySummary("A job", {"Model": "m"}))
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.S)
    assert not re.search(r"\s(style|on\w+|src)=", markup)
    assert re.findall(r'href="([^"]*)"', markup) == ["#records"]
    assert re.findall(r"https?://[^\"' ]*", page) == ["http://www.w3.org/2000/svg"]


def test_records_are_taken_only_as_the_page_is_written() -> None:
    taken_at: list[int] = []

    class Counting(io.StringIO):
        def write(self, text: str) -> int:
            taken_at.append(taken)
            return super().write(text)

    taken = 0

    def source() -> Iterator[GalleryRecord]:
        nonlocal taken
        for i in range(4 * BLOCK_RECORDS):
            taken += 1
            yield a_record(i)

    write_gallery(Counting(), source(), GallerySummary("A job"))
    assert taken == 4 * BLOCK_RECORDS
    assert {0, BLOCK_RECORDS, 2 * BLOCK_RECORDS, 3 * BLOCK_RECORDS} <= set(taken_at)


@pytest.mark.parametrize(
    ("path", "page_dir", "url"),
    [
        ("/a/photos/cup.jpg", "/a", "photos/cup.jpg"),
        ("/a/photos/cup.jpg", "/a/out", "../photos/cup.jpg"),
        ("/a/one #2?.jpg", "/a", "one%20%232%3F.jpg"),
        ("/a/50%.jpg", "/a", "50%25.jpg"),
    ],
)
def test_file_url(path: str, page_dir: str, url: str) -> None:
    assert file_url(Path(path), Path(page_dir)) == url
    assert (Path(page_dir) / unquote(url)).resolve() == Path(path)


def test_file_url_of_a_name_with_a_colon_is_no_scheme() -> None:
    assert file_url(Path("/a/data:x.jpg"), Path("/a")) == "data%3Ax.jpg"


def test_data_url() -> None:
    assert data_url(b"\xff\xd8") == "data:image/jpeg;base64,/9g="
