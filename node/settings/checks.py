"""Which values are each fine and together are not.

Why it exists: such a cluster would start and then misbehave; here it is refused with what to change. It must not judge
one value alone: its row in the table does.
"""

from collections.abc import Mapping

from node.settings.table import BY_KEY, Settings
from node.settings.values import SettingsError


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for values that are each fine and together are not."""

    def refuse(keys: tuple[str, ...], sentence: str) -> None:
        raise SettingsError(f"{sentence} ({', '.join(f'{key} from {origins[key]}' for key in keys)}).")

    names = [seed.name for seed in settings.seeds]
    if settings.name not in names:
        refuse(
            ("name", "seeds"), f"name {settings.name} is not one of the seeds {', '.join(names)}: add it, or correct it"
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
    if settings.port and settings.port == settings.peer_port and settings.host == settings.peer_host:
        refuse(
            ("port", "peer_port"), f"port and peer_port are both {settings.port}: clients and peers need a port each"
        )
