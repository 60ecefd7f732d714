"""What a run of an endpoint that makes no pictures brought."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine.job import Job
from ..siliconflow.errors import Failure, Unusable
from ..strings.text import Text
from .plan import Plan


@dataclass(frozen=True)
class Results:
    """All requests of a run, none of which failed."""

    plan: Plan
    jobs: Sequence[Job]
    seconds: float

    @property
    def items(self) -> list[Any]:
        """Give what each request brought, in the order of the requests."""
        return [item for job in self.jobs for item in job.pictures]

    def note(self, text: Text) -> None:
        """Tell the user something, on the node and in `info`."""
        self.jobs[0].note(text)

    def unusable(self, message: Text) -> Unusable:
        """Give the error of results that the node can make nothing of."""
        trace_id = self.jobs[0].results[0].facts.trace_id
        return Unusable(Failure(message, 200, model=self.plan.model.id, trace_id=trace_id))

    def info(self, **own: Any) -> str:
        """Give what came as JSON, for people and for nodes that read text."""
        notes = dict.fromkeys(str(note) for job in self.jobs for note in job.notes)
        return as_json(
            {
                "model": self.plan.model.id,
                "seconds": round(self.seconds, 2),
                **own,
                "requests": [entry for job in self.jobs for entry in request_facts(job)],
                "not_sent": list(self.plan.not_sent),
                "notes": list(notes),
            }
        )


def and_tokens(count: int) -> Text:
    """Say at the end of a line how many tokens were used, if the service told."""
    return Text(f", {count} tokens", f"，{count} token") if count else Text("", "")


def request_facts(job: Job) -> list[dict[str, Any]]:
    """Give the facts of each request that a job made, as `info` tells them."""
    return [
        {
            "trace_id": result.facts.trace_id,
            "came": len(result.pictures),
            "seconds": round(result.facts.seconds, 2),
            "inference": result.facts.inference,
            "origin": result.origin,
        }
        for result in job.results
    ]


def as_json(value: Mapping[str, Any]) -> str:
    """Write JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)
