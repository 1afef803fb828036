"""Which node is asked: those that were given, and those that the cluster names; first who answers, best who leads.

Why it exists: an application is often given one name, that of a Service, and a Service goes on sending to a machine
that vanished until Kubernetes has given it up, most of a minute. So a client that meets any node asks it for the
members' own addresses (`/cluster`), and prefers those that answer. What was given stays the way back, whatever comes of
them. It must not know what is asked of a node. An address is believed only where that very member of that very cluster
answers at it: what members say of themselves may mean something else where the client runs (a port-forward, 127.0.0.1).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from raftclient.arguments import is_base_url

LEAVING_SECONDS = 5.0
"""How long a node that closed the connection after its answer is the last choice: it is about to end."""

FOUND_MAX = 64
"""As many members as a cluster has at most."""

PROBE_AGAIN_SECONDS = 10.0
"""How long a told address that did not answer as it should is left alone: to look up a name may hold a thread."""

AGAIN_SECONDS_MIN, AGAIN_SECONDS_MAX = 1.0, 30.0
"""Between two looks at who is there, of a client that makes calls and meets no failure: the first while somebody is
missing (a member that has just started is not known to the others yet), twice as long each time, up to the second."""

Ask = Callable[[str], Awaitable[dict[str, Any] | None]]
"""The JSON object at a URL; None: there was none within half a second."""


class _Found(NamedTuple):
    """A member that answered at its own address once. `answers`: it did when it was last looked at."""

    name: str
    answers: bool


class Nodes:
    """`urls`: all that may be asked, in order of preference. `current`: which is."""

    def __init__(self, given: Sequence[str], discover: bool, ask: Ask) -> None:
        self._given = tuple(dict.fromkeys(given))
        self._discover = discover
        self._ask = ask
        self._found: dict[str, _Found] = {}
        self._cluster_id = ""
        self._probe_from: dict[str, float] = {}
        self._leaving_until: dict[str, float] = {}
        self._looking: asyncio.Task[None] | None = None
        self._look_from = math.inf
        self._again_s = AGAIN_SECONDS_MIN
        self.urls: tuple[str, ...] = self._given
        self.current: str = self._given[0]

    def move_on(self, url: str) -> None:
        """To another node, unless another call has moved on already; meanwhile look who leads, and who is there."""
        if self.current != url:
            return
        here = self.urls.index(url) if url in self.urls else -1
        others = [*self.urls[here + 1 :], *self.urls[: max(here, 0)]]
        if others:
            self.current = next((other for other in others if not self._leaves(other)), others[0])
        if others or self._discover:
            self._begin_to_look()

    def refresh(self) -> None:
        """A call begins: look who is there, where that was long ago. It waits for nothing."""
        if asyncio.get_running_loop().time() >= self._look_from:
            self._begin_to_look()

    def leaving(self, url: str) -> None:
        """It ended the connection with its answer."""
        self._leaving_until[url] = asyncio.get_running_loop().time() + LEAVING_SECONDS
        self.move_on(url)

    async def look(self) -> None:
        """Prefer the node that leads in the highest term: it saves a hop. Any node will do, so nothing fails."""
        said = dict(zip(self.urls, await self._ask_all("status", self.urls), strict=True))
        if self._discover:
            said |= await self._find(said)
            self._arrange()
        leaders = [
            (status["term"], url in self._found, at, url)
            for at, (url, status) in enumerate(said.items())
            if status and status.get("role") == "leader" and isinstance(status.get("term"), int) and url in self.urls
        ]
        if leaders and not self._leaves(max(leaders)[-1]):
            self.current = max(leaders)[-1]

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    def _begin_to_look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.look(), name="find the leader")

    def _leaves(self, url: str) -> bool:
        return self._leaving_until.get(url, 0.0) > asyncio.get_running_loop().time()

    async def _ask_all(self, what: str, urls: Sequence[str]) -> list[dict[str, Any] | None]:
        return await asyncio.gather(*(self._ask(f"{url}/{what}") for url in urls))

    # --- the members' own addresses ----------------------------------------------------------------------------

    async def _find(self, said: Mapping[str, dict[str, Any] | None]) -> dict[str, dict[str, Any] | None]:
        """Ask one who answered for the members, and each new one whether it is the one that it should be. What they
        say of themselves."""
        teller = self._teller(said)
        cluster = await self._ask(f"{teller}/cluster") if teller else None
        if cluster is None or not isinstance(cluster.get("cluster_id"), str):
            self._found = {url: found._replace(answers=bool(said.get(url))) for url, found in self._found.items()}
            return {}
        self._cluster_id = cluster["cluster_id"]
        told, missing = self._told(cluster, teller)
        now = asyncio.get_running_loop().time()
        new = [url for url in told if url not in said and now >= self._probe_from.get(url, 0.0)]
        answers = dict(zip(new, await self._ask_all("status", new), strict=True))
        self._take(told, {**said, **answers}, now)
        missing = missing or len(self._found) < len(told)
        self._again_s = min(2 * self._again_s, AGAIN_SECONDS_MAX) if missing else AGAIN_SECONDS_MIN
        self._look_from = now + (self._again_s / 2 if missing else AGAIN_SECONDS_MAX)
        return answers

    def _teller(self, said: Mapping[str, dict[str, Any] | None]) -> str:
        """A member of the known cluster, else one that was given; empty: nobody answers."""
        born = [url for url in self.urls if (said.get(url) or {}).get("cluster_id")]
        own = [url for url in born if url in self._found and self._is(said.get(url), self._found[url].name)]
        return next(iter([*own, *(url for url in born if url in self._given)]), "")

    def _told(self, cluster: Mapping[str, Any], teller: str) -> tuple[dict[str, str], bool]:
        """Names by address, and whether somebody is missing. A member of whom the teller heard nothing stays where it
        was found. Whoever was asked over TLS names nobody without."""
        names, told = set(), {}
        rows = cluster.get("nodes")
        for row in rows[:FOUND_MAX] if isinstance(rows, list) else ():
            name, status = (row.get("name"), row.get("status")) if isinstance(row, dict) else (None, None)
            url = status.get("client_url") if isinstance(status, dict) else None
            if not isinstance(name, str):
                continue
            if not isinstance(url, str) or not is_base_url(url):
                names.add(name)
            elif url.startswith("https:") or not teller.startswith("https:"):
                told[url.rstrip("/")] = name
        kept = {url: found.name for url, found in self._found.items() if found.name in names}
        return kept | told, bool(names - set(kept.values()))

    def _take(self, told: Mapping[str, str], said: Mapping[str, dict[str, Any] | None], now: float) -> None:
        found, probe_from = {}, {}
        for url, name in told.items():
            status = said.get(url)
            if self._is(status, name):
                found[url] = _Found(name, answers=True)
            elif status is None and url in self._found:
                found[url] = _Found(name, answers=False)
            elif url not in self._given:
                probe_from[url] = max(self._probe_from.get(url, 0.0), now + PROBE_AGAIN_SECONDS * (url in said))
        self._found, self._probe_from = found, probe_from

    def _is(self, status: dict[str, Any] | None, name: str) -> bool:
        return status is not None and (status.get("name"), status.get("cluster_id")) == (name, self._cluster_id)

    def _arrange(self) -> None:
        """Who answers at its own address, what was given, and who answered there once."""
        answering = [url for url, found in self._found.items() if found.answers]
        self.urls = tuple(dict.fromkeys((*answering, *self._given, *self._found)))
        self._leaving_until = {url: until for url, until in self._leaving_until.items() if url in self.urls}
        if self.current not in self.urls:
            self.current = self.urls[0]
