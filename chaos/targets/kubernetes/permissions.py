"""What this account may do, asked of the API server: one review for each verb that a fault needs.

Why it exists: a run that fails half-way for want of a permission is worse than one that never began. A review changes
nothing. It must not guess from roles: admission is the API server's to say.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from chaos.targets.kubernetes import deadman_account
from chaos.targets.kubernetes.api import Api
from chaos.targets.kubernetes.release import Release
from chaos.targets.port import Finding

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
CURE = "the chart's Role has it (chaos.rbac.create=true)"
CURE_ACCOUNT = "the chart installs an account for it, so that none has to be made (chaos.rbac.create=true)"


class Permission(msgspec.Struct, frozen=True):
    """`group` "" is the core API; `resource` may have a subresource after a slash."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def _all(group: str, resource: str, *verbs: str) -> tuple[Permission, ...]:
    return tuple(Permission(verb, group, resource) for verb in verbs)


# exec and port-forward over WebSockets: a GET that needs `get`, and from Kubernetes 1.35 `create` as well
READING = (
    *_all("apps", "statefulsets", "get", "list"),
    *_all("", "pods", "get", "list"),
    *_all("", "pods/portforward", "get", "create"),
    *_all("networking.k8s.io", "networkpolicies", "list"),
)
LOCKING = _all("coordination.k8s.io", "leases", "get", "create", "update", "delete")
EXEC = _all("", "pods/exec", "get", "create")
DELETING = _all("", "pods", "delete")
POLICIES = _all("networking.k8s.io", "networkpolicies", "get", "list", "create", "patch", "delete")
SWITCH = _all("batch", "jobs", "get", "list", "create", "delete")
_RBAC = "rbac.authorization.k8s.io"
ACCOUNT = (
    *_all("", "serviceaccounts", "create"),
    *_all(_RBAC, "roles", "create"),
    *_all(_RBAC, "rolebindings", "create"),
    *_all("batch", "jobs", "patch"),
)
"""Where no account is there as which the switch may work: one is made, while the Job waits for it."""
TRYING = (
    *_all("", "pods", "create", "delete"),
    *_all("networking.k8s.io", "networkpolicies", "create", "delete"),
    *EXEC,
)
NODES = (Permission("list", "", "nodes"),)

NEEDS: tuple[tuple[str, tuple[Permission, ...]], ...] = (
    ("status", READING),
    ("any fault", LOCKING),
    ("kill-leader --mode delete", DELETING),
    ("kill-leader --mode sigkill", EXEC),
    ("pause", EXEC),
    ("partition", (*POLICIES, *EXEC)),
)
THE_SWITCH = "the dead man's switch of partition"


async def reviewed(api: Api, release: Release) -> tuple[list[Finding], bool, bool]:
    """(what `doctor` says of it, whether policies may be tried on throw-away pods, whether nodes may be listed)."""
    namespace = release.namespace
    needs = (*NEEDS, (THE_SWITCH, SWITCH if await deadman_account.there_is(api, release) else (*SWITCH, *ACCOUNT)))
    wanted = sorted({one for _, needed in needs for one in needed} | {*TRYING, *NODES}, key=str)
    answers = await asyncio.gather(*(_may(api, namespace, one) for one in wanted))
    allowed = {one for one, may in zip(wanted, answers, strict=True) if may}
    found = [_finding(namespace, what, [one for one in needed if one not in allowed]) for what, needed in needs]
    if NODES[0] not in allowed:
        found.append(
            Finding(
                "warning",
                "permissions",
                "Nodes may not be listed, so a partition also cuts its smaller side off from addresses outside the "
                "cluster; chaos.rbac.nodes=true allows it.",
            )
        )
    return found, all(one in allowed for one in TRYING), NODES[0] in allowed


def _finding(namespace: str, what: str, missing: Sequence[Permission]) -> Finding:
    if not missing:
        return Finding("ok", "permissions", f"{what}: allowed in namespace {namespace}.")
    named = ", ".join(map(str, missing))
    cure = CURE_ACCOUNT if any(one in ACCOUNT for one in missing) else CURE
    return Finding("error", "permissions", f"{what}: not allowed in namespace {namespace}: {named}; {cure}.")


async def _may(api: Api, namespace: str, permission: Permission) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {"verb": permission.verb, "group": permission.group, "resource": resource, "subresource": subresource}
    if permission not in NODES:
        attributes["namespace"] = namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return bool((await api.create(REVIEWS, review)).get("status", {}).get("allowed"))
