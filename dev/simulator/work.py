"""What an endpoint is handed, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inputs import Find
    from .rules import Model
    from .sending import Reply
    from .voices import Voices


@dataclass(frozen=True)
class Ask:
    """A request that keeps the rules."""

    id: str
    time: float
    body: Mapping[str, Any]
    find: Find
    """Opens the pictures that this simulator made."""
    voices: Voices
    voice_lists: tuple[str, ...]
    """The names under which voices are listed."""
    model_or_none: Model | None = None

    @property
    def model(self) -> Model:
        """The model asked for; only endpoints without models have none."""
        if self.model_or_none is None:
            raise TypeError("This endpoint knows no models")
        return self.model_or_none


@dataclass(frozen=True)
class Work:
    """What was made of a request: the answer, what it counts for, and what stays of it."""

    reply: Reply
    tokens: int = 0
    keep: Callable[[], None] | None = None
    """Called once the request was let in: before, it may still be refused."""
