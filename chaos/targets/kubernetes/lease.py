"""One run at a time: a Lease that names the run and for how long.

Why it exists: policies only ever allow, so two partitions at once weaken each other. A run that was killed must not
lock out the next one for ever, so `heal` may let go of a Lease that was watched for as long as it lasts and was not
renewed. It must not decide how long a run may last, nor compare clocks of different machines: what a Lease says of the
time is for people.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from chaos.errors import Refused
from chaos.targets.kubernetes.api import Api, ApiError, Object
from chaos.targets.kubernetes.narrowing import MANAGED_BY_LABEL, MANAGER, RUN_LABEL
from chaos.targets.kubernetes.release import Release

RELEASE_LEASE = "delete-lease"
LOOK_AGAIN_SECONDS = 0.5
WATCH_SECONDS_MAX = 60.0
"""A Lease is watched no longer, whatever it says: a run renews its own every few seconds."""
ATTEMPTS_MAX = 3
"""How often it is written when it changes in the instant between: an answer that was lost looks like that too."""


def lock_name(release: Release) -> str:
    """Of the Lease; the chart's Role names it, too."""
    return f"raft-chaos-{release.name}"


class Lock:
    """Of one release. `take` again to renew."""

    def __init__(self, api: Api, release: Release, wall: Callable[[], float] = time.time) -> None:
        self._api = api
        self._wall = wall
        self._release = release
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{release.namespace}/leases"
        self.name = lock_name(release)
        self._run, self._seconds = "", 0.0
        self.owner: Object | None = None
        """The Lease goes with this object, where there is one."""

    async def renew(self) -> None:
        """Now, where it is held: with or without the owner that it is to have from now on."""
        if self._run:
            await self.take(self._run, self._seconds)

    async def take(self, run: str, seconds: float) -> None:
        """Raises `Refused` while it names another run, alive or dead."""
        failed: ApiError | None = None
        for _ in range(ATTEMPTS_MAX):
            there = await self._api.find(f"{self._folder}/{self.name}")
            holder = _spec(there).get("holderIdentity")
            if holder and holder != run:
                raise Refused(
                    f"Run {holder} works on {self._release.title} (it holds the Lease {self.name}): wait for its end, "
                    "or take back what it did with `raft-chaos heal --all` where it is dead."
                )
            # Before it is asked for: a request that is broken off may still be done
            self._run, self._seconds = run, seconds
            try:
                return await self._write(there, self._lease(run, seconds, there if holder == run else None))
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
                failed = error
        raise Refused(f"The Lease {self.name} is changed all the time by somebody else.") from failed

    async def _write(self, there: Object | None, lease: Object) -> None:
        if there is None:
            await self._api.create(self._folder, lease)
        else:
            lease["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
            await self._api.replace(f"{self._folder}/{self.name}", lease)

    async def release(self) -> None:
        """Let it go, if it is still ours."""
        if self._run:
            await self.clear(self._run)
            self._run = ""

    async def clear(self, run: str) -> bool:
        """Whether this run held it."""
        there = await self._api.find(f"{self._folder}/{self.name}")
        if there is None or _spec(there).get("holderIdentity") != run:
            return False
        metadata = there["metadata"]
        seen = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            return await self._api.delete(f"{self._folder}/{self.name}", {"preconditions": seen})
        except ApiError as error:
            if error.status == 409:
                return False
            raise

    async def refuse_living(self, dead: Collection[str], say: Callable[[str], None]) -> None:
        """Watch a Lease for as long as it lasts, by this machine's own clock; `Refused` as soon as it is seen renewed.
        One of a run in `dead` is not waited for."""
        seen: Object = {}
        loop = asyncio.get_running_loop()
        until = loop.time()
        while True:
            spec = _spec(await self._api.find(f"{self._folder}/{self.name}"))
            holder = spec.get("holderIdentity")
            if not holder or holder in dead or self.is_ours(holder):
                return
            if seen and spec != seen:
                raise Refused(
                    f"Run {holder} still goes on against {self._release.title} (it renewed the Lease {self.name}) and "
                    "heals by itself: end it where it runs; nothing was changed."
                )
            if not seen:
                left_s = min(float(spec.get("leaseDurationSeconds") or 0), WATCH_SECONDS_MAX)
                until = loop.time() + left_s
                say(f"waiting {left_s:.0f} s at most to see whether run {holder} still goes on (Lease {self.name})")
            seen = spec
            left_s = until - loop.time()
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, LOOK_AGAIN_SECONDS))

    def is_ours(self, run: str) -> bool:
        """Whether this process took it for that run."""
        return bool(run) and run == self._run

    async def holder(self) -> str:
        """The run that it names, expired or not; empty: none."""
        there = await self._api.find(f"{self._folder}/{self.name}")
        return str(_spec(there).get("holderIdentity") or "")

    def _lease(self, run: str, seconds: float, mine: Object | None) -> Object:
        now = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        metadata: Object = {"name": self.name, "labels": {MANAGED_BY_LABEL: MANAGER, RUN_LABEL: run}}
        if self.owner is not None:
            metadata["ownerReferences"] = [self.owner]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": run,
                "leaseDurationSeconds": max(1, round(seconds)),
                "acquireTime": _spec(mine).get("acquireTime", now),
                "renewTime": now,
            },
        }


def _spec(lease: Object | None) -> Object:
    return (lease or {}).get("spec") or {}
