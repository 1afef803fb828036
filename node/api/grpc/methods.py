"""What a method of gRPC is here, and what whoever serves one that streams has to do with.

Why it exists: the seam between HTTP/2's streams and the calls of `node.api.etcd`. A service is a table of methods by
path; the door decodes, times, counts and encodes. Streams have no task: a handler is called with what comes, and sends
when it likes. It must not know a call.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from node.api.etcd.calls import Answered
from node.api.etcd.errors import EtcdError
from node.api.etcd.schema import Message
from node.api.http2.shares import Share

Find = Callable[[], Answered]
"""Says what the answer is, or raises `EtcdError`."""

Reply = Callable[[Find], None]
"""Called once, later or at once."""

Quick = Callable[[Message, int, int | None, Reply], bool]
"""A call that needs no task: the message, its length, and microseconds that it may take (None: as long as any).
False: not taken, nothing was done. Raises `EtcdError`."""


@dataclass(frozen=True, slots=True)
class KeysMethod:
    """A call on keys, whose answer may be long. `request`: the name of what it takes, see `schema`."""

    request: str
    call: Callable[[Message, int], Awaitable[Answered]]
    quick: Quick | None = None


@dataclass(frozen=True, slots=True)
class PlainMethod:
    """A call with a small answer, written by `encode`."""

    request: str
    call: Callable[[Message, int], Awaitable[Any]]
    encode: Callable[[Any], bytes]
    patient: bool = False
    """Whether it may wait for what other clients do, for ever."""


class Call(Protocol):
    """One open stream, as its handler sees it."""

    needs_leader: bool
    """Whether the client wants it to end where no leader is known for long (`hasleader`)."""

    @property
    def share(self) -> Share:
        """What its client has of all that there is."""

    def send(self, *messages: bytes) -> bool:
        """Answers, encoded. False: they are taken, but the client does not keep up: send no more until `drained`."""

    def end(self, error: EtcdError | None = None) -> None:
        """That was all. Nothing of the handler is called afterwards."""


class StreamHandler(Protocol):
    """Who serves one stream. Nothing is called after `gone`, or after it has ended the call."""

    def message(self, message: Message) -> None:
        """One came. An `EtcdError` that it raises ends the call."""

    def half_closed(self) -> None:
        """The client sends no more."""

    def drained(self) -> None:
        """The client has taken nearly all: more may be sent."""

    def gone(self) -> None:
        """The client, its connection or its time is gone."""


@dataclass(frozen=True, slots=True)
class StreamMethod:
    """A call with many answers, and perhaps many messages. `open` is called before the first of
    them, and raises `EtcdError` where none can be opened now."""

    request: str
    open: Callable[[Call], StreamHandler]


Method = KeysMethod | PlainMethod | StreamMethod
Methods = dict[str, Method]
"""By path, as `/etcdserverpb.KV/Range`."""
