"""Compares what an account has with the catalogue: `python -m ...dev.catalogue_check FILE`.

FILE is a saved answer of `GET /models`. What the catalogue lacks is printed, and written as JSON
entries for `catalogue.json`: each like the model of `model_families.json` whose pattern its id
matches. What is a model's own (price, context, dates) is left out, to be read from its page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..siliconflow import catalogue
from ..siliconflow.catalogue import Site

CATALOGUE = Path(catalogue.__file__).with_name("catalogue.json")
OF_ONE_MODEL = ("id", "name", "published", "retired", "retired_by", "price", "context", "thinking")

Entry = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Print and write what an account has and the catalogue lacks. Return the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("file", type=Path, help="a saved answer of GET /models")
    parser.add_argument("--site", choices=["cn", "com"], default="cn", help="whose answer it is")
    parser.add_argument("--output", type=Path, default=Path("catalogue-missing.json"))
    options = parser.parse_args(arguments)
    ids = read_ids(options.file)
    missing = missing_ids(ids, options.site)
    entries = entries_of(missing, options.site)
    guessed = {model_id for family in entries for model_id in family["models"]}
    for model_id in missing:
        print(model_id if model_id in guessed else f"{model_id}: no pattern matches")
    for model_id in unanswered_ids(ids, options.site):
        print(f"{model_id}: in the catalogue, not in the answer")
    options.output.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{len(missing)} missing, {len(guessed)} written to {options.output}")
    return 0


def read_ids(file: Path) -> list[str]:
    """Return the ids of an answer of `GET /models`, each once."""
    answer = json.loads(file.read_text(encoding="utf-8"))
    return list(dict.fromkeys(str(model["id"]) for model in answer["data"]))


def missing_ids(ids: Iterable[str], site: Site) -> list[str]:
    """Return the ids that the catalogue does not have as living models of this site."""
    living = _living(site)
    return [model_id for model_id in ids if model_id not in living]


def unanswered_ids(ids: Iterable[str], site: Site) -> list[str]:
    """Return the ids of the site's living models in the catalogue that are not among these."""
    found = set(ids)
    return [model_id for model_id in _living(site) if model_id not in found]


def entries_of(ids: Iterable[str], site: Site) -> list[Entry]:
    """Return families for the catalogue with these models, each like the one that it resembles.

    An id that matches no pattern is in none of them.
    """
    by_likeness: dict[str, list[str]] = {}
    for model_id in ids:
        if guess := catalogue.load().guess(model_id, site):
            by_likeness.setdefault(guess.guessed_from, []).append(model_id)
    return [_family(like, model_ids, site) for like, model_ids in by_likeness.items()]


def _family(like: str, ids: Iterable[str], site: Site) -> Entry:
    items = [entry for model_id, entry in _entries() if model_id == like]
    entry = next((entry for entry in items if entry["site"] == site), items[0])
    common = {name: value for name, value in entry.items() if name not in OF_ONE_MODEL}
    source = f"GET /models; fields: a guess, as of {like}"
    return {**common, "source": source, "site": site, "models": {model_id: {} for model_id in ids}}


def _entries() -> Iterator[tuple[str, Entry]]:
    """Yield the catalogue's entries as they stand in its file, by id."""
    data = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    for entry in data["models"]:
        yield entry["id"], entry
    for family in data["families"]:
        for model_id in family["models"]:
            yield model_id, {name: value for name, value in family.items() if name != "models"}


def _living(site: Site) -> list[str]:
    models = catalogue.load().models
    return [model.id for model in models if model.site == site and not model.is_retired]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
