"""A client for applications: finds the leader, repeats what did not come through, and does no write twice.

Why it exists: a write that failed on the way may have happened, and a program that repeats it does it twice. This
client writes in a session of the cluster, which does a write once however often it comes; so it repeats until there is
an answer, and says that an outcome is unknown only where the time of the call is up. It must not know anything of
`node`, and must not hide an unknown outcome.

    async with RaftClient(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]) as client:
        revision = await client.put("greeting", "hello")
        found = await client.get("greeting")  # Value(b"hello", revision), or None
        await client.compare_and_set("greeting", "goodbye", revision)

After `OutcomeUnknown`, read the key: what is there settles a write that was made with `compare_and_set`.
"""

import asyncio
import contextlib
import math
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import aiohttp
from yarl import URL  # aiohttp's own: the only way to hand it a path that it leaves as it is

from raftclient.answers import Answer, Failed, Request, SessionGone, failed, send_once, settled
from raftclient.arguments import (
    Text,
    endpoints_of,
    flag_of,
    key_of,
    lease_of,
    name_of,
    revision_of,
    seconds_of,
    session_of,
    text_of,
    tls_of,
    token_of,
    ttl_of,
    wait_of,
)
from raftclient.elections import Election
from raftclient.errors import NotDone, OutcomeUnknown
from raftclient.leases import Lease
from raftclient.locks import TTL_SECONDS, Lock
from raftclient.names import Names
from raftclient.nodes import Nodes
from raftclient.turns import Ways
from raftclient.watching import Change, Followed, changes
from raftclient.windows import Window

CONNECT_SECONDS_MAX = 2.0
READ_SECONDS_MAX = 1.0
"""The first attempt of a read: a node that is paused takes connections and does not answer, one that is cut off waits
for a leader, and another one would answer. Twice as long for each that follows, since it may be the cluster that is
slow, and not one node."""
WRITE_SECONDS_MAX = 2.0
"""Of a write in a session likewise: to send it again costs more."""
STATUS_SECONDS_MAX = 0.5
WATCH_ANSWER_SECONDS_MAX = 5.0
"""How long a node may take to begin a watch before another one is asked: longer than it waits for a leader itself."""

SILENCE_SECONDS = 1.0
"""A node that has not answered a call for so long is left by new calls, unless it still says that it leads. The attempt
that waits there goes on waiting: it may have happened, and the answer of that node is the first that can come."""
ATTEMPT_SECONDS_MIN = 0.25
"""With less time than this left, nothing is sent again: too late to be answered, it would make an unknown outcome."""
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.02, 0.2
"""Between attempts; doubles from the first to the second. Where a node is gone, the others are tried before it."""
IDLE_SECONDS_MAX = 2.0
"""A connection idle for longer is not used again: a leaving node lingers longer, so none is used as it closes."""
ANSWER_BYTES_MAX = 4 * 1024 * 1024


class Value(NamedTuple):
    """What is stored. `revision`: of the store when this key was last written."""

    value: bytes
    revision: int


