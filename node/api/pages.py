"""Where a list of `/kv` goes on.

Why it exists: the next page begins with a key, and keys may be longer than any URL. It must not read the store.
"""

from bisect import bisect_left
from urllib.parse import quote, quote_from_bytes

from node.api.inputs import REQUEST_LINE_BYTES_MAX, Query


def next_page(query: Query, last: bytes, beyond: bytes, revision: int) -> str | None:
    """The path of the rest of the list, which begins with the key `beyond`, at the same revision. Where that key is too
    long for a URL, the shortest beginning of it that comes after `last`; None where that is too long as well."""
    for start in (beyond, _after(last, beyond)):
        if len(start) > REQUEST_LINE_BYTES_MAX:
            continue
        parts = {"prefix": query.bytes("prefix"), "from": start, "limit": query.bytes("limit")}
        text = "&".join(f"{name}={quote_from_bytes(value, safe='')}" for name, value in parts.items() if value)
        stale = "&consistency=stale" if query.bytes("consistency") == b"stale" else ""
        found = f"/kv/?{text}&revision={quote(str(revision))}{stale}"
        if len(found) <= REQUEST_LINE_BYTES_MAX:
            return found
    return None


def _after(last: bytes, beyond: bytes) -> bytes:
    """The shortest beginning of `beyond` that comes after `last`, where the former does."""
    alike = bisect_left(range(REQUEST_LINE_BYTES_MAX), True, key=lambda at: last[: at + 1] != beyond[: at + 1])
    return beyond[: alike + 1]
