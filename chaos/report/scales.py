"""Where a time lies on a page, and how times and numbers are written.

Positions are shares of a width ("12.34%"), so that a drawing fits every screen without a script. It must not draw.
"""

import msgspec

TICKS_MAX = 12
_STEPS = (1, 2, 5)


class Window(msgspec.Struct, frozen=True):
    """The stretch of time that a drawing shows, microseconds of the tool's clock; never empty."""

    from_us: int
    to_us: int

    def share(self, at_us: int) -> float:
        """0 at the left end to 1 at the right; what lies outside is moved to the end."""
        return min(1.0, max(0.0, (at_us - self.from_us) / (self.to_us - self.from_us)))

    def at(self, at_us: int) -> str:
        """Its place, as a percentage."""
        return percent(self.share(at_us))

    def width(self, from_us: int, to_us: int) -> str:
        """How wide that stretch is, as a percentage."""
        return percent(self.share(to_us) - self.share(from_us))

    def overlaps(self, from_us: int, to_us: int) -> bool:
        """Whether any of that stretch is shown."""
        return from_us < self.to_us and to_us > self.from_us

    def ticks(self) -> tuple[tuple[int, str], ...]:
        """Round times and how they are written, at most TICKS_MAX."""
        step, number = 1000, 0
        while (self.to_us - self.from_us) / step > TICKS_MAX:
            number += 1
            step = 1000 * _STEPS[number % 3] * 10 ** (number // 3)
        first = -(-self.from_us // step) * step
        decimals = 0 if step >= 1_000_000 else 1 if step >= 100_000 else 2 if step >= 10_000 else 3
        return tuple((at, f"{at / 1e6:.{decimals}f} s") for at in range(first, self.to_us + 1, step))


def window(from_us: int, to_us: int) -> Window:
    """From one time to another, a millisecond at least."""
    return Window(from_us, max(to_us, from_us + 1000))


def percent(share: float) -> str:
    """Short, and the same on every machine."""
    return f"{share * 100:.3f}".rstrip("0").rstrip(".") + "%"


def when(at_us: int) -> str:
    """A time of the run: "12.345 s"."""
    return f"{at_us / 1e6:.3f} s"


def lasting(duration_us: int) -> str:
    """A duration with three digits or so: "0.8 ms", "294 ms", "11.98 s", "2 min 5 s"."""
    size = abs(duration_us)
    if size < 10_000:
        return f"{duration_us / 1000:.1f} ms"
    if size < 1_000_000:
        return f"{duration_us / 1000:.0f} ms"
    if size < 120_000_000:
        return f"{duration_us / 1e6:.2f} s"
    return f"{duration_us // 60_000_000} min {duration_us % 60_000_000 // 1_000_000} s"


def count(number: int) -> str:
    """With its thousands apart, as the dashboard writes it."""
    return f"{number:,}"