class RaftClient:
    """Any number of tasks may use one client; every call ends within `timeout_s`. `endpoints`: base URLs of nodes, or
    of a Service before them. `session`: an HTTP session to use instead of an own, not closed here. Counters: `attempts`
    (requests for keys), `retries` (those after a call's first), `longest_stall_s` (the longest that a call took).

    `exactly_once` False: no session of the cluster. A write is then repeated only where it was provably never proposed,
    and `OutcomeUnknown` otherwise; so it is with nodes that know no sessions.

    `discover`: ask the cluster for its members' own addresses, and prefer those that answer; what was given stays the
    way back. One name of a Service is enough then. False: only what was given is ever asked (a proxy that must see
    everything, say).

    `tls`: for https endpoints, whom to trust and what to show, as `ssl.create_default_context(cafile=...)` with
    `load_cert_chain`; None: the system's authorities, and nothing. `token`: what to show nodes that ask for one; see
    `use_token` where it is renewed. Neither is of effect on a `session` that is given.

    Arguments of a wrong type are a TypeError, before anything is sent."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        timeout_s: float = 15.0,
        session: aiohttp.ClientSession | None = None,
        exactly_once: bool = True,
        discover: bool = True,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
    ) -> None:
        self._nodes = Nodes(endpoints_of(endpoints), flag_of("discover", discover), self._look)
        self._timeout_s = seconds_of("timeout_s", timeout_s)
        self._session, self._is_own = session_of(session), session is None
        self._exactly_once = flag_of("exactly_once", exactly_once)
        self._tls = tls_of(tls)
        self._names = Names()
        self._token = "" if token is None else token_of(token)
        self._window: Window | None = None
        self._registering = asyncio.Lock()
        self._is_open = False
        self.attempts = self.retries = 0
        self.longest_stall_s = 0.0

    async def __aenter__(self) -> Self:
        if self._session is None:
            # Addresses are looked up for each connection, see names.py
            connector = aiohttp.TCPConnector(
                limit=0,
                resolver=self._names,
                use_dns_cache=False,
                keepalive_timeout=IDLE_SECONDS_MAX,
                ssl=self._tls or True,
            )
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
            self._show_token()
        self._is_open = True
        try:
            await self._nodes.look()
        except BaseException:  # cancelled: nobody will call __aexit__
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Writes under way end as `OutcomeUnknown`."""
        self._is_open = False
        try:
            await self._nodes.close()
        finally:
            if self._is_own and self._session is not None:
                await self._session.close()
                await self._names.close()
                self._session = None

    def use_token(self, token: str) -> None:
        """From the next request on: a token is renewed while the old one still counts."""
        self._token = token_of(token)
        self._show_token()

    async def get(self, key: Text, *, stale: bool = False) -> Value | None:
        """The value, linearizable, or with `stale` what the node that is asked has; None: no such key."""
        query = "consistency=stale&" if flag_of("stale", stale) else ""
        given = key_of(key)
        answer = await self._call(Request("GET", given, _path_of(given), query))
        return None if answer.status == 404 else Value(answer.body, answer.revision())

    async def put(self, key: Text, value: Text, *, lease: Lease | None = None) -> int:
        """Set a value; the revision of the write. With a `lease` the key goes when that ends; raises `LeaseLost`
        where it is lost already."""
        held = lease_of(lease)
        if held is not None:
            held.check()
        return (await self._write("PUT", key_of(key), text_of("value", value), None, held)).revision()

    async def compare_and_set(self, key: Text, value: Text, expect_revision: int) -> int:
        """Set a value only where the key is still at that revision (0: where there is none); the new revision.
        Raises `RevisionMismatch`."""
        demanded = revision_of(expect_revision)
        return (await self._write("PUT", key_of(key), text_of("value", value), demanded)).revision()

    async def delete(self, key: Text, *, expect_revision: int | None = None) -> int | None:
        """Remove a key; the revision of the write, None where there was no such key. Raises `RevisionMismatch`."""
        demanded = None if expect_revision is None else revision_of(expect_revision)
        answer = await self._write("DELETE", key_of(key), None, demanded)
        return None if answer.status == 404 else answer.revision()

    def lease(self, ttl_s: int) -> Lease:
        """`async with client.lease(10) as lease:` is a lease that is kept alive, and tells when it was lost; it lives
        at least `ttl_s` seconds longer than the last keep-alive. See `Lease`."""
        return Lease(self._post, ttl_of(ttl_s), self._timeout_s)

    def lock(self, name: Text, *, ttl_s: int = TTL_SECONDS, wait_s: float | None = None) -> Lock:
        """`async with client.lock("deploy") as lock:` holds the lock of that name, alone among all who ask for it, also
        by `etcdctl lock`. Whoever asked first has it first. `ttl_s`: whole seconds that it lives after the last
        keep-alive, so a holder that dies holds it for so long; it is kept alive while it is held.

        To wait for others has no end of its own, whatever `timeout_s` is, for that is of single requests: give `wait_s`
        (seconds; 0: not at all; then TimeoutError), or cancel it, as `asyncio.timeout` does. See `Lock`.

        A name that another one continues after a slash ("a" and "a/b") is a queue with that one's keys in it, as in
        etcd: take no such names."""
        return Lock(self._ways(), name_of(name), ttl_of(ttl_s), wait_of(wait_s))

    def election(self, name: Text, *, ttl_s: int = TTL_SECONDS) -> Election:
        """`async with client.election("chief") as election: await election.campaign("http://10.0.0.7")` leads, alone
        among all who campaign under that name, also by `etcdctl elect`. `ttl_s` as in `lock`. See `Election`."""
        return Election(self._ways(), name_of(name), ttl_of(ttl_s))

    async def watch(self, prefix: Text, revision: int = 0) -> AsyncIterator[Change]:
        """Every change of keys that begin with `prefix`, in order and each once, from `revision` on (0: from now on).

        It goes on at another node by itself where one fails, or is cut off. Raises `HistoryGone` where changes that are
        still to come were compacted, `NotDone` where no node could be watched for `timeout_s`: go on after the last
        revision."""
        followed = Followed(text_of("prefix", prefix), revision_of(revision))
        loop, wait = asyncio.get_running_loop(), BACKOFF_SECONDS_MIN
        until = loop.time() + self._timeout_s
        answer_s = min(WATCH_ANSWER_SECONDS_MAX, self._timeout_s / 3)
        while True:
            endpoint, reason = self._nodes.current, "the node ended the watch"
            followed.begin()
            try:
                async with contextlib.aclosing(changes(self._http(), endpoint, followed, answer_s)) as found:
                    async for change in found:
                        yield change
            except Failed as error:
                reason = str(error)
            if followed.began:
                until, wait = loop.time() + self._timeout_s, BACKOFF_SECONDS_MIN
            elif loop.time() >= until:
                raise NotDone("WATCH", followed.prefix, endpoint, reason)
            self._nodes.move_on(endpoint)
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACKOFF_SECONDS_MAX)

    async def status(self) -> dict[str, dict[str, Any] | None]:
        """`/status` of every node that may be asked, given or found, by URL; None where there was no answer."""
        self._http()
        urls = self._nodes.urls
        return dict(zip(urls, await asyncio.gather(*(self._look(f"{url}/status") for url in urls)), strict=True))

    def _ways(self) -> Ways:
        return Ways(self._post, self.watch, self.lease, self._timeout_s)

    # --- one call --------------------------------------------------------------------------------------------

    async def _write(
        self, method: str, key: bytes, body: bytes | None, revision: int | None = None, lease: Lease | None = None
    ) -> Answer:
        demand = {} if revision is None else {"If-Match": f'"{revision}"'} if revision else {"If-None-Match": "*"}
        query = "" if lease is None else f"lease={lease.id}&"
        return await self._call(Request(method, key, _path_of(key), query, body, demand))

    async def _post(self, path: str, body: bytes, limit_s: float) -> tuple[str, Answer]:
        """One attempt at the endpoint that is asked now; after a failure others are."""
        self._nodes.refresh()
        endpoint = self._nodes.current
        try:
            answer = await self._send("POST", endpoint + path, limit_s, body, {})
        except Failed:
            self._nodes.move_on(endpoint)
            raise
        if answer.status >= 500:
            self._nodes.move_on(endpoint)
        return endpoint, answer

    async def _call(self, request: Request) -> Answer:
        """Attempt after attempt, and where it writes session after session, until an answer settles the matter."""
        self._nodes.refresh()
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + self._timeout_s
        try:
            while True:
                window = None if request.method == "GET" else await self._session_for(request, until)
                if window is None:
                    return await self._attempt(request, until)
                sequence = window.begin()
                try:
                    return await self._attempt(request, until, window, sequence)
                except SessionGone:
                    self._window = None if self._window is window else self._window
                finally:
                    window.end(sequence)
        finally:
            self.longest_stall_s = max(self.longest_stall_s, loop.time() - began)

    async def _attempt(self, request: Request, until: float, window: Window | None = None, sequence: int = 0) -> Answer:
        """As long as nothing is settled and there is time. Without a window a write is sent again only where it was
        provably never proposed; a new session may be asked for twice."""
        loop = asyncio.get_running_loop()
        method, may_repeat = request.method, window is not None or request.method in ("GET", "POST")
        patience, wait, reason = (
            READ_SECONDS_MAX if method == "GET" else WRITE_SECONDS_MAX,
            BACKOFF_SECONDS_MIN,
            "no time",
        )
        attempts, uncertain, endpoint = 0, False, self._nodes.current
        tried: dict[str, None] = {}
        while (left := until - loop.time()) > (ATTEMPT_SECONDS_MIN if attempts else 0) and (
            self._is_open or not attempts
        ):
            endpoint = self._nodes.current
            attempts += 1
            if method != "POST":
                self.attempts, self.retries = self.attempts + 1, self.retries + (attempts > 1)
            limit = min(left, patience) if may_repeat else left
            silence = loop.call_later(SILENCE_SECONDS, self._nodes.move_on, endpoint)
            try:
                numbers = window.headers(sequence) if window is not None else {}
                return settled(request, endpoint, await self._ask(request, endpoint, limit, numbers), uncertain)
            except Failed as error:
                reason, elsewhere = str(error), error.elsewhere
                tried[endpoint] = None
                self._nodes.move_on(endpoint)
                uncertain = uncertain or not (error.safe or method in ("GET", "POST"))
                if uncertain and not may_repeat:
                    break
            finally:
                silence.cancel()
            patience *= 2
            if not (elsewhere and self._nodes.current not in tried):
                tried.clear()
                await asyncio.sleep(wait)
                wait = min(wait * 2, BACKOFF_SECONDS_MAX)
        if uncertain:
            raise OutcomeUnknown(method, request.key, endpoint, reason)
        raise NotDone(method, request.key, endpoint, f"{reason} ({attempts} attempts in {self._timeout_s:g} s)")

    async def _ask(self, request: Request, endpoint: str, limit: float, numbers: dict[str, str]) -> Answer:
        # The node's own time ends first: it can tell what was never proposed, a client's silence cannot.
        query = f"{request.query}timeout_ms={max(1, min(60_000, int(limit * 900)))}"
        headers = {**request.headers, **numbers}
        answer = await self._send(request.method, f"{endpoint}{request.path}?{query}", limit, request.body, headers)
        if answer.headers.get("Connection", "").lower() == "close":
            self._nodes.leaving(endpoint)
        return answer

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None or not self._is_open:
            raise RuntimeError("the client is not open: use it as `async with RaftClient(...) as client`")
        return self._session

    def _show_token(self) -> None:
        if self._is_own and self._session is not None and self._token:
            self._session.headers["Authorization"] = f"Bearer {self._token}"

    async def _session_for(self, request: Request, until: float) -> Window | None:
        """A session with room for one write more; None: without one. Raises `NotDone` where there is none in time."""
        endpoint = self._nodes.current
        try:
            async with asyncio.timeout_at(until), self._registering:
                if not self._exactly_once:
                    return None
                if self._window is None or self._window.full:
                    answer = await self._attempt(Request("POST", request.key, "/sessions"), until)
                    self._window = Window(answer.session())
                return self._window
        except NotDone as error:
            if error.status == 404:
                self._exactly_once = False  # a node of before there were sessions
                return None
            refused = NotDone(request.method, request.key, error.endpoint, f"no session was had: {error.reason}")
            refused.status = error.status
            raise refused from None
        except TimeoutError:
            raise NotDone(request.method, request.key, endpoint, "no session was had in time") from None

    async def _send(self, method: str, url: str, limit_s: float, body: bytes | None, headers: dict[str, str]) -> Answer:
        """One request, sent at most once."""
        session = self._http()
        options: dict[str, Any] = {"data": body, "headers": {"Accept-Encoding": "identity", **headers}}
        # The threshold is where aiohttp begins to round limits up to whole seconds.
        limits = {"total": limit_s, "connect": min(CONNECT_SECONDS_MAX, limit_s / 2), "ceil_threshold": math.inf}
        options["timeout"] = aiohttp.ClientTimeout(**limits)
        options |= {"allow_redirects": False, "raise_for_status": False, "middlewares": (send_once,)}
        try:
            async with session.request(method, URL(url, encoded=True), **options) as answer:
                content = bytearray()
                async for piece in answer.content.iter_any():
                    content += piece
                    if len(content) > ANSWER_BYTES_MAX:
                        raise Failed(f"the answer is longer than {ANSWER_BYTES_MAX} bytes", safe=False)
                return Answer(answer.status, answer.headers, bytes(content))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise failed(error) from None

    async def _look(self, url: str) -> dict[str, Any] | None:
        """The JSON object there, if a node gives one soon."""
        if self._is_open:
            with contextlib.suppress(Failed):
                answer = await self._send("GET", url, STATUS_SECONDS_MAX, None, {})
                return answer.said() or None if answer.status == 200 else None
        return None


def _path_of(key: bytes) -> str:
    """Dots alone would be the name of a folder."""
    return f"/kv/{quote(key, safe='').replace('.', '%2E')}"
