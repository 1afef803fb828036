"""The chart's Ingress and its routes of a Gateway behind a real controller of both, as docs/operations.md says: pages,
streams that nothing holds up, the login, TLS on both sides, etcd's gRPC, and a rollout that clients do not see."""

import asyncio
import base64
import hashlib
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
import trustme
import yaml
from playwright.async_api import expect

from tests.dashboard.browser import chromium, tab
from tests.grpc.client import Client
from tests.grpc.messages import message, new
from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import FOLDER, figure
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.loading import load
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release
from tests.kubernetes.secure import ASKED_FOR_TOKENS, NODES, Certificates, put_secret, put_tokens
from tests.kubernetes.traefik import PLAIN_PORT, Traefik, Way, classes, gateway, to_loopback, traefik
from tests.tls.certificates import Mounted

PAGES, CALLS = "raft.ingress.example.org", "rpc.ingress.example.org"
ROUTED, ROUTED_CALLS = "raft.gateway.example.org", "rpc.gateway.example.org"
FOREIGN = "other.example.org"
SEALED, SEALED_ROUTED, SEALED_CALLS = (
    "sealed.ingress.example.org",
    "sealed.gateway.example.org",
    "sealed.rpc.example.org",
)
EVERY_NAME = (PAGES, CALLS, ROUTED, ROUTED_CALLS, FOREIGN, SEALED, SEALED_ROUTED, SEALED_CALLS)
OUTSIDE = "outside-tls"
GATEWAY = "public"
SOON_SECONDS = 5.0
"""From a write to the news of it, through the way under test: a third of the silence after which a stream says
something anyway, which would push on what a proxy holds back. It takes a tenth of a second, or one where a machine does
ten other things."""
SETTLED_SECONDS_MAX = 60.0
SILENT_SECONDS = 75.0
"""Above Traefik's readTimeout, a minute."""
ROLLED = ("--set", "settings.heartbeat_ms=120")
LEAVE_WAIT_MS = 10_000
"""As docs/operations.md says: Traefik hears of a pod that leaves two seconds and more after the API server."""
T = TypeVar("T")
BROWSER = {"Accept": "text/html"}
VALUE_BYTES, VALUES = 1024 * 1024, 8


@pytest.fixture(scope="module")
def outside(space: Namespace, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What clients beyond the cluster trust: the certificate of the names there, which Traefik shows."""
    ca, files = trustme.CA(), Mounted(tmp_path_factory.mktemp("outside"))
    files.put(*EVERY_NAME, by=ca)
    put_secret(space, OUTSIDE, files)
    return ssl.create_default_context(cafile=files.ca)


@pytest.fixture(scope="module")
def front(space: Namespace, outside: ssl.SSLContext) -> Iterator[Traefik]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with traefik(space, FOLDER) as running:
        space.apply(gateway(space, GATEWAY, OUTSIDE))
        yield running


def named(space: Namespace, pages: str, routed: str, calls: str, *plain: str) -> dict[str, Any]:
    """Values of the chart: the Ingress under the name `pages`, and under `plain` without TLS; the routes' names."""
    return {
        "ingress": {
            "enabled": True,
            "className": classes(space)["ingress"],
            "hosts": [pages, *plain],
            "tls": [{"secretName": OUTSIDE, "hosts": [pages]}],
        },
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": GATEWAY}],
            "hostnames": [routed],
            "grpcHostnames": [calls],
        },
    }


def by_names(front: Traefik) -> tuple[str, ...]:
    """The chart's values for both; a program in the cluster calls Traefik by another name."""
    wanted = {
        **named(front.space, PAGES, ROUTED, ROUTED_CALLS, front.name),
        "service": {"grpcPort": 2379},
        "settings": {"leave_wait_ms": LEAVE_WAIT_MS},
    }
    return as_json(wanted)


def as_json(values: Mapping[str, object]) -> tuple[str, ...]:
    """Helm's flags."""
    return tuple(word for name, value in values.items() for word in ("--set-json", f"{name}={json.dumps(value)}"))


@pytest.fixture(scope="module")
def raft(front: Traefik, space: Namespace, proxy: Proxy) -> Iterator[Release]:
    release = Release(space, "raft", proxy)
    try:
        release.install(*by_names(front))
        release.healthy()
        yield release
    except BaseException:
        print(release.describe())
        raise
    finally:
        release.remove()


