"""What open pages are told without being asked."""

from __future__ import annotations

from . import host

SETTINGS = "siliconflow.settings"


def settings_changed() -> None:
    """Tell every page that the settings or the key are not what they were."""
    host.send(SETTINGS, {})
