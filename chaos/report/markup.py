"""HTML as values: text is escaped unless it is markup already.

Why it exists: keys, errors and titles come from outside; a page that is opened from disk must show them and never run
them. It must not know what a page looks like.
"""

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "link", "br", "input", "hr"})


class Html(str):
    """Markup that may be put into a page as it is."""

    __slots__ = ()


def el(name: str, /, *children: str | None, **attributes: str | int | float | bool | None) -> Html:
    """An element. Children that are no Html are escaped, None is left out. `class_` is class, `data_x` is data-x; an
    attribute of None or False is left out, one of True has no value."""
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{join(children)}</{name}>")


def join(children: Iterable[str | None]) -> Html:
    """One piece of markup of many."""
    return Html("".join(c if isinstance(c, Html) else escape(c, quote=False) for c in children if c is not None))


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
