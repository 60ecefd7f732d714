"""How alike texts are, for people and for nodes that take text and numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import torch

MAX_SHOWN = 40
"""Characters of a text that stand for it in the table."""


def cosines(vectors: torch.Tensor) -> torch.Tensor:
    """Return `[N,N]` float32: the cosine of each two of the vectors `[N,D]`, from -1 to 1."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    return (unit @ unit.T).clamp(-1, 1)


def closest(similarities: torch.Tensor) -> list[dict[str, Any]]:
    """Name, for each text, the other one that is most like it."""
    if len(similarities) < 2:
        return []
    without_self = similarities.clone().fill_diagonal_(-2)
    scores, places = without_self.max(dim=1)
    return [
        {"text": at, "closest": int(place), "similarity": round(float(score), 4)}
        for at, (place, score) in enumerate(zip(places, scores, strict=True))
    ]


def table(texts: Sequence[str], similarities: torch.Tensor) -> str:
    """Return CSV: a row and a column for each text, named by its beginning."""
    names = [_name(text) for text in texts]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["", *names])
    for name, row in zip(names, similarities.tolist(), strict=True):
        writer.writerow([name, *(f"{value:.3f}" for value in row)])
    return file.getvalue()


def _name(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}…"
