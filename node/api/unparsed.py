"""What is wrong with bytes that never became a request.

Why it exists: the framework refuses them before anything here sees them, in its own words, which quote the input. It
must not repeat those.
"""

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from node.api.answers import Problem
from node.api.guard import forbidden
from node.api.inputs import REQUEST_LINE_BYTES_MAX


def unparsed(error: HttpProcessingError, reason: str) -> Problem:
    """`reason`: the parser's words."""
    if isinstance(error, LineTooLong) and str(REQUEST_LINE_BYTES_MAX) in map(str, error.args[1:2]):
        message = (
            f"the URL is longer than {REQUEST_LINE_BYTES_MAX} bytes; "
            "POST /v3/kv/range and /v3/kv/deleterange take a long key in their bodies"
        )
        return Problem(414, "too-long", message, field="target", limit=REQUEST_LINE_BYTES_MAX)
    if "Host" in reason:
        return forbidden("Host must be, once, an IP address, localhost or a name that this node is configured for")
    return Problem(400, "malformed", "this is not an HTTP request, or one with a line or header that is too long")
