"""The dead man's switch in Kubernetes: a Job of the release's own image, made before the first act.

Why it exists: the tool's machine may be gone with the tool. The Job's pod watches the Lease of the run, and takes back
what carries the run's label once that is not renewed any more (`deadman_pod.py`). What a run makes is owned by the Job
besides: a Job that ended is deleted after seconds, one that goes on too long is ended, and garbage collection takes all
that it owns. It must not heal by itself.
"""

import asyncio
import inspect
import json
import time
from contextlib import suppress

from chaos.errors import NOT_EFFECTIVE, TOOL_FAILED, ChaosError, Refused
from chaos.switch.port import SILENT_SECONDS, Charge
from chaos.targets.kubernetes import deadman_account, deadman_pod, narrowing
from chaos.targets.kubernetes.api import Api, Forbidden, Object
from chaos.targets.kubernetes.lease import Lock
from chaos.targets.kubernetes.narrowing import MANAGED_BY_LABEL, MANAGER, RUN_LABEL
from chaos.targets.kubernetes.ownpods import pod_spec
from chaos.targets.kubernetes.partition import PolicyNetwork
from chaos.targets.kubernetes.release import Release
from chaos.targets.port import UndoStep

DELETE_JOB = "delete-job"
SWITCH_LABEL = "raft-chaos/switch"
"""On the Job and its pod, whose own labels must not make them a part of the release."""
READY_SECONDS_MAX = 60.0
GONE_SECONDS_MAX = 20.0
LOOK_SECONDS = 0.2
WATCH_SECONDS = 3.0
KEPT_SECONDS = 10
"""A Job that ended is deleted so much later, with all that it owns."""
READY_FILE = "/tmp/ready"
LOADER = (
    "import json, sys, types\n"
    "for name, text in json.loads(sys.argv[1]).items():\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    exec(compile(text, name, 'exec'), module.__dict__)\n"
    "sys.exit(module.main(sys.argv[2:]))\n"
)
WITHOUT = "add --without-switch to go on without one"


def jobs_path(namespace: str, name: str = "") -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs" + (f"/{name}" if name else "")


class DeadMan:
    """Satisfies `Switch`."""

    def __init__(self, api: Api, release: Release, lock: Lock, network: PolicyNetwork, charge: Charge) -> None:
        self._api, self._release, self._lock, self._network = api, release, lock, network
        self._charge = charge
        self._path = jobs_path(release.namespace, job_name(charge.run))
        self._watch: asyncio.Task[None] | None = None

    async def arm(self) -> None:
        """Return once its pod has seen the Lease, and this goes with the Job. Raises Refused where it does not come to
        that, nothing left."""
        try:
            try:
                job = await self._make()
                await self._until_ready()
            except Forbidden as error:
                said = str(error).rstrip(".")
                raise Refused(f"The dead man's switch of this run cannot be made: {said}; or {WITHOUT}.") from error
            self._lock.owner = self._network.owner = _owner(job)
            # At once: if this tool were gone a second later, the Lease would stay, and lock others out
            await self._lock.renew()
        except BaseException:
            await asyncio.shield(self.disarm())
            raise
        self._watch = asyncio.create_task(self._until_ended(), name="watch the switch")

    async def disarm(self) -> None:
        await self._let_go()
        with suppress(ChaosError):  # else it sees that no Lease is renewed, finds nothing, and ends
            if self._lock.owner is not None:
                self._lock.owner = None
                await self._lock.renew()  # or it would go with the Job, before this run ends
            await delete_job(self._api, self._release.namespace, job_name(self._charge.run))

    async def leave(self) -> None:
        """It takes over when the Lease is not renewed any more."""
        await self._let_go()

    async def _let_go(self) -> None:
        self._network.owner = None
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _make(self) -> Object:
        run, namespace = self._charge.run, self._release.namespace
        account = await deadman_account.there_is(self._api, self._release)
        job = _job(self._release, self._charge, self._lock.name, account or job_name(run), suspend=not account)
        made = await self._api.create(jobs_path(namespace), job)
        if not account:
            await deadman_account.make(self._api, namespace, job_name(run), _labels(run), _owner(made))
            made = await self._api.patch(self._path, {"spec": {"suspend": False}})
        return made

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        until, why = loop.time() + READY_SECONDS_MAX, "its pod was not made"
        late = False
        while not late:
            late = loop.time() >= until  # where this tool stood still itself, once more is looked all the same
            for pod in await _pods(self._api, self._release.namespace, self._charge.run):
                status = pod.get("status") or {}
                if any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or []):
                    return
                why = _why_not(status)
            await asyncio.sleep(LOOK_SECONDS)
        raise Refused(
            f"The dead man's switch of this run, Job {job_name(self._charge.run)} in namespace "
            f"{self._release.namespace}, was not ready within {READY_SECONDS_MAX:.0f} s: {why}; {WITHOUT}. "
            "Nothing was changed."
        )

    async def _until_ended(self) -> None:
        """It ends well only where it healed. Its pods may fail and be made anew; it may be deleted, or past its end."""
        healed: bool | None = None
        seen_at = time.time()  # not a monotonic clock: those stand still with a laptop whose lid is closed
        while healed is None:
            await asyncio.sleep(WATCH_SECONDS)
            with suppress(ChaosError):
                job = await self._api.find(self._path)
                healed, seen_at = _has_healed(job, time.time() - seen_at), time.time()
        self._lock.owner = self._network.owner = None
        with suppress(ChaosError):  # what a Job that is gone owns goes too, and the lock is needed until all is healed
            await self._lock.renew()
        switch = f"the dead man's switch (Job {job_name(self._charge.run)})"
        if healed:
            why = "saw no sign of life of this tool, and took back what it had done; the run proves nothing"
            self._charge.ended(f"{switch} {why}", NOT_EFFECTIVE)
        else:
            self._charge.ended(f"{switch} is gone, so the run ends", TOOL_FAILED)