@pytest.fixture(params=["Ingress", "Ingress, TLS", "HTTPRoute", "HTTPRoute, TLS"])
def way(request: pytest.FixtureRequest, front: Traefik, raft: Release, outside: ssl.SSLContext) -> Way:
    """To the release, once Traefik knows it."""
    kind, _, tls = request.param.partition(", ")
    name = PAGES if kind == "Ingress" else ROUTED
    return settled(Way(name, front.tls, outside) if tls else Way(name, front.plain))


def settled(way: Way) -> Way:
    """Traefik hears of an object, and of the pods behind it, a moment after the API server."""
    until(f"{way.name} leads somewhere", lambda: way.ask("/readyz").status == 200, SETTLED_SECONDS_MAX)
    return way


def test_the_page_keys_and_etcds_json_are_there_by_the_name(way: Way) -> None:
    page = way.ask("/", headers=BROWSER)
    assert (page.status, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    for path in re.findall(r'(?:src|href)="(/?static/[^"]+)"', page.body.decode()):
        assert way.ask(f"/{path.lstrip('/')}", headers={"Accept-Encoding": "gzip"}).status == 200, path
    assert way.ask("/source.json", headers={"Origin": way.origin}).json()["kind"] == "node"
    value = way.name.encode()
    assert way.ask("/kv/by-name", "PUT", value).status == 200
    assert way.ask("/kv/by-name").body == value
    asked = json.dumps({"key": base64.b64encode(b"by-name").decode()}).encode()
    (found,) = way.ask("/v3/kv/range", "POST", asked).json()["kvs"]
    assert base64.b64decode(found["value"]) == value


def test_large_values_and_a_larger_answer_pass_whole(way: Way, raft: Release) -> None:
    values = {
        f"large/{number}": hashlib.sha256(b"%d" % number).digest() * (VALUE_BYTES // 32) for number in range(VALUES)
    }
    for name, value in values.items():
        assert way.ask(f"/kv/{name}", "PUT", value).status == 200
    asked = {"key": base64.b64encode(b"large/").decode(), "range_end": base64.b64encode(b"large0").decode()}
    answer = way.ask("/v3/kv/range", "POST", json.dumps(asked).encode())
    assert len(answer.body) > VALUES * VALUE_BYTES
    found = {base64.b64decode(one["key"]).decode(): base64.b64decode(one["value"]) for one in answer.json()["kvs"]}
    assert found == values
    for name in values:
        assert way.ask(f"/kv/{name}", "DELETE").status == 200
    raft.healthy()


def test_live_streams_tell_each_change_at_once_and_not_when_they_end(way: Way) -> None:
    create = {"create_request": {"key": base64.b64encode(b"live").decode()}}
    with ExitStack() as stack:
        keys = stack.enter_context(way.stream("/kv/?prefix=live&watch=1"))
        json_watch = stack.enter_context(way.stream("/v3/watch", json.dumps(create).encode()))
        json_watch.line('"created":true')
        events = stack.enter_context(way.stream("/events?messages=1"))
        assert (keys.status, json_watch.status, events.status) == (200, 200, 200)
        late = []
        for number in range(5):  # each is heard of before the next is done: nothing waits for more, or for an end
            value = f"{way.name}-{number}"
            begun = time.monotonic()
            assert way.ask("/kv/live", "PUT", value.encode()).status == 200
            keys.line(re.escape(value) + "|" + re.escape(base64.b64encode(value.encode()).decode()))
            json_watch.line(re.escape(base64.b64encode(value.encode()).decode()))
            late.append(time.monotonic() - begun)
            told = json.loads(events.line("^data: ").removeprefix("data: "))
            assert told["node"]
        assert max(late) < SOON_SECONDS, late
        figure(f"a write and the news of it through {way.name}:{way.port}, at most", max(late) * 1000, "ms")
        newest = max(json.loads(line.removeprefix("data: "))["time_us"] for line in recent(events))
        assert abs(time.time() - newest / 1e6) < SOON_SECONDS, "events of the trace are of now"


def recent(events: Any) -> list[str]:
    return [line for line in events.lines_for(1.0) if line.startswith("data: ") and "time_us" in line]


def test_a_foreign_origin_and_a_name_that_nobody_configured_are_refused(
    way: Way, raft: Release, front: Traefik
) -> None:
    refused = way.ask("/kv/by-name", headers={"Origin": f"https://{FOREIGN}"})
    assert (refused.status, refused.json()["error"]) == (403, "forbidden")
    assert way.ask("/kv/by-name", "PUT", b"own", {"Origin": way.origin}).status == 200
    assert way.ask("/kv/by-name", headers={"Host": FOREIGN}).status == 404, "Traefik's own: it knows no such name"


@asynccontextmanager
async def calling(port: int, name: str, root: bytes | None = None) -> AsyncIterator[Client]:
    """etcd's API over gRPC, by this name at that port of loopback; `root`: whom it trusts, over TLS."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.default_authority", name)]
    target = f"127.0.0.1:{port}"
    if root is None:
        made = grpc.aio.insecure_channel(target, options=options)
    else:
        named = [*options, ("grpc.ssl_target_name_override", name)]
        made = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(root), options=named)
    async with made as channel:
        yield Client(channel)


@asynccontextmanager
async def watching(client: Client, key: bytes) -> AsyncIterator[Any]:
    """A watch of gRPC on that key, created; its client says nothing more."""
    over = asyncio.Event()

    async def asked() -> AsyncIterator[bytes]:
        yield new("WatchRequest", create_request=new("WatchCreateRequest", key=key)).SerializeToString()
        await over.wait()

    call = client.stream("/etcdserverpb.Watch/Watch", asked())
    try:
        assert message("WatchResponse").FromString(await call.read()).created
        yield call
    finally:
        over.set()
        call.cancel()
        await asyncio.sleep(0.1)  # what asks ends in a task of grpc's own


async def put_watched(client: Client) -> float:
    """A watch tells of a put, and a read finds it; seconds from the one to the other."""
    async with asyncio.timeout(20), watching(client, b"called") as call:
        begun = time.monotonic()
        await client.put(b"called", b"one")
        (event,) = message("WatchResponse").FromString(await call.read()).events
        took = time.monotonic() - begun
    assert event.kv.value == b"one"
    (found,) = (await client.range(b"called")).kvs
    assert found.value == b"one"
    return took


async def test_etcds_grpc_passes_the_grpcroute(raft: Release, front: Traefik, outside: ssl.SSLContext) -> None:
    settled(Way(ROUTED, front.plain))
    root = root_of(outside)
    for port, trusted in ((front.plain, None), (front.tls, root)):
        async with calling(port, ROUTED_CALLS, trusted) as client:
            took = await put_watched(client)
        assert took < SOON_SECONDS
        figure(
            f"gRPC through the GRPCRoute{' over TLS' if trusted else ''}: a put and its watch's word", took * 1000, "ms"
        )


def root_of(context: ssl.SSLContext) -> bytes:
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)).encode()


def test_a_rollout_under_a_load_of_writes_through_it_fails_none(raft: Release, front: Traefik, evidence: Path) -> None:
    """Clients that repeat nothing, each request over a connection of its own to Traefik."""
    settled(Way(PAGES, front.plain))
    raft.healthy()
    with load(raft, evidence, [f"{front.name}:{PLAIN_PORT}"], plain=1, writers=4, period_ms=25) as running:
        raft.upgrade(*by_names(front), *ROLLED)
        running.more_acknowledged(100)
        lines = running.stop()
    nothing_is_lost(raft, lines)
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    figure("a rollout behind Traefik: requests, of which failed", f"{len(lines)}, {len(bad)}")
    figure("a rollout behind Traefik: longest stall", longest_stall_s(lines), "s")
    figure("a rollout behind Traefik: slowest request", max(line["ms"] for line in lines) / 1000, "s")
    assert not bad, bad[:5]


@pytest.mark.longest
async def test_streams_that_are_silent_for_longer_than_traefik_waits_go_on(
    raft: Release, front: Traefik, outside: ssl.SSLContext
) -> None:
    """A node says something every 15 s where nothing happens. gRPC does not, and needs `readTimeout` 0, as docs say."""
    ways = settled(Way(PAGES, front.plain)), settled(Way(ROUTED, front.tls, outside))

    def silent(way: Way, path: str) -> list[str]:
        with way.stream(path) as stream:
            assert stream.status == 200
            return stream.lines_for(SILENT_SECONDS)

    paths = [(way, path) for way in ways for path in ("/kv/?prefix=silent&watch=1", "/events")]
    told, *cut = await asyncio.gather(
        asyncio.gather(*(beside(silent, *one) for one in paths)),
        silent_watch(front.plain),
        silent_watch(front.patient),
    )
    for (_, path), lines in zip(paths, told, strict=True):
        said = [line for line in lines if line.startswith(":") or (line and path == "/events")]
        assert len(said) >= SILENT_SECONDS // 15 - 1, (path, lines)
    assert cut[0] is not None
    figure("a watch of gRPC on which its client is silent is cut by Traefik's readTimeout after", cut[0], "s")
    assert cut[1] is None, "readTimeout 0"


async def beside(work: Callable[..., T], *arguments: object) -> T:
    """On a thread of its own, which ends with it."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)


async def silent_watch(port: int) -> float | None:
    """Seconds until it ends by itself; None: it does not."""
    async with calling(port, ROUTED_CALLS) as client, watching(client, b"hush") as call:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await call.read()
        except TimeoutError:
            return None
        except grpc.aio.AioRpcError as error:
            print("a silent watch of gRPC:", error.code(), error.details())
        return time.monotonic() - begun


STICKY = ("--set-json", 'service.annotations={"traefik.ingress.kubernetes.io/service.sticky.cookie":"true"}')


async def test_a_browser_by_the_name_sees_one_node_comes_back_when_it_goes_and_says_where_nodes_are_mixed(
    raft: Release, front: Traefik, space: Namespace
) -> None:
    settled(Way(PAGES, front.plain))
    url = f"http://{PAGES}:{front.plain}"
    async with chromium(to_loopback(PAGES)) as browser:
        async with tab(browser, url) as here:
            await here.headline("leads term")
            await expect(here.page.locator("#waiting")).to_contain_text("must keep a browser at one")
        await beside(raft.upgrade, *by_names(front), *STICKY)
        until("Traefik keeps to a pod", lambda: "set-cookie" in Way(PAGES, front.plain).ask("/").headers, 30)
        async with tab(browser, url) as here:
            await here.headline("leads term")
            await expect(here.page.locator("#connection")).to_have_text("live")
            shown = await here.page.title()
            node = shown.rpartition(" ")[2]
            assert node in raft.nodes
            await here.page.wait_for_timeout(12_000)  # as long as the page remembers who answered
            await expect(here.page.locator("#waiting")).to_be_hidden()
            here.expected |= {"Failed to load", "net::ERR", "502", "503", "504"}
            space.kubectl("delete", "pod", node, "--wait=false")
            begun = time.monotonic()
            await expect(here.page).to_have_title(re.compile(f"leads term.*(?<!{node})$"))
            await expect(here.page.locator("#connection")).to_have_text("live")
            figure(
                "a browser is shown another node's page, live, after its pod is deleted", time.monotonic() - begun, "s"
            )
    raft.healthy()


@pytest.mark.longest
async def test_annotations_for_ingress_nginx_mean_the_same_to_who_reads_them(
    raft: Release, front: Traefik, outside: ssl.SSLContext
) -> None:
    """Traefik's own reader of them stands for ingress-nginx: the page keeps to a pod, gRPC passes by its Ingress."""
    changed = {
        "ingress.className": classes(front.space)["nginx"],
        "ingress.grpcHosts": [CALLS],
        "ingress.tls": [{"secretName": OUTSIDE, "hosts": [PAGES, CALLS]}],
    }
    raft.upgrade(*by_names(front), *as_json(changed))
    way = settled(Way(PAGES, front.tls, outside))
    cookie = way.ask("/source.json").headers["set-cookie"].partition(";")[0]
    names = {way.ask("/source.json", headers={"Cookie": cookie}).json()["name"] for _ in range(6)}
    assert len(names) == 1
    async with calling(front.tls, CALLS, root_of(outside)) as client:
        figure("gRPC through the Ingress: a put and its watch's word", await put_watched(client) * 1000, "ms")


def by_hand(front: Traefik, name: str) -> dict[str, Any]:
    """An Ingress that the chart does not know."""
    backend = {"service": {"name": "raft", "port": {"name": "client"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec = {"ingressClassName": classes(front.space)["ingress"], "rules": [{"host": name, "http": {"paths": [path]}}]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "by-hand"}, "spec": spec}


def test_the_login_its_cookie_and_a_name_that_only_the_setting_allows(
    raft: Release, front: Traefik, outside: ssl.SSLContext
) -> None:
    """Where tokens are asked for, a browser logs in by the name; whatever pod answers next knows the cookie."""
    front.space.apply(by_hand(front, FOREIGN))
    strange = Way(FOREIGN, front.plain)
    until("Traefik knows it", lambda: strange.ask("/readyz").status != 404, SETTLED_SECONDS_MAX)
    refused = strange.ask("/kv/by-name")
    assert (refused.status, refused.json()["error"]) == (403, "forbidden"), "a node knows the chart's names alone"

    token = put_tokens(front.space)
    raft.upgrade(*by_names(front), *ASKED_FOR_TOKENS, "--set", f"extraAllowedHosts={{{FOREIGN}}}")
    raft.rolled_out()
    for way in (Way(PAGES, front.tls, outside), Way(ROUTED, front.tls, outside), Way(PAGES, front.plain), strange):
        settled(way)
        assert b'name="secret"' in way.ask("/", headers=BROWSER).body, "the form"
        assert way.ask("/kv/by-name").status == 401
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        elsewhere = way.ask("/login", "POST", f"secret={token}".encode(), {**form, "Origin": "https://evil.example"})
        assert (elsewhere.status, "set-cookie" in elsewhere.headers) == (403, False)
        answer = way.ask("/login", "POST", f"secret={token}".encode(), {**form, "Origin": way.origin})
        assert (answer.status, answer.headers["location"]) == (303, "/")
        cookie, _, attributes = answer.headers["set-cookie"].partition(";")
        assert {"httponly", "samesite=strict"} <= {one.strip().lower() for one in attributes.split(";")}
        held = {"Cookie": cookie, "Origin": way.origin}
        assert way.ask("/kv/by-name", "PUT", b"by cookie", held).status == 200
        for _ in range(6):  # Traefik takes turns: every pod is asked twice
            assert way.ask("/kv/by-name", headers=held).status == 200
        assert way.ask("/kv/by-name", "PUT", b"x", {"Cookie": cookie, "Origin": "https://evil.example"}).status == 403
        assert way.ask("/kv/by-name", headers={"Authorization": f"Bearer {token}"}).body == b"by cookie"


SEALED_RELEASE = "sealed-raft"
PASSED = "passed.example.org"
DOCS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def certificates(space: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of the sealed release's nodes, which are called by one name of the outside as well."""
    made = Certificates(space, SEALED_RELEASE, tmp_path_factory.mktemp("certificates"))
    headless = f"{SEALED_RELEASE}-headless.{space.name}.svc"
    made.nodes.put(f"*.{headless}", headless, f"{SEALED_RELEASE}.{space.name}.svc", PASSED, by=made.ca)
    put_secret(space, NODES, made.nodes)
    authority = {"ca.crt": Path(made.nodes.ca).read_text()}
    space.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raft-ca"}, "data": authority})
    return made


def told_by_docs(space: Namespace) -> dict[str, Any]:
    """The values that docs/operations.md has people give, for this release in this namespace."""
    _, _, after = DOCS.read_text().partition("**TLS outside and inside.**")
    text = after.partition("```yaml\n")[2].partition("```")[0]
    for theirs, ours in (
        ("raft.ops.svc", f"{SEALED_RELEASE}.{space.name}.svc"),
        ("ops-raft-pods", f"{space.name}-raft-pods"),
        ("rpc.raft.example.org", PASSED),
        ("name: raft}", f"name: {SEALED_RELEASE}}}"),
        ("name: raft,", f"name: {SEALED_RELEASE},"),
    ):
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return dict(yaml.safe_load(text))


@pytest.fixture(scope="module")
def sealed(front: Traefik, space: Namespace, certificates: Certificates, proxy: Proxy) -> Iterator[Release]:
    """A release whose pods speak TLS alone, with what Traefik has to be told of them beside."""
    beside = told_by_docs(space)
    values = {
        **beside,
        "service": {"grpcPort": 2379, **beside["service"]},
        "tls": {"mode": "secret", "existingSecret": NODES},
        **named(space, SEALED, SEALED_ROUTED, SEALED_CALLS),
    }
    release = Release(space, SEALED_RELEASE, proxy)
    try:
        release.install(*as_json(values))
        yield release
    except BaseException:
        print(release.describe())
        raise
    finally:
        release.remove()


async def test_tls_is_ended_by_traefik_and_begun_again_to_pods_that_speak_nothing_else(
    sealed: Release, front: Traefik, outside: ssl.SSLContext, certificates: Certificates
) -> None:
    for name in (SEALED, SEALED_ROUTED):
        way = settled(Way(name, front.tls, outside))
        assert way.ask("/").status == 200
        with way.stream("/kv/?prefix=sealed&watch=1") as keys:
            assert way.ask("/kv/sealed", "PUT", name.encode()).status == 200
            begun = time.monotonic()
            keys.line("sealed|c2VhbGVk|^data: ")
            assert time.monotonic() - begun < SOON_SECONDS
    root = root_of(outside)
    async with calling(front.tls, SEALED_CALLS, root) as client:
        with pytest.raises(grpc.aio.AioRpcError):  # no BackendTLSPolicy here, and HTTP/1.1 offered, too
            await put_watched(client)
    async with calling(front.tls, PASSED, certificates.ca.cert_pem.bytes()) as client:
        took = await put_watched(client)
    figure("gRPC passed through to pods with TLS: a put and its watch's word", took * 1000, "ms")
