"""Jobs of the fake API server: a pod that really runs the program of a Job, and garbage collection of what it owns.

Why it exists: what a dead man's switch does when the tool is gone is a program of its own, in a pod. It must not stand
in for scheduling, images or rights: tests/kubernetes has the real ones.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.chaos.fake_apiserver import FakeApiServer

JOBS = "/apis/batch/v1/namespaces/home/jobs"
PODS = "/api/v1/namespaces/home/pods"
KEPT_SECONDS = 0.2


class Jobs:
    """`user`: who asks the API server, by its own word. `starts`: False: no pod ever becomes ready."""

    def __init__(self, server: FakeApiServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.user, self.starts = "system:serviceaccount:home:raft-chaos", True
        self.pods: dict[str, asyncio.Task[None]] = {}
        (folder / "token").write_text("t\n")
        self._real = server.answer_change
        server.answer_change = self.answer  # type: ignore[method-assign]

    async def answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        path = request.path
        if path.endswith("/selfsubjectreviews"):
            return web.json_response({**body, "status": {"userInfo": {"username": self.user}}}, status=201)
        answer = await self._real(request, body)
        if answer.status < 400 and path.startswith(JOBS):
            if request.method == "DELETE":
                if body.get("propagationPolicy") in ("Background", "Foreground"):  # else it leaves its pods behind
                    await self.delete(path)
            else:
                self._start(path if request.method == "PATCH" else f"{path}/{body['metadata']['name']}")
        return answer

    def _start(self, path: str) -> None:
        if not self.server.objects[path]["spec"].get("suspend") and path not in self.pods:
            self.pods[path] = asyncio.create_task(self._run(path))

    async def _run(self, path: str) -> None:
        """As job controller, kubelet and the controller of finished Jobs."""
        job = self.server.objects[path]
        template = job["spec"]["template"]
        account = template["spec"]["serviceAccountName"]
        assert account == "raft-chaos" or f"/api/v1/namespaces/home/serviceaccounts/{account}" in self.server.objects
        pod = f"{PODS}/{path.rpartition('/')[2]}-x"
        owner = {"kind": "Job", "uid": job["metadata"]["uid"]}
        metadata = {
            "name": pod.rpartition("/")[2],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner],
        }
        self.server.put(pod, {"metadata": metadata, "spec": template["spec"], "status": {}})
        if not self.starts:
            return
        ready = self.folder / "ready"
        (container,) = template["spec"]["containers"]
        words = [str(ready) if word == "/tmp/ready" else word for word in container["command"]]
        host, _, port = self.server.host.removeprefix("http://").partition(":")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words[1:],
            env={
                "PATH": os.environ["PATH"],
                "KUBERNETES_SERVICE_HOST": host,
                "KUBERNETES_SERVICE_PORT": port,
                "RAFT_CHAOS_ACCOUNT": str(self.folder),
            },
            cwd=self.folder,
        )
        try:
            while not ready.exists() and process.returncode is None:  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.02)
            status = {"conditions": [{"type": "Ready", "status": "True"}]}
            self.server.put(pod, {**self.server.objects[pod], "status": status})
            if await process.wait() == 0:
                ended = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
                self.server.put(path, {**job, "status": ended})
                await asyncio.sleep(KEPT_SECONDS)
                del self.server.objects[path]
                self._collect(owner["uid"])
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def delete(self, path: str) -> None:
        if (task := self.pods.pop(path, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._collect(f"uid-of-{path}")

    def _collect(self, uid: str) -> None:
        for path, found in list(self.server.objects.items()):
            owners = found["metadata"].get("ownerReferences") or []
            if owners and all(owner["uid"] == uid for owner in owners):
                del self.server.objects[path]

    async def end(self) -> None:
        for path in list(self.pods):
            await self.delete(path)
