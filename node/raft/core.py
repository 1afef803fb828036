"""The funnel: `step(event, now) -> effects`."""
