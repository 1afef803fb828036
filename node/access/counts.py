"""Who was refused, and what became of the file of tokens: counted, and told.

Why it exists: a program that lost its token, or somebody who tries some, must be seen; and a flood of refusals must not
become a flood of lines. It must not decide anything.
"""

from collections.abc import Callable

from node.access.entrance import Refusal

TOLD_EVERY_SECONDS = 10.0
"""Refusals of one kind are told at most so often; all are counted."""

Tell = Callable[[str, dict[str, str | int | bool]], None]
"""Given a kind of event and its detail."""


class AccessCounts:
    """Used on the loop's thread alone. `now`: the loop's clock, seconds."""

    def __init__(self, tell: Tell, now: Callable[[], float]) -> None:
        self._tell = tell
        self._now = now
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        self.refusals: dict[str, int] = {"unauthenticated": 0, "denied": 0}
        """By why: "unauthenticated" or "denied"; each is 0 before it happens first, as alarms want it."""
        self.logins_failed = 0
        """Names and passwords of the cluster's users that do not fit, at any door."""
        self.reloads: dict[str, int] = {}
        """By result: "taken" or "refused"."""
        self.audited: dict[tuple[str, str], int] = {}
        """By the role that was needed, and outcome; see `audit`."""
        self.tokens = 0
        """In force."""

    def refused(self, refusal: Refusal, asked: str) -> None:
        """Somebody was not let in; `asked`: what they asked for."""
        why = "denied" if refusal.known else "unauthenticated"
        self.refusals[why] = self.refusals.get(why, 0) + 1
        self._tell_sometimes(why, refusal.principal.name, asked, refusal.message)

    def login_failed(self, user: str) -> None:
        """Somebody had a wrong password. `user`: empty where nobody has the name, which may be a password then."""
        self.logins_failed += 1
        self._tell_sometimes("login", user, "a login", "nobody has this name and password")

    def _tell_sometimes(self, why: str, who: str, asked: str, reason: str) -> None:
        self._untold[why] = self._untold.get(why, 0) + 1
        now = self._now()
        if now - self._told_at.get(why, -TOLD_EVERY_SECONDS) >= TOLD_EVERY_SECONDS:
            self._told_at[why] = now
            count = self._untold.pop(why)
            self._tell("access-refused", {"why": why, "who": who, "asked": asked, "count": count, "reason": reason})

    def taken(self, count: int, *, renewed: bool) -> None:
        """So many tokens are in force from now on."""
        self.tokens = count
        if renewed:
            self.reloads["taken"] = self.reloads.get("taken", 0) + 1
            self._tell("tokens-renewed", {"tokens": count})

    def not_taken(self, reason: str) -> None:
        """A new file is of no use: what was in force stays."""
        self.reloads["refused"] = self.reloads.get("refused", 0) + 1
        self._tell("tokens-not-renewed", {"reason": reason})
