"""Vectors of texts: similar words, similar vectors; Chinese and English of the same meaning too."""

from __future__ import annotations

import re
import zlib
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from .glossary import to_english

Vector = NDArray[np.float64]

WORD = re.compile(r"\w+")
WORD_WEIGHT = 3.0
LETTERS = 3
EMPTY = "\0"


def features(text: str) -> Counter[str]:
    """Count what a text is made of: its words, and the letters that stand together in them."""
    words = WORD.findall(to_english(text).lower())
    found: Counter[str] = Counter()
    for word in words:
        # A plural is nearly the same word.
        stem = word[:-1] if len(word) > LETTERS and word.endswith("s") else word
        found[f" {stem} "] += 1
        padded = f" {stem} "
        for at in range(len(padded) - LETTERS + 1):
            found[padded[at : at + LETTERS]] += 1
    # A text of marks alone has a vector too.
    return found or Counter({EMPTY + text: 1})


def embed(text: str, model: str, size: int) -> Vector:
    """Return the vector of a text, of length one; each model has vectors of its own."""
    vector = np.zeros(size)
    for feature, count in features(text).items():
        number = zlib.crc32(f"{model}/{feature}".encode())
        vector[number % size] += _weight(feature, count) * (1 if number >> 31 else -1)
    length = np.linalg.norm(vector)
    if not length:
        # Features that cancel each other out: rare, and no reason for a vector of zeros.
        vector[zlib.crc32(text.encode()) % size], length = 1.0, np.float64(1.0)
    unit: Vector = vector / length
    return unit


def _weight(feature: str, count: int) -> float:
    return float(np.sqrt(count)) * (WORD_WEIGHT if len(feature) > LETTERS else 1.0)


def relevance(query: str, document: str) -> float:
    """Tell from 0 to 1 how much of a query a document holds, and how little besides."""
    wanted, held = _weights(query), _weights(document)
    shared = sum(min(weight, held.get(name, 0.0)) for name, weight in wanted.items())
    covered = shared / sum(wanted.values())
    alike = shared / (sum(wanted.values()) + sum(held.values()) - shared)
    return float(round(0.8 * covered + 0.2 * alike, 6))


def _weights(text: str) -> dict[str, float]:
    return {name: _weight(name, count) for name, count in features(text).items()}
