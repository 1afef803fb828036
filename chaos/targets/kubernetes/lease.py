"""One run at a time: a Lease that names the run and for how long.

Why it exists: policies only ever allow, so two partitions at once weaken each other. A run that was killed must not
lock out the next one for ever, so a Lease that was not renewed in time may be taken over. It must not decide how long a
run may last. Clocks of different machines are compared here: keep them within seconds.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from chaos.errors import Refused
from chaos.targets.kubernetes.api import Api, ApiError, Object
from chaos.targets.kubernetes.release import Release
from chaos.targets.kubernetes.shape import MANAGED_BY_LABEL, MANAGER, RUN_LABEL

RELEASE_LEASE = "delete-lease"
LOOK_AGAIN_SECONDS = 0.5


class Lock:
    """Of one release. `take` again to renew."""

    def __init__(self, api: Api, release: Release, wall: Callable[[], float] = time.time) -> None:
        self._api = api
        self._wall = wall
        self._release = release
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{release.namespace}/leases"
        self.name = f"raft-chaos-{release.name}"
        self._run = ""

    async def take(self, run: str, seconds: float) -> None:
        """Raises `Refused` while another run holds it."""
        there = await self._api.find(f"{self._folder}/{self.name}")
        spec = (there or {}).get("spec") or {}
        holder, left = spec.get("holderIdentity"), _seconds_left(spec, self._wall())
        if holder and holder != run and left > 0:
            raise Refused(
                f"Run {holder} works on {self._release.title} for another {left:.0f} s at most (Lease {self.name}): "
                "wait for its end, or take back what it did with `raft-chaos heal --all` where it is dead."
            )
        lease = self._lease(run, seconds, there if holder == run else None)
        try:
            if there is None:
                await self._api.create(self._folder, lease)
            else:
                lease["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
                await self._api.replace(f"{self._folder}/{self.name}", lease)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            raise Refused(f"Another run took Lease {self.name} in this instant.") from error
        self._run = run

    async def release(self) -> None:
        """Let it go, if it is still ours."""
        if self._run:
            await self.clear(self._run)
            self._run = ""

    async def clear(self, run: str) -> bool:
        """Whether this run held it."""
        there = await self._api.find(f"{self._folder}/{self.name}")
        if there is None or there["spec"].get("holderIdentity") != run:
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
        """Watch a Lease that has not expired until it does, its own duration at most; `Refused` as soon as it is seen
        renewed. One of a run in `dead` is not waited for."""
        seen: Object = {}
        loop = asyncio.get_running_loop()
        until = loop.time()
        while True:
            spec: Object = ((await self._api.find(f"{self._folder}/{self.name}")) or {}).get("spec") or {}
            holder, left = spec.get("holderIdentity"), _seconds_left(spec, self._wall())
            if not holder or holder in dead or self.is_ours(holder):
                return
            if seen and spec != seen:
                raise Refused(
                    f"Run {holder} still goes on against {self._release.title} (it renewed the Lease {self.name}) and "
                    "heals by itself: end it where it runs; nothing was changed."
                )
            if not seen:
                left_s = min(left, float(spec.get("leaseDurationSeconds") or 0))
                until = loop.time() + left_s
                if left_s > 0:
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
        return str(((there or {}).get("spec") or {}).get("holderIdentity") or "")

    def _lease(self, run: str, seconds: float, mine: Object | None) -> Object:
        now = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "labels": {MANAGED_BY_LABEL: MANAGER, RUN_LABEL: run}},
            "spec": {
                "holderIdentity": run,
                "leaseDurationSeconds": max(1, round(seconds)),
                "acquireTime": mine["spec"].get("acquireTime", now) if mine else now,
                "renewTime": now,
            },
        }


def _seconds_left(spec: Object, now: float) -> float:
    try:
        renewed = datetime.fromisoformat(str(spec["renewTime"]).replace("Z", "+00:00")).timestamp()
    except (KeyError, ValueError):
        return 0.0
    return renewed + float(spec.get("leaseDurationSeconds") or 0) - now
