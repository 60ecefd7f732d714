"""How much one model may be asked for in any minute: pictures, requests, tokens."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping

MINUTE = 60.0

PerModel = float | Mapping[str, float]


def for_model(setting: PerModel | None, model: str, kind: str = "") -> float | None:
    """Read a setting that is one number, or a number per model or kind; `*` is for the rest.

    A kind is what the API calls a sub type: `chat`, `embedding`, `text-to-image`, ...
    """
    if isinstance(setting, Mapping):
        return setting.get(model, setting.get(kind, setting.get("*")))
    return setting


class Window:
    """What the last minute held, for each model."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counted: defaultdict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def has_room(self, model: str, count: int, limit: float | None, now: float) -> bool:
        """Tell whether this many more stay within the limit."""
        counted = self._counted[model]
        while counted and counted[0][0] <= now - MINUTE:
            counted.popleft()
        return limit is None or sum(each for _, each in counted) + count <= limit

    def add(self, model: str, count: int, now: float) -> None:
        """Count this many."""
        self._counted[model].append((now, count))
