"""A tiny real DNS server (UDP), and a world of its own for it: a private network and `/etc/resolv.conf`.

Why it exists: search lists, `ndots` and late names are the C library's business, so only the C library's own resolver
shows that they work. `unshare` gives a process a loopback and an `/etc` that nobody else sees; what runs in there is a
function of a test's module, its JSON result comes back over a pipe.
"""

import asyncio
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SEARCH = ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local")
RESOLV_CONF = f"nameserver 127.0.0.1\nsearch {' '.join(SEARCH)}\noptions ndots:5\n"
SCENE_SECONDS_MAX = 100
WORLD = ("--mount", "--net", "--pid", "--fork", "--kill-child")
"""What a scene starts ends with it: the kernel sees to that."""

_A, _NO_SUCH_NAME = 1, 3


class Dns(asyncio.DatagramProtocol):
    """`zone`: full name -> IPv4 addresses. Nothing is answered about names that contain one of `silent`."""

    def __init__(self) -> None:
        self.zone: dict[str, list[str]] = {}
        self.silent: list[str] = []
        self.asked: list[str] = []
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Serve on 127.0.0.1:53."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 53))

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        name, kind = ".".join(labels), int.from_bytes(data[at + 1 : at + 3])
        question = data[12 : at + 5]
        self.asked.append(name)
        if any(part in name for part in self.silent) or self._transport is None:
            return
        addresses = self.zone.get(name)
        found = addresses if addresses and kind == _A else []
        flags = 0x8180 | (_NO_SUCH_NAME if addresses is None else 0)
        head = data[:2] + b"".join(n.to_bytes(2) for n in (flags, 1, len(found), 0, 0))
        records = b"".join(
            b"\xc0\x0c" + _A.to_bytes(2) + (1).to_bytes(2) + (30).to_bytes(4) + (4).to_bytes(2) + socket.inet_aton(one)
            for one in found
        )
        self._transport.sendto(head + question + records, addr)


def play(scene: str, folder: Path) -> Any:
    """Run `async def scene(dns, folder)`, named "module:function", in a world of its own; what it returned."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("a private network and resolv.conf need root, unshare and ip")
    probe = subprocess.run(["unshare", *WORLD, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no private network here: {probe.stderr.strip()}")
    done = subprocess.run(
        ["unshare", *WORLD, sys.executable, "-m", "tests.discovery.dns", scene, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=SCENE_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{scene} failed: {done.stdout}"
    return json.loads(done.stdout.splitlines()[-1])


async def _inside(scene: str, folder: Path) -> Any:
    module, _, function = scene.partition(":")
    dns = Dns()
    await dns.start()
    try:
        return await getattr(importlib.import_module(module), function)(dns, folder)
    finally:
        dns.stop()


def _main(scene: str, folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for path, text in (("/etc/resolv.conf", RESOLV_CONF), ("/etc/nsswitch.conf", "hosts: files dns\n")):
        own = folder / Path(path).name
        own.write_text(text)
        subprocess.run(["mount", "--bind", str(own), path], check=True)
    print(json.dumps(asyncio.run(_inside(scene, folder))), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
