"""As whom the dead man's switch of a run works: the least that undoing takes, in this namespace.

Why it exists: a pod has no kubeconfig, and must not be handed that of a person. Where the tool itself is a
ServiceAccount of the namespace, or the chart made one for it, that is the one; else one is made for the run, owned by
the switch's Job, and goes with it.
"""

from contextlib import suppress

from chaos.targets.kubernetes.api import Api, ApiError, Forbidden, Object
from chaos.targets.kubernetes.release import Release

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
RULES: tuple[Object, ...] = (
    {
        "apiGroups": ["networking.k8s.io"],
        "resources": ["networkpolicies"],
        "verbs": ["get", "list", "patch", "delete"],
    },
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]},
)
_RBAC = "rbac.authorization.k8s.io"


async def there_is(api: Api, release: Release) -> str:
    """The ServiceAccount that is there for it; empty: none is known."""
    prefix = f"system:serviceaccount:{release.namespace}:"
    with suppress(ApiError):  # API servers before 1.28 cannot tell whom they talk to
        review = await api.create(REVIEWS, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        user = str(((review.get("status") or {}).get("userInfo") or {}).get("username", ""))
        if user.startswith(prefix):
            return user.removeprefix(prefix)
    charts = f"{release.stateful_set}-chaos"
    with suppress(Forbidden):
        if await api.find(f"/api/v1/namespaces/{release.namespace}/serviceaccounts/{charts}"):
            return charts
    return ""


async def make(api: Api, namespace: str, name: str, labels: dict[str, str], owner: Object) -> None:
    """ServiceAccount, Role and RoleBinding of that name. Raises Forbidden where this account may not."""
    metadata = {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner]}
    await api.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False},
    )
    folder = f"/apis/{_RBAC}/v1/namespaces/{namespace}"
    await api.create(
        f"{folder}/roles",
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": list(RULES)},
    )
    await api.create(
        f"{folder}/rolebindings",
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    )
