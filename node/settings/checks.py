"""Which values are each fine and together are not, or may well be a mistake.

Why it exists: such a cluster would start and then misbehave; here it is refused with what to change, and what may be
meant is remarked on. It must not judge one value alone: its row in the table does.
"""

import difflib
import importlib.util
import re
from collections.abc import Callable, Mapping

from node.settings.table import BY_KEY, Settings
from node.settings.values import ANY_ADDRESS, LOOPBACK, SettingsError

_URL = re.compile(r"https?://[^\s/]+(/\S*)?")


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for values that are each fine and together are not."""

    def refuse(keys: tuple[str, ...], sentence: str) -> None:
        raise SettingsError(f"{sentence} ({', '.join(f'{key} from {origins[key]}' for key in keys)}).")

    nowhere = [seed.name for seed in settings.seeds if not seed.host]
    if nowhere and not settings.discover:
        refuse(
            ("seeds", "discover"),
            f"seeds do not say where {', '.join(nowhere)} can be reached, and no registry can be asked: give "
            f"{nowhere[0]}=host:port, or discover",
        )
    if settings.own_seed is not None and settings.peer_port == 0:
        refuse(
            ("seeds", "peer_port"),
            f"seeds have no address of {settings.name} itself, so it needs a peer_port of its own: give one",
        )
    if settings.discover and not settings.peer_address and _is_anywhere(settings):
        refuse(
            ("discover", "peer_host"),
            f"peer_host {settings.peer_host} is no address that others could dial, and a registry is to be told one: "
            "give a peer_address",
        )
    if settings.own_seed is None and settings.peer_port == 0:
        refuse(
            ("name", "seeds"),
            f"{_no_seed(settings)}, so it needs a peer_port of its own to be let in: give one, or correct the name",
        )
    if settings.own_seed is None and not settings.peer_address and settings.peer_host in ANY_ADDRESS:
        refuse(
            ("name", "peer_host"),
            f"{_no_seed(settings)}, and peer_host {settings.peer_host} is no address that others could dial: give a "
            "peer_address, or correct the name",
        )
    timeout, heartbeat = settings.election_timeout_ms, settings.heartbeat_ms
    timing = ("election_timeout_ms", "heartbeat_ms")
    if timeout.low * 2 < heartbeat * 3:
        refuse(
            timing,
            f"election_timeout_ms {timeout} begins below 1.5 heartbeats of {heartbeat} ms, so one late heartbeat would "
            f"depose a healthy leader: begin at {-(-heartbeat * 3 // 2)} or more",
        )
    if timeout.high * 5 < timeout.low * 6:
        refuse(
            timing[:1],
            f"election_timeout_ms {timeout} is too narrow, so candidates would split the vote again and again: "
            f"end at {-(-timeout.low * 6 // 5)} or more",
        )
    for small, large in (
        ("max_append_bytes", "inflight_bytes"),
        ("max_append_bytes", "max_uncommitted_bytes"),
    ):
        low, high = getattr(settings, small), getattr(settings, large)
        if low > high:
            show = BY_KEY[small].show
            refuse(
                (small, large), f"{small} {show(low)} exceeds {large} {show(high)}: raise the second or lower the first"
            )
    _check_tls(settings, refuse)
    if settings.otlp_endpoint and not _URL.fullmatch(settings.otlp_endpoint):
        refuse(
            ("otlp_endpoint",),
            f"otlp_endpoint {settings.otlp_endpoint} is no URL of a collector: give one as http://host:4318/v1/traces",
        )
    if settings.otlp_endpoint and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        refuse(
            ("otlp_endpoint",),
            "otlp_endpoint needs OpenTelemetry, which is an extra: pip install '.[otel]' in the checkout",
        )
    operations = settings.operations_port
    if operations and operations in (settings.port, settings.peer_port):
        refuse(
            ("operations_port",), f"operations_port {operations} is another port of this node: give it one of its own"
        )
    if settings.port and settings.port == settings.peer_port and settings.host == settings.peer_host:
        refuse(
            ("port", "peer_port"), f"port and peer_port are both {settings.port}: clients and peers need a port each"
        )


def _is_anywhere(settings: Settings) -> bool:
    own = settings.own_seed
    return settings.peer_host in ANY_ADDRESS and (own is None or not own.host)


def _check_tls(settings: Settings, refuse: Callable[[tuple[str, ...], str], None]) -> None:
    if settings.tls_accept != "plain":
        for key in ("tls_cert", "tls_key"):
            if not getattr(settings, key):
                refuse(("tls_accept",), f"tls_accept {settings.tls_accept} needs {key}: name the file")
    if settings.operations_port and settings.operations_tls != "plain":
        for key in ("tls_cert", "tls_key"):
            if not getattr(settings, key):
                refuse(("operations_tls",), f"operations_tls {settings.operations_tls} needs {key}: name the file")
    peers = f"peer_tls_accept {settings.peer_tls_accept} and peer_tls_dial {settings.peer_tls_dial}"
    if settings.peer_tls_accept != "plain" or settings.peer_tls_dial != "plain":
        for key in ("peer_tls_cert", "peer_tls_key", "peer_tls_ca"):
            if not getattr(settings, key):
                refuse(("peer_tls_accept", "peer_tls_dial"), f"{peers} need {key}: name the file")
    if settings.peer_tls_accept == "tls" and settings.peer_tls_dial == "plain":
        refuse(
            ("peer_tls_accept", "peer_tls_dial"),
            f"{peers} would have this node refuse peers that dial as it does itself: dial tls first",
        )


def remarks(settings: Settings) -> tuple[str, ...]:
    """What is allowed and may well be a mistake, one sentence each; nothing where all is as usual."""
    found = []
    if settings.own_seed is None:
        found.append(f"{_no_seed(settings)}: until it is a member, it waits to be let in")
    if settings.tls_accept == "plain" and settings.tls_client_ca:
        found.append(
            "tls_client_ca demands nothing of clients, while tls_accept is plain: nobody can show a certificate"
        )
    if settings.tls_accept == "both" and settings.tls_client_ca:
        found.append("tls_accept both lets clients in that show no certificate, as long as they speak no TLS")
    if settings.tokens_file and settings.tls_accept != "tls" and settings.host not in LOOPBACK:
        found.append(
            f"tokens can be read on their way to {settings.host} where they come in plain text: tls_accept tls "
            "lets none in so"
        )
    if settings.tokens_file and settings.peer_tls_accept != "tls" and settings.peer_host not in LOOPBACK:
        found.append(
            f"tokens_file asks clients who they are, and whoever reaches {settings.peer_host}:{settings.peer_port} is "
            "believed to be a peer: peer_tls_accept tls asks for proof"
        )
    if settings.peer_tls_accept == "both":
        found.append("peer_tls_accept both lets in whoever says that it is a peer, as long as it speaks no TLS")
    return tuple(found)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of what it is in
        return False


def _no_seed(settings: Settings) -> str:
    """The beginning of a sentence, with the seed that may have been meant."""
    names = [seed.name for seed in settings.seeds]
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(settings.name.lower(), lower, n=1)
    hint = f" (did you mean {lower[close[0]]}?)" if close else ""
    return f"name {settings.name} is not one of the seeds {', '.join(names)}{hint}"
