"""Where backups are kept: places, names, and which of them go. Used by commands; no node that runs knows it."""
