"""The event loop round one driver: clock, timers, tasks, drain."""
