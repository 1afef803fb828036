"""The settings of one node: their table, where they come from, what goes together, how they are shown."""

from node.settings.checks import remarks
from node.settings.reading import CONFIG_ENV, URLS_ENV, Loaded, load
from node.settings.shown import markdown_table, rows
from node.settings.table import LEAVE_BESIDE_MS, SETTINGS, Setting, Settings
from node.settings.values import MsRange, Seed, SettingsError

__all__ = [
    "CONFIG_ENV",
    "LEAVE_BESIDE_MS",
    "SETTINGS",
    "URLS_ENV",
    "Loaded",
    "MsRange",
    "Seed",
    "Setting",
    "Settings",
    "SettingsError",
    "load",
    "markdown_table",
    "remarks",
    "rows",
]
