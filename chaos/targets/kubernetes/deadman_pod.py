"""The program of the pod that takes back what a run did in Kubernetes, when the tool is gone.

    python -c LOADER SOURCES NAMESPACE LEASE RUN SILENT_SECONDS READY_FILE

Why it exists: see `chaos/switch`. It watches the Lease of the run, which the tool renews every few seconds, by its own
clock; no two clocks are compared. It is sent to the pod as source, together with `narrowing.py`, and runs on the Python
of the nodes' image: it must import nothing else. It heals what carries the run's label, and ends with exit code 0.
"""

import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from chaos.targets.kubernetes.narrowing import (
    MANAGED_BY_LABEL,
    MANAGER,
    ORIGINAL,
    RUN_LABEL,
    Object,
    finishing_patch,
    widening_patch,
)

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOOK_SECONDS = 1.0
REQUEST_SECONDS_MAX = 10.0
FAILURES = (OSError, ValueError, RecursionError, http.client.HTTPException)
"""What a request raises that came to nothing: it is made again."""


class Api:
    """The API server, as a pod reaches it."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        self.account = Path(os.environ.get("RAFT_CHAOS_ACCOUNT", ACCOUNT))
        authority = self.account / "ca.crt"
        self._tls = ssl.create_default_context(cafile=str(authority)) if authority.exists() else None
        if self._tls is not None:  # clusters' authorities were made without what Python 3.13 asks for
            self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._host = f"http{'s' if self._tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"

    def ask(self, verb: str, path: str, body: Object | None = None) -> Object:
        """Raises OSError, and `HTTPError` of it where the answer is a refusal, or another of `FAILURES`."""
        headers = {"Authorization": f"Bearer {(self.account / 'token').read_text().strip()}"}  # read anew: it rotates
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._host + path, data=data, method=verb, headers=headers)
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS_MAX, context=self._tls) as answer:
            return dict(json.loads(answer.read()))


def main(arguments: Sequence[str]) -> int:
    namespace, lease, run, silent_s, ready = arguments
    api = Api()
    watch(api, f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}", run, float(silent_s), Path(ready))
    say(f"run {run} gave no sign of life for {silent_s} s: what it did is taken back")
    while True:
        try:
            if take_back(api, f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies", run):
                say("nothing of it is in force any more")
                return 0
        except FAILURES as error:
            say(f"it is tried again: {error}")
        time.sleep(LOOK_SECONDS)


def watch(api: Api, path: str, run: str, silent_s: float, ready: Path) -> None:
    """Return when the Lease was seen for so long without being renewed by this run, or gone. Time in which the API
    server cannot be asked does not count: the tool may have renewed it."""
    seen: Object | None = None
    silent, looked_at = 0.0, time.monotonic()
    failed = False
    while True:
        try:
            now = _lease(api, path)
        except FAILURES as error:
            say(f"the Lease cannot be looked at: {error}")
            failed = True
        else:
            ready.touch()
            if seen is None or (now != seen and now.get("holderIdentity") == run):
                silent = 0.0
            elif not failed:
                silent += time.monotonic() - looked_at
            seen, looked_at, failed = now, time.monotonic(), False
            if silent >= silent_s:
                return
        time.sleep(LOOK_SECONDS)


def _lease(api: Api, path: str) -> Object:
    """What it says; nothing where it is gone."""
    try:
        return dict(api.ask("GET", path).get("spec") or {})
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return {}


def take_back(api: Api, path: str, run: str) -> bool:
    """Widen what is narrowed, delete what is ours; whether nothing was there any more. Raises the first thing that
    went wrong, once everything was tried."""
    failed: Exception | None = None
    found = api.ask("GET", f"{path}?labelSelector={quote(f'{RUN_LABEL}={run}')}").get("items") or []
    for policy in sorted(found, key=_is_ours):  # what is narrowed first: never is less allowed than before the run
        name = policy["metadata"]["name"]
        try:
            if _is_ours(policy):
                api.ask("DELETE", f"{path}/{name}")
            else:
                _widen(api, f"{path}/{name}?fieldManager={MANAGER}", policy)
            say(f"NetworkPolicy {name} is taken back")
        except Exception as error:
            faster = isinstance(error, urllib.error.HTTPError) and error.code in (404, 409)
            if not faster:  # else somebody else was: it is looked at again
                failed = failed or error
    if failed is not None:
        raise failed
    return not found


def _is_ours(policy: Object) -> bool:
    return bool(policy["metadata"]["labels"].get(MANAGED_BY_LABEL) == MANAGER)


def _widen(api: Api, path: str, policy: Object) -> None:
    """As `PolicyNetwork` does it."""
    original = str((policy["metadata"].get("annotations") or {}).get(ORIGINAL, ""))
    widened = api.ask("PATCH", path, widening_patch(policy, original))
    api.ask("PATCH", path, finishing_patch(policy, widened, original))


def say(text: str) -> None:
    print(text, flush=True)
