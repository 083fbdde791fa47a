"""Markup that cannot be broken out of."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.reporting.markup import Markup, join, tag
from mirrorgate.reporting.wording import safe


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(text=st.text(), attribute=st.text())
def test_any_text_is_text(text: str, attribute: str) -> None:
    """Whatever a model says is read back as what it said, in an element and in an attribute."""
    reader = Reader()
    reader.feed(tag("p", text, "!", title=attribute))
    reader.close()
    assert reader.elements == [("p", {"title": safe(attribute)})]
    assert reader.text.replace("\r\n", "\n") == safe(text) + "!"


def test_attributes_and_contents() -> None:
    """True is an attribute without a value, False and None are left out, nested contents are joined."""
    made = tag(
        "details", [None, "a<b", [tag("br")]], open=True, id=None, hidden=False, class_="x", data_plot="y", r=3.5
    )
    assert made == '<details open class="x" data-plot="y" r="3.5">a&lt;b<br></details>'
    assert join("&", Markup("&amp;")) == "&amp;&amp;"
