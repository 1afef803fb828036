"""Passwords: hashed and compared by threads, a bounded number at a time.

Why it exists: a hash that is worth anything takes 50 ms of a processor and 16 MiB, which the loop must not wait for,
and which nobody may ask for without end. OpenSSL lets other threads run meanwhile. What was right lately is remembered
by a keyed digest, so that a client that sends its password with each request does not cost a hash each time. A password
must never get into a log, a trace, or an exception's words.
"""

import asyncio
import hashlib
import hmac
import os
import sys
import threading
from base64 import b64decode, b64encode
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

from node.addresses import ASKING, NOBODY
from node.api.etcd.errors import TOO_MANY_REQUESTS, Code, EtcdError, invalid

PASSWORD_BYTES_MAX = 1024

THREADS_MAX = 2
WAITING_MAX = 64
"""Hashes under way or waiting; one more is refused. They take two seconds of two processors."""
WAITING_OF_ONE_MAX = 16
"""Of one client (see node.addresses): whoever tries passwords keeps nobody else from showing theirs."""
NICE = 10
"""How much the threads give way to all else that this process does, its elections above all."""

REMEMBERED_MAX = 1024
"""Passwords that were found to be right."""

LOG2_COST, BLOCK_SIZE, PARALLEL = 14, 8, 1
"""Of scrypt; they stand in each hash, so that later ones may cost more."""

LOG2_COST_MAX = 17
SALT_BYTES, KEY_BYTES = 16, 32
_MEMORY_BYTES_MAX = 256 * 1024 * 1024

_NOBODYS = b"scrypt$14$8$1$" + b64encode(bytes(SALT_BYTES)) + b"$" + b64encode(bytes(KEY_BYTES))
"""Compared with where there is no such user, so that this takes as long."""

T = TypeVar("T")


class Passwords:
    """One for all routes of a node. `random_bytes`: chance; this is no part of what a simulator plays."""

    def __init__(self, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.random_bytes = random_bytes
        self._key = random_bytes(KEY_BYTES)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[bool]] = {}
        """Under way, by what is remembered afterwards: a hundred clients of one user who come at once cost one hash."""
        self._under_way = 0
        self._of: Counter[str] = Counter()
        """Of those, by client."""
        self._threads = asyncio.Semaphore(THREADS_MAX)

    async def hashed(self, password: str) -> bytes:
        """A hash of it, to be kept. Raises `EtcdError`."""
        plain = _bytes_of(password)
        if len(plain) > PASSWORD_BYTES_MAX:
            raise invalid(f"etcdserver: a password has at most {PASSWORD_BYTES_MAX} bytes")
        salt = self.random_bytes(SALT_BYTES)
        key = await self._beside(lambda: _scrypt(plain, salt, LOG2_COST, BLOCK_SIZE, PARALLEL))
        words = ("scrypt", str(LOG2_COST), str(BLOCK_SIZE), str(PARALLEL))
        return b"$".join((*(word.encode() for word in words), b64encode(salt), b64encode(key)))

    async def fits(self, password: str, kept: bytes) -> bool:
        """Whether that is a hash of it; `kept` empty: of nothing is, which takes as long. Raises `EtcdError`."""
        plain = _bytes_of(password)
        if len(plain) > PASSWORD_BYTES_MAX:
            return False
        remembered = hmac.digest(self._key, len(kept).to_bytes(4) + kept + plain, "sha256")
        if remembered in self._right:
            self._right.move_to_end(remembered)
            return True
        checking = self._checking.get(remembered)
        if checking is None:
            checking = asyncio.ensure_future(self._beside(lambda: _fits(plain, kept or _NOBODYS)))
            self._checking[remembered] = checking
            checking.add_done_callback(lambda done: self._checked(remembered, done))
        if not await asyncio.shield(checking) or not kept:
            return False
        self._right[remembered] = None
        if len(self._right) > REMEMBERED_MAX:
            self._right.popitem(last=False)
        return True

    def _checked(self, remembered: bytes, done: "asyncio.Task[bool]") -> None:
        del self._checking[remembered]
        if not done.cancelled():
            done.exception()  # whoever waited has it, or left

    async def _beside(self, work: Callable[[], T]) -> T:
        """What `work` returns, done by a thread of its own. A client that leaves makes no room before it is done."""
        whose = ASKING.get()
        if self._under_way >= WAITING_MAX or (whose != NOBODY and self._of[whose] >= WAITING_OF_ONE_MAX):
            raise EtcdError(Code.RESOURCE_EXHAUSTED, TOO_MANY_REQUESTS)
        self._under_way += 1
        self._of[whose] += 1
        try:
            await self._threads.acquire()
        except BaseException:
            self._less(whose)
            raise
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def told(value: T | None, error: Exception | None) -> None:
            self._less(whose)
            self._threads.release()
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(cast(T, value))

        try:
            threading.Thread(target=_run, args=(work, loop, told), name="a password", daemon=True).start()
        except RuntimeError as error:  # the system gives no more
            self._less(whose)
            self._threads.release()
            raise EtcdError(Code.UNAVAILABLE, f"etcdserver: no password was judged: {error}") from None
        return await done

    def _less(self, whose: str) -> None:
        self._under_way -= 1
        self._of[whose] -= 1
        if not self._of[whose]:
            del self._of[whose]


def _run(
    work: Callable[[], T], loop: asyncio.AbstractEventLoop, told: Callable[[T | None, Exception | None], None]
) -> None:
    value, error = None, None
    if sys.platform == "linux":  # where a thread has a priority of its own
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    try:
        value = work()
    except Exception as failed:
        error = failed
    with suppress(RuntimeError):  # the node has stopped meanwhile
        loop.call_soon_threadsafe(told, value, error)


def _bytes_of(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _fits(plain: bytes, kept: bytes) -> bool:
    """Whether `kept` is a hash of it; what is none is one of nothing."""
    try:
        name, *costs, salt, key = kept.split(b"$")
        log2_cost, block_size, parallel = map(int, costs)
        if name != b"scrypt" or log2_cost > LOG2_COST_MAX:
            return False
        found = _scrypt(plain, b64decode(salt, validate=True), log2_cost, block_size, parallel)
        return hmac.compare_digest(found, b64decode(key, validate=True))
    except ValueError:
        return False


def _scrypt(plain: bytes, salt: bytes, log2_cost: int, block_size: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        plain, salt=salt, n=1 << log2_cost, r=block_size, p=parallel, maxmem=_MEMORY_BYTES_MAX, dklen=KEY_BYTES
    )
