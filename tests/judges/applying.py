"""Loops of `kubectl apply`, and what each was told; and one who watches all the while.

Why it exists: an apply that exited with 0 was acknowledged, and is to be found again; one that did not may have
happened. Each loop owns its objects, so nobody else explains what they hold.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.judges.apiserver import Api
from tests.judges.verdicts import Window

OBJECTS_PER_LOOP = 8
APPLIES_PER_LOOP_MAX = 2_000
GROUP = "judges.example.org"


def config_map(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


def custom(name: str, value: str) -> dict[str, Any]:
    """An object of the kind that `DEFINITION` defines."""
    return {"apiVersion": f"{GROUP}/v1", "kind": "Verdict", "metadata": {"name": name}, "spec": {"value": value}}


DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"verdicts.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "verdicts", "singular": "verdict", "kind": "Verdict"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"value": {"type": "string"}}}},
                    }
                },
            }
        ],
    },
}


def value_of(found: dict[str, Any]) -> str:
    """What was applied to either kind."""
    return str((found.get("data") or found.get("spec") or {}).get("value"))


def seen(items: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """By name: revision and value."""
    return {one["metadata"]["name"]: (one["metadata"]["resourceVersion"], value_of(one)) for one in items}


@dataclass
class Told:
    """What is known of one object: its last acknowledged value, and those tried since, whose outcome nobody knows."""

    kind: str
    acknowledged: str = ""
    unknown: list[str] = field(default_factory=list)


@dataclass
class Applies:
    """All that loops were told. A failure is (begin, end, what kubectl said)."""

    told: dict[str, Told] = field(default_factory=dict)
    acknowledged: int = 0
    failures: list[tuple[float, float, str]] = field(default_factory=list)
    longest_s: float = 0.0
    """Of one apply, that of kubectl and of a busy machine with it."""

    def lost(self, found: dict[str, str], kind: str) -> list[str]:
        """The objects of that kind that do not hold what was acknowledged; `found`: value by name."""
        return [
            f"{name} holds {found.get(name)}: acknowledged {told.acknowledged}, tried since {told.unknown}"
            for name, told in self.told.items()
            if told.kind == kind and told.acknowledged and found.get(name) not in (told.acknowledged, *told.unknown)
        ]

    def failed_outside(self, windows: Sequence[Window]) -> list[str]:
        """What kubectl said where an apply failed though no node was away."""
        return [
            said
            for begin, end, said in self.failures
            if not any(begin <= window.end and end >= window.begin for window in windows)
        ]

    def in_short(self) -> str:
        return f"{self.acknowledged} applies, {len(self.failures)} refused, the longest {self.longest_s:.1f} s"


async def loop(api: Api, namespace: str, number: int, applies: Applies, stop: asyncio.Event) -> None:
    """Apply to one object after the other until told to stop: some on the server's side, some of a custom kind."""
    for count in range(APPLIES_PER_LOOP_MAX):
        if stop.is_set():
            return
        name = f"of-{number}-{count % OBJECTS_PER_LOOP}"
        manifest = (custom if number % 3 == 0 else config_map)(name, f"{number}.{count}")
        told = applies.told.setdefault(name, Told(manifest["kind"]))
        told.unknown.append(value_of(manifest))
        begin = time.time()
        how = ("--server-side",) if number % 2 else ()
        ran = await api.kubectl("apply", "-n", namespace, *how, "-f", "-", given=manifest)
        applies.longest_s = max(applies.longest_s, time.time() - begin)
        if ran.code == 0:
            applies.acknowledged += 1
            told.acknowledged, told.unknown = value_of(manifest), []
        else:
            applies.failures.append((begin, time.time(), ran.err.strip()))


class Watcher:
    """Follows one collection by the API's watch, and keeps what it was told: from a list on, change by change."""

    def __init__(self, api: Api, path: str, kind: str) -> None:
        self._api, self.path, self.kind = api, path, kind
        self.objects: dict[str, tuple[str, str]] = {}
        self.revisions: list[int] = []
        self.streams = 0
        self._revision = ""

    async def begin(self) -> None:
        found = await self._api.get(self.path)
        self.objects = seen(found["items"])
        self._revision = found["metadata"]["resourceVersion"]

    async def follow(self) -> None:
        """For ever. A stream that ends is begun again where it was; one that says an error fails."""
        while True:
            self.streams += 1
            parameters = {"watch": "1", "resourceVersion": self._revision, "timeoutSeconds": "600"}
            timeout = aiohttp.ClientTimeout(total=None)
            url = f"{self._api.url}{self.path}"
            async with self._api.http.get(url, params=parameters, timeout=timeout) as answer:
                assert answer.status == 200, await answer.text()
                async for line in answer.content:
                    self._heard(json.loads(line))
            await asyncio.sleep(0.1)

    def _heard(self, event: dict[str, Any]) -> None:
        kind, found = event["type"], event["object"]
        assert kind in ("ADDED", "MODIFIED", "DELETED"), f"the watch of {self.path} said {event}"
        name, self._revision = found["metadata"]["name"], found["metadata"]["resourceVersion"]
        assert kind != "ADDED" or name not in self.objects, f"{name} was added twice"
        assert kind == "ADDED" or name in self.objects, f"{kind} of {name}, which was never added"
        self.revisions.append(int(self._revision))
        if kind == "DELETED":
            del self.objects[name]
        else:
            self.objects |= seen([found])
