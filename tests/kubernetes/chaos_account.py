"""The account that the chart makes for raft-chaos, as a kubeconfig, and what the API server noted that it changed.

Why it exists: the tool must work with the least that the chart grants it, not with an administrator's rights.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.kube import Namespace, run
from tests.kubernetes.release import Release

TOKEN_VALID = "2h"
RBAC = ("--set", "chaos.rbac.create=true")


def kubeconfig_of(release: Release, folder: Path, context: str = "least") -> Path:
    """Of the ServiceAccount `<fullname>-chaos`, its namespace chosen."""
    namespace, account = release.namespace, f"{release.fullname}-chaos"
    token = namespace.kubectl("create", "token", account, f"--duration={TOKEN_VALID}").strip()
    there = json.loads(run("kubectl", "config", "view", "--raw", "--minify", "--flatten", "--output=json"))
    cluster = there["clusters"][0]
    chosen = {"cluster": cluster["name"], "user": account, "namespace": namespace.name}
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [cluster],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": context, "context": chosen}],
    }
    path = folder / f"kubeconfig-{namespace.name}"
    path.write_text(json.dumps(made))
    path.chmod(0o600)
    return path


def audit_end() -> int:
    """Where the audit log ends now; skips the test where there is none."""
    path = _audit_log()
    if not path.exists():
        pytest.skip("this Kubernetes writes no audit log")
    return path.stat().st_size


def audited(since: int, namespace: Namespace, account: str) -> list[Mapping[str, Any]]:
    """What this ServiceAccount asked since then."""
    with _audit_log().open("rb") as file:
        file.seek(since)
        events = [json.loads(line) for line in file if line.endswith(b"\n")]
    user = f"system:serviceaccount:{namespace.name}:{account}"
    return [event for event in events if event.get("user", {}).get("username") == user]


def _audit_log() -> Path:
    return Path(os.environ["KUBECONFIG"]).parent / "logs" / "audit.log"
