"""Partitions by NetworkPolicies: objected to, planned, installed, taken back.

Why it exists: this is `Network` of targets/port.py for Kubernetes. Whether a partition is in force is for `dial` and
the nodes themselves to show: here only objects are made and unmade. It must not decide who is cut off from whom.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence

from chaos.errors import ChaosError, Refused
from chaos.targets.kubernetes.api import Api, ApiError, Object
from chaos.targets.kubernetes.around import look_around, policies_path
from chaos.targets.kubernetes.dial import dial
from chaos.targets.kubernetes.narrowing import (
    MANAGED_BY_LABEL,
    MANAGER,
    ORIGINAL,
    RUN_LABEL,
    finishing_patch,
    is_as_narrowed,
    is_narrowed,
    widening_patch,
)
from chaos.targets.kubernetes.release import Release
from chaos.targets.kubernetes.shape import Around, Partition, culprits, narrowing_patch, partition_of
from chaos.targets.port import Cut, Journal, Pair, UndoStep

DELETE_POLICY, RESTORE_POLICY = "delete-policy", "restore-policy"
CHANGED = "was changed by somebody else since"
ATTEMPTS_MAX = 5
"""How often a change of a chart policy is tried when somebody else changes it at the same time."""


class PolicyNetwork:
    """`Network` of one release. `prepare` before anything else: `plan` may not ask."""

    def __init__(self, api: Api, release: Release, wall: Callable[[], float] = time.time) -> None:
        self._api = api
        self._release = release
        self._wall = wall
        self._around: Around | None = None
        self.owner: Object | None = None
        """What is made goes with this object, where there is one."""

    async def prepare(self) -> None:
        """Look at the pods and policies that there are."""
        self._around = await look_around(self._api, self._release)

    async def objections(self, cut: Cut) -> Sequence[str]:
        await self.prepare()
        around, found = self._seen, []
        unknown = sorted(set(cut.nodes) - set(around.ends))
        if unknown:
            return [f"{', '.join(unknown)}: no pod of {self._release.title}."]
        for policy in around.policies:
            if run := (policy["metadata"].get("labels") or {}).get(RUN_LABEL):
                name = policy["metadata"]["name"]
                found.append(f"Policy {name} is what run {run} left behind: `raft-chaos heal --all` takes it away.")
        if self._release.template["spec"].get("hostNetwork"):
            found.append("The pods use their machines' network (hostNetwork), which NetworkPolicies do not reach.")
        partition = partition_of(around, cut, "plan", self._wall())
        for name, pairs in culprits(around, cut, partition).items():
            shown = ", ".join(f"{source} to {target}" for source, target in pairs[:3])
            more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
            found.append(
                f"NetworkPolicy {name} in namespace {self._release.namespace} admits {shown}{more} on port "
                f"{self._release.peer_port}: policies only ever allow, so it would void the partition. "
                "Narrow or delete it first."
            )
        return found

    def plan(self, cut: Cut, run: str, seconds: float) -> Sequence[str]:
        partition = self._partition(self._seen, cut, run, seconds)
        lines = []
        for policy in partition.create:
            lines.append(f"POST {policies_path(self._release.namespace)} {json.dumps(policy)}")
        before = {policy["metadata"]["name"]: policy for policy in self._seen.policies}
        for policy in partition.narrow:
            name = policy["metadata"]["name"]
            patch = json.dumps(narrowing_patch(before[name], policy))
            lines.append(f"PATCH {policies_path(self._release.namespace, name)} {patch}")
        if partition.cuts_outside:
            lines.append(
                "note: addresses outside the cluster are cut off from the restricted side as well, for the address "
                "ranges of pods are not known (no permission to list nodes, or nodes without podCIDRs)"
            )
        return lines

    async def install(self, cut: Cut, run: str, seconds: float, journal: Journal) -> None:
        await self.prepare()
        # Create first: as long as the chart's policy admits, a new policy changes nothing, and nothing is closed by it
        for policy in self._partition(self._seen, cut, run, seconds).create:
            journal.will_do(_deletion(policy["metadata"]["name"], run))
            await self._create(policy)
        for attempt in range(ATTEMPTS_MAX):
            narrow = self._partition(self._seen, cut, run, seconds).narrow
            before = {policy["metadata"]["name"]: policy for policy in self._seen.policies}
            try:
                for policy in narrow:
                    await self._narrow(before[policy["metadata"]["name"]], policy, run, journal)
                return
            except ApiError as error:
                if error.status != 409 or attempt == ATTEMPTS_MAX - 1:
                    raise
            await self.prepare()

    async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        return await dial(self._api, self._release, pairs)

    async def remove(self, cut: Cut, run: str, journal: Journal) -> Sequence[str]:  # noqa: ARG002
        """All that carries this run's label. What is narrowed is widened first, so that at no time less is allowed than
        before the run."""
        failed: ChaosError | None = None
        told: list[str] = []
        for step in await self.leftovers(run):
            try:
                said = await self.undo(step)
                journal.undone(step)
                told += [said] if CHANGED in said else []
            except ChaosError as error:
                failed = error  # the others must be tried all the same
        if failed is not None:
            raise failed
        return told

    async def leftovers(self, run: str | None = None) -> list[UndoStep]:
        """Policies of this run, or of any, in the order in which they should be undone."""
        selector = RUN_LABEL + (f"={run}" if run else "")
        steps = []
        for policy in await self._api.items(policies_path(self._release.namespace), labelSelector=selector):
            name, labels = str(policy["metadata"]["name"]), policy["metadata"]["labels"]
            if labels.get(MANAGED_BY_LABEL) == MANAGER:
                steps.append(_deletion(name, labels[RUN_LABEL]))
            else:
                original = (policy["metadata"].get("annotations") or {}).get(ORIGINAL, "")
                steps.append(_restoration(name, labels[RUN_LABEL], original))
        return sorted(steps, key=lambda step: (step.do == DELETE_POLICY, step.arguments["name"]))

    async def undo(self, step: UndoStep) -> str:
        name, run = step.arguments["name"], step.arguments["run"]
        path = policies_path(self._release.namespace, name)
        if step.do == DELETE_POLICY:
            gone = await self._api.delete(path)
            return f"Deleted NetworkPolicy {name}." if gone else f"NetworkPolicy {name} was gone already."
        for _ in range(ATTEMPTS_MAX):
            policy = await self._api.find(path)
            mark = ((policy or {}).get("metadata", {}).get("labels") or {}).get(RUN_LABEL)
            if policy is None or (mark != run and (mark or not is_narrowed(policy, step.arguments["original"]))):
                return f"NetworkPolicy {name} is not narrowed by run {run} (any more)."
            try:
                return await self._widen(path, policy, step)
            except ApiError as error:
                if error.status != 409:
                    raise
        raise ChaosError(f"NetworkPolicy {name} is changed all the time by somebody else: try `heal --all` again.")

    async def look(self) -> Around:
        """Pods and policies as they are now."""
        await self.prepare()
        return self._seen

    @property
    def _seen(self) -> Around:
        if self._around is None:
            raise ChaosError("The network of this target was not looked at yet.")
        return self._around

    def _partition(self, around: Around, cut: Cut, run: str, seconds: float) -> Partition:
        return partition_of(around, cut, run, self._wall() + seconds)

    async def _create(self, policy: Object) -> None:
        if self.owner is not None:
            policy = {**policy, "metadata": {**policy["metadata"], "ownerReferences": [self.owner]}}
        try:
            await self._api.create(policies_path(self._release.namespace), policy)
        except ApiError as error:
            if error.status != 409:
                raise
            raise Refused(f"NetworkPolicy {policy['metadata']['name']} is there already: another run?") from error

    async def _narrow(self, before: Object, after: Object, run: str, journal: Journal) -> None:
        if (before["metadata"].get("labels") or {}).get(RUN_LABEL) == run:
            return  # done by an attempt that failed later on
        name = after["metadata"]["name"]
        journal.will_do(_restoration(name, run, after["metadata"]["annotations"][ORIGINAL]))
        await self._api.patch(policies_path(self._release.namespace, name), narrowing_patch(before, after))

    async def _widen(self, path: str, policy: Object, step: UndoStep) -> str:
        name, run, original = step.arguments["name"], step.arguments["run"], step.arguments["original"]
        widened = await self._api.patch(path, widening_patch(policy, original))
        await self._api.patch(path, finishing_patch(policy, widened, original))
        if is_as_narrowed(policy, original):
            return f"Restored the selector of NetworkPolicy {name}."
        return f"NetworkPolicy {name} {CHANGED} run {run} narrowed it: that stays, and only what the run added is gone."


def _deletion(name: str, run: str) -> UndoStep:
    return UndoStep(DELETE_POLICY, {"name": name, "run": run})


def _restoration(name: str, run: str, original: str) -> UndoStep:
    return UndoStep(RESTORE_POLICY, {"name": name, "run": run, "original": original})
