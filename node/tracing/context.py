"""In whose trace a request is done: the `traceparent` that the client sent.

Why it exists: the doors find it, and only the tracer at the other end of the node wants it. It must not judge it.
"""

from contextvars import ContextVar

HEADER = "traceparent"
"""Of W3C's Trace Context, over HTTP and in the metadata of gRPC alike."""

PARENT: ContextVar[str] = ContextVar("traceparent", default="")
"""As the client sent it; empty: it sent none. Doors set it round what they do for a request."""