def _has_healed(job: Object | None, unseen_s: float) -> bool | None:
    """Whether it ended because all is taken back, or for another reason; None: it goes on. `unseen_s`: for how long
    this tool did not look. One that is gone since has healed and was deleted for that, where it was long enough."""
    if job is None:
        return unseen_s >= SILENT_SECONDS
    conditions = (job.get("status") or {}).get("conditions") or []
    ended = {one["type"] for one in conditions if one["status"] == "True"} & {"Complete", "Failed"}
    return "Complete" in ended if ended else None


def job_name(run: str) -> str:
    return f"raft-chaos-{run}"


async def jobs_left(api: Api, namespace: str) -> list[UndoStep]:
    """Switches that are still there; none where they may not be looked for, for they end by themselves."""
    try:
        found = await api.items(jobs_path(namespace), labelSelector=SWITCH_LABEL)
    except Forbidden:
        return []
    metadata = [job["metadata"] for job in found if not job["metadata"].get("deletionTimestamp")]
    return [
        UndoStep(DELETE_JOB, {"name": str(one["name"]), "run": one["labels"].get(RUN_LABEL, "")}) for one in metadata
    ]


async def delete_job(api: Api, namespace: str, name: str) -> str:
    """With its pod: this waits for its end, in bounds."""
    loop = asyncio.get_running_loop()
    gone = await api.delete(jobs_path(namespace, name), {"propagationPolicy": "Background"})
    until = loop.time() + GONE_SECONDS_MAX
    while await _pods(api, namespace, name.removeprefix("raft-chaos-")) and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_SECONDS)
    return f"Deleted Job {name}." if gone else f"Job {name} was gone already."


async def _pods(api: Api, namespace: str, run: str) -> list[Object]:
    return await api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{SWITCH_LABEL}={run}")


def _why_not(status: Object) -> str:
    """What keeps a pod from being ready, as far as it says."""
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return f"{waiting['reason']} {waiting.get('message', '')}".strip().rstrip(".")
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return str(condition.get("message") or "its pod is not scheduled").rstrip(".")
    return "its pod runs and does not reach the API server"


def _labels(run: str) -> dict[str, str]:
    return {MANAGED_BY_LABEL: MANAGER, RUN_LABEL: run, SWITCH_LABEL: run}


def _owner(job: Object) -> Object:
    metadata = job["metadata"]
    return {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}


def _job(release: Release, charge: Charge, lease: str, account: str, suspend: bool) -> Object:
    sources = json.dumps({module.__name__: inspect.getsource(module) for module in (narrowing, deadman_pod)})
    told = [release.namespace, lease, charge.run, f"{SILENT_SECONDS:g}", READY_FILE]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(charge.run), "namespace": release.namespace, "labels": _labels(charge.run)},
        "spec": {
            "suspend": suspend,
            "backoffLimit": 6,
            "activeDeadlineSeconds": round(charge.seconds_max),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": {MANAGED_BY_LABEL: MANAGER, SWITCH_LABEL: charge.run}},
                "spec": pod_spec(
                    release,
                    ["python", "-c", LOADER, sources, *told],
                    {"exec": {"command": ["test", "-e", READY_FILE]}},
                    container={"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
                    volumes=[{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}],
                    restartPolicy="OnFailure",
                    serviceAccountName=account,
                    automountServiceAccountToken=True,
                ),
            },
        },
    }
