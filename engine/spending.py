"""What runs cost, and the spending guard: it stops a run before its first request.

A run is stopped for good if it would break a limit of the settings. One that is larger than the
user wants to pay by accident is stopped once: queued again, it goes ahead.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from ..comfyui.host import Caller
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, Usage
from ..siliconflow.errors import ConfirmationNeeded, GuardStopped
from ..storage.database import LedgerError
from ..storage.ledger import Ledger
from ..storage.settings import Settings
from ..storage.spend_book import ANY_AMOUNT, NO_AMOUNT, Amount, Spend, SpendBook, SpendSum
from ..strings.text import Text, join, text
from .endpoint import Endpoint
from .job import Job, Plan, PlannedRequest

SIGNS = {"CNY": "¥", "USD": "$"}
CONFIRM_SECONDS = 600.0
"""How long a run that was stopped waits to be queued again, and what counts as one auto-run."""
PROMPTS = 64
"""How many of the last prompts are remembered with what their nodes make together."""
BILLION = 10**9


class Pricing:
    """What the requests of one plan cost: the user's own price, else that of the catalogue."""

    def __init__(self, model: Model, endpoint: Endpoint, settings: Settings) -> None:
        """Look up the price. One in the currency of the other site is none."""
        own, listed = settings.prices.get(model.id), model.price or {}
        self.currency = settings.currency
        self.as_of = ""
        self._endpoint = endpoint
        self._price: Mapping[str, Any] = {}
        if own is not None:
            self._price = own if isinstance(own, Mapping) else {"image": own}
        elif listed.get("currency") == self.currency:
            self._price, self.as_of = listed, listed["as_of"]

    def describe(self) -> dict[str, str]:
        """Return the currency, and as of when the prices are: empty for the user's own."""
        return {"currency": self.currency, "prices_as_of": self.as_of}

    def cost(
        self, request: PlannedRequest, used: Usage | None = None, at: float | None = None
    ) -> Decimal | None:
        """Return what a request costs by what it `used`, at most without; `None`: unknown."""
        most = self._endpoint.usage(request.body) if self._endpoint.usage else {}
        return catalogue.cost(self._price, {"image": request.count, **most, **(used or {})}, at)


def billionths(cost: Decimal | None) -> int | None:
    """Return a cost in whole billionths of its currency, rounded up."""
    return None if cost is None else int((cost * BILLION).to_integral_value(ROUND_CEILING))


def amount_text(cost: Decimal, currency: str) -> str:
    """Return an amount as people write it, such as `¥0.30`; no digit is lost."""
    digits = f"{cost.normalize():f}"
    whole, _, cents = digits.partition(".")
    return f"{SIGNS[currency]}{whole}.{cents:0<2}"


def amount_spent(sums: Sequence[SpendSum], settings: Settings) -> Decimal:
    """Return what was spent in the account's currency; what has no price at `unknown_price`."""
    unknown = Decimal(str(settings.unknown_price))
    return sum(
        (
            Decimal(item.cost) / BILLION + unknown * item.unknown_items
            for item in sums
            if not item.is_free and item.currency == settings.currency
        ),
        Decimal(0),
    )


@dataclass(frozen=True)
class Spent:
    """What one model took since a moment, in the account's currency, and what came free."""

    model: str
    spent: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    unknown_items: int = 0
    """Paid items whose price is not known: they are not in `spent`."""


def spent_by_model(sums: Sequence[SpendSum], settings: Settings) -> list[Spent]:
    """Return what each model took, the dearest first."""
    models: dict[str, Spent] = {}
    for item in (each for each in sums if each.currency == settings.currency):
        before, cost = models.get(item.model, Spent(item.model)), Decimal(item.cost) / BILLION
        models[item.model] = (
            replace(before, saved=before.saved + cost)
            if item.is_free
            else replace(before, spent=before.spent + cost, unknown_items=item.unknown_items)
        )
    return sorted(models.values(), key=lambda each: -each.spent)


def times_began() -> tuple[float, float]:
    """Return when today and this month began, by the local clock, in seconds since 1970."""
    now = datetime.now().astimezone()
    # Without the offset of now: at midnight the clock may have had another.
    today = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return today.timestamp(), today.replace(day=1).timestamp()


@dataclass(frozen=True)
class Share:
    """What one node makes, or several together: what is to be paid, and what is paid already."""

    images: int = 0
    """To be paid, as the limits on images count them: what is free counts nothing."""
    cost: Decimal = Decimal(0)
    items: int = 0
    paid: int = 0
    words: tuple[str, ...] = ()
    """What each node calls its items: see `Endpoint`."""

    @classmethod
    def of(cls, bill: Bill, jobs: Sequence[Job], endpoint: Endpoint) -> Share:
        """Return the share of a node with these jobs."""
        total = sum(job.request.count for job in jobs)
        images = bill.items if endpoint.kind.counts_as_images and not bill.is_free else 0
        return cls(images, bill.cost, bill.items, total - bill.items, (endpoint.words,))

    def __add__(self, other: Share) -> Share:
        """Return both together."""
        return Share(
            *(
                mine + its
                for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)
            )
        )

    def times(self, n: int) -> Share:
        """Return what this is n times."""
        return Share(*(value * n for value in vars(self).values()))

    @property
    def amount(self) -> Amount:
        """What this comes to."""
        return Amount(self.images, billionths(self.cost) or 0)

    @property
    def unsaved(self) -> Amount:
        """What this comes to where nothing is paid already, as with other seeds."""
        if not self.items:
            return self.amount
        all_of_it = Fraction(self.items + self.paid, self.items)
        images, cost = self.amount
        return Amount(ceil(images * all_of_it), ceil(cost * all_of_it))

    def exceeds(self, images: float, cost: Decimal) -> bool:
        """Return whether this is more than either of two limits, where 0 is none."""
        return 0 < images < self.images or 0 < cost < self.cost


@dataclass
class Prompt:
    """What the nodes of one prompt make and cost together.

    `shares` are those of the nodes by id: what has run of one, `runs` times, else what is expected;
    `calls` is how often ComfyUI had called each when it began, `made` how many items it makes.
    `lately` is how many images were paid before this prompt by others that differ from it in
    nothing but seeds, `None` until one of its nodes makes any; `confirmed` is how much the user was
    asked about before it was queued. `before` is what was let through of it before it was queued
    again for results that were made in the background.
    """

    queued_at: float
    content: str | None = None
    """The hash of what its nodes are made of, whatever the seeds; empty outside ComfyUI."""
    shares: dict[str, Share] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    calls: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    lately: int | None = None
    confirmed: Amount = NO_AMOUNT
    before: Share = Share()

    def with_share(self, node_id: str, share: Share) -> Share:
        """Return all of it, if a node makes this; a node may run several times."""
        others = (each for other, each in self.shares.items() if other != node_id)
        total = sum(others, share + self.own(node_id) + self.before)
        return replace(total, paid=max(total.paid - self.before.items, 0))

    def own(self, node_id: str) -> Share:
        """Return what runs of a node have been let through."""
        return self.shares[node_id] if self.runs[node_id] else Share()

    @property
    def begun(self) -> Share:
        """What has been let through."""
        return sum((self.own(node) for node in self.shares), self.before)

    def goes_on(self, queued_at: float) -> Prompt:
        """Return it as it is queued again: what the user was asked about still holds."""
        after = Prompt(queued_at, made=self.made, lately=self.lately, before=self.begun)
        return replace(after, confirmed=self.confirmed)

    def begin(self, node_id: str, share: Share) -> None:
        """Count what a node makes from now on."""
        self.shares[node_id] = self.own(node_id) + share
        self.runs[node_id] += 1


@dataclass(frozen=True)
class Bill:
    """What a run would pay for: the requests of each job, and what one without a price counts."""

    pricing: Pricing
    unknown_price: Decimal
    requests: Sequence[Sequence[PlannedRequest]]

    @property
    def items(self) -> int:
        """How many items are to be paid."""
        return sum(request.count for requests in self.requests for request in requests)

    @property
    def cost(self) -> Decimal:
        """What they cost at most."""
        costs = (
            (request.count, self.pricing.cost(request))
            for requests in self.requests
            for request in requests
        )
        unknown = self.unknown_price
        return sum((unknown * n if cost is None else cost for n, cost in costs), Decimal(0))

    @property
    def is_free(self) -> bool:
        """Whether they cost nothing, as far as prices are known."""
        return all(self.pricing.cost(each) == 0 for every in self.requests for each in every)

    def hold(self, book: SpendBook, jobs: Sequence[Job], model: str) -> None:
        """Count the bill as spent until it is: job by job."""
        for job, requests in zip(jobs, self.requests, strict=True):
            part = replace(self, requests=[requests])
            if part.cost:
                costs = [self.pricing.cost(request) for request in requests]
                cost = None if None in costs else billionths(part.cost)
                book.hold(job.id, Spend(model, self.pricing.currency, part.items, cost, ""))
                job.holds_cost = True


@dataclass(frozen=True)
class Question:
    """What the user is asked before a run: nothing, as a rule.

    It is confirmed if that much of it was asked about before the prompt was queued. `of_prompt` is
    the content of a large prompt, whatever its seeds. What an `auto_run` makes is confirmed by the
    very same requests again (`exact`), or by the page; `lately` counts the images that it has paid.
    """

    amount: Amount
    """What it may come to with other seeds: that much is confirmed."""
    due: Amount
    """What it comes to now: that much has to be confirmed."""
    of_prompt: str = ""
    auto_run: str = ""
    exact: str = ""
    lately: int = 0

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to confirm."""
        return bool(self.contents)

    @property
    def contents(self) -> list[str]:
        """The hashes of what there is to confirm."""
        return [each for each in (self.of_prompt, self.auto_run, self.exact) if each]


@dataclass(frozen=True)
class RunToJudge:
    """A run before its first request.

    `distinct` returns the jobs whose requests differ: of several that are the same, one is paid.
    `unpaid` returns what of a job would have to be paid now, `paid_lately` how many items of a hash
    were in the last seconds that the run does not ask for again, `content` the hash of what its
    requests ask for, whatever their seeds or not, `others` the same hash of the whole prompt, and
    what its other nodes make, by their id, given what those that have begun make. `calls` is how
    often ComfyUI has called the node: for a list, all at once. `is_late`: part of a run that goes
    on already has to be paid after all.
    """

    settings: Settings
    ledger: Ledger
    caller: Caller
    plan: Plan
    pricing: Pricing
    jobs: Sequence[Job]
    distinct: Callable[[Sequence[Job]], Sequence[Job]]
    unpaid: Callable[[Job], list[PlannedRequest]]
    paid_lately: Callable[[str, float], int]
    content: Callable[..., str]
    others: Callable[[Mapping[str, int]], tuple[str, dict[str, Share]]]
    calls: int = 1
    is_late: bool = False

    def look_ahead(self, prompt: Prompt) -> None:
        """Note what the nodes that have not begun make, if more is known of it now."""
        items = sum(job.request.count for job in self.jobs)
        is_news = prompt.made.get(self.node) != items and not self.is_late
        if prompt.content is not None and not is_news:
            return
        prompt.made[self.node] = items
        content, others = self.others(prompt.made) if self.caller.graph else ("", {})
        prompt.content = content if prompt.content is None else prompt.content
        begun = {node: prompt.own(node) for node in prompt.shares if prompt.runs[node]}
        prompt.shares = {**others, **begun}

    @property
    def counts_images(self) -> bool:
        """Whether the limits on images count what this run makes."""
        return self.plan.endpoint.kind.counts_as_images

    @property
    def node(self) -> str:
        """The id of the node; of one that a loop made, that of the one that the loop repeats."""
        return self.caller.node_id if self._is_in_graph else self.caller.node_id.rpartition(".")[2]

    @property
    def _is_in_graph(self) -> bool:
        return self.caller.node_id in self.caller.graph or not self.caller.graph

    def is_repeated(self, prompt: Prompt) -> bool:
        """Return whether the node may run nobody knows how often: in a list, or in a loop.

        Outside ComfyUI each run is a prompt.
        """
        is_more = 1 <= prompt.runs[self.node] >= prompt.calls.get(self.node, 1)
        return (is_more or not self._is_in_graph) and not self.is_late

    def total(self, own: Share, prompt: Prompt) -> Share:
        """Return what the prompt makes, if each further item of a list makes what this one does."""
        return prompt.with_share(self.node, self.further(own, prompt))

    def further(self, own: Share, prompt: Prompt) -> Share:
        """Return what this run makes, and each further item of a list that makes as much."""
        calls = 1 if self.is_late else prompt.calls.get(self.node, 1)
        return own.times(max(1, calls - prompt.runs[self.node]))

    def ahead(self, bill: Bill, prompt: Prompt) -> Decimal:
        """Return what this run costs, with what is still to come of its list and its prompt."""
        ahead = self.further(self.share(bill), prompt).cost
        if self.is_late:
            return ahead
        others = (node for node in prompt.shares if node != self.node and not prompt.runs[node])
        return sum((prompt.shares[node].cost for node in others), ahead)

    def counted_as(self, prompt: Prompt) -> str:
        """Return the hash by which the images of an auto-run are counted: whatever its seeds.

        That is the whole prompt, for a seed anywhere before a node makes other requests of it.
        """
        content = prompt.content or self.content([job.request for job in self.jobs])
        return hashlib.sha256(f"auto-run {content}".encode()).hexdigest()

    def share(self, bill: Bill) -> Share:
        """Return what this run makes."""
        return Share.of(bill, self.jobs, self.plan.endpoint)

    def bill(self, requests: Sequence[Sequence[PlannedRequest]]) -> Bill:
        """Return what these requests cost."""
        return Bill(self.pricing, Decimal(str(self.settings.unknown_price)), requests)

    @property
    def budgets(self) -> list[tuple[str, Decimal, float]]:
        """The budgets that are set: the name, the amount, and when its time began."""
        names = ("daily_budget", "monthly_budget")
        amounts = (Decimal(str(getattr(self.settings, name))) for name in names)
        return [each for each in zip(names, amounts, times_began(), strict=True) if each[1]]

    def question(self, bill: Bill, prompt: Prompt) -> Question:
        """Return what the user has to confirm: nothing, as a rule.

        That is all that a run asks for, where the nodes of its prompt make or cost much together,
        and its first request alone, of which an auto-run makes ever more.
        """
        settings, requests = self.settings, [job.request for job in self.jobs]
        own = self.share(bill)
        total = self.total(own, prompt)
        limits = settings.confirm_images, Decimal(str(settings.confirm_cost))
        is_repeated = self.is_repeated(prompt)
        amounts = (ANY_AMOUNT, ANY_AMOUNT) if is_repeated else (total.unsaved, total.amount)
        is_more = any(a > b for a, b in zip(total.amount, prompt.confirmed, strict=True))
        is_large = bill.items and is_more and total.exceeds(*limits)
        question = Question(
            *amounts, (prompt.content or self.content(requests)) if is_large else ""
        )
        is_confirmed = not is_more and prompt.confirmed != NO_AMOUNT
        counts_lately = own.images and settings.auto_run_images and not is_confirmed
        lately = prompt.lately if counts_lately else 0
        if not lately or lately + total.images <= settings.auto_run_images:
            return question
        exact = self.content(requests, with_seeds=True)
        return replace(question, auto_run=self.counted_as(prompt), exact=exact, lately=lately)

    def judge(self, bill: Bill, question: Question, prompt: Prompt) -> GuardStopped | None:
        """Return why the run is stopped, if it is; else hold its cost if there is a budget.

        All in one transaction: what other processes hold counts.
        """
        if not self.budgets and not question.is_asked:
            return None
        try:
            with self.ledger.spending() as book:
                cost = self.ahead(bill, prompt)
                for name, budget, began in self.budgets:
                    spent = amount_spent(book.since(began), self.settings)
                    if bill.cost and spent + cost > budget:
                        over = self._over_budget(name, budget, spent, cost, prompt)
                        return GuardStopped(over, name)
                if self._ask(book, question, prompt):
                    return self._confirmation(bill, question, prompt)
                if self.budgets:
                    bill.hold(book, self.jobs, self.plan.model.id)
        except LedgerError as error:
            message = text("run.spending_unreadable", reason=error.text)
            return GuardStopped(message, "daily_budget" if self.budgets else "confirm_images")
        return None

    def _ask(self, book: SpendBook, question: Question, prompt: Prompt) -> bool:
        """Ask what the user has not confirmed yet; return whether there is anything."""
        since, amount, is_asked = book.now - CONFIRM_SECONDS, question.amount, False

        def confirmed(content: str) -> Amount | None:
            return book.asked(content, question.due, since, prompt.queued_at)

        if question.of_prompt and not confirmed(question.of_prompt):
            book.ask(question.of_prompt, amount, since)
            is_asked = True
        is_of_batch = question.of_prompt and not is_asked and book.is_used(question.of_prompt)
        is_known = is_of_batch or any(map(confirmed, (question.auto_run, question.exact)))
        if question.auto_run and not is_known:
            book.ask(question.auto_run, amount, since, needs_answer=True)
            book.ask(question.exact, amount, since)
            is_asked = True
        if not is_asked:
            prompt.confirmed = confirmed(question.of_prompt) or prompt.confirmed
            prompt.lately = 0 if question.auto_run else prompt.lately
            for content in question.contents:
                book.confirm(content)
        return is_asked

    def images_lately(self, counted_as: str) -> int:
        """Return how many images as of this run were paid in the last minutes, with other seeds.

        None where the ledger cannot be read: each job says so when it asks the ledger itself.
        """
        if not self.settings.auto_run_images:
            return 0
        try:
            return self.paid_lately(counted_as, CONFIRM_SECONDS)
        except LedgerError:
            return 0

    def _over_budget(
        self, name: str, budget: Decimal, spent: Decimal, cost: Decimal, prompt: Prompt
    ) -> Text:
        """Return the message that a run does not fit into a budget."""
        left = max(budget - spent, Decimal(0))
        amounts = {"budget": budget, "spent": spent, "left": left, "cost": cost}
        currency = self.pricing.currency
        shown = {key: amount_text(amount, currency) for key, amount in amounts.items()}
        unsent = self.unsent(prompt)
        return text(f"run.over_{name}", **shown, model=self.plan.model.id, unsent=unsent)

    def unsent(self, prompt: Prompt) -> Text:
        """Return that nothing was sent, or what was before."""
        if self.is_late:
            return text("run.sent_not_this")
        before = prompt.begun.items
        return text("run.sent_no_more", n=before) if before else text("run.sent_nothing")

    def _confirmation(self, bill: Bill, question: Question, prompt: Prompt) -> ConfirmationNeeded:
        """Return what a run, or its whole prompt, would make and cost, and how to go ahead."""
        total, begun = self.total(self.share(bill), prompt), prompt.begun
        unpaid = total.items - begun.items
        nodes = 1 + len(prompt.shares.keys() - {self.node})
        key, by, settings = "run.confirm", "run.confirm_by", "confirm_images, confirm_cost"
        if question.lately:
            has_seed = "seed" in self.jobs[0].request.body
            by = "run.confirm_seed_by" if has_seed else "run.confirm_same_seeds_by"
            key, settings = "run.confirm_auto_run", "auto_run_images"
            unpaid = total.images - begun.images
        elif self.is_repeated(prompt):
            key, by = "run.confirm_list", "run.confirm_list_by"
        elif nodes > 1:
            key = "run.confirm_prompt"
        is_alike, unsent = len(set(total.words)) == 1, self.unsent(prompt)
        values = {
            "nodes": nodes,
            "node": f"{self.caller.node_type} {self.caller.node_id}".strip(),
            "total": total.items + total.paid,
            "items": self.plan.endpoint.item_names if is_alike else text("item.result.some"),
            "paid": total.paid + begun.items,
            "unpaid": unpaid,
            "lately": question.lately,
            "cost": amount_text(total.cost, self.pricing.currency),
            "left": amount_text(total.cost - begun.cost, self.pricing.currency),
            "model": self.plan.model.id,
            "minutes": int(CONFIRM_SECONDS // 60),
            "seed": self.jobs[0].request.seed,
            "unsent": unsent,
        }
        what, where = text(key, **values), text("run.confirm_where", settings=settings)
        needed = ConfirmationNeeded(
            join("\n", (what, text(by, **values), where)),
            settings.split(",")[0],
            join("\n", (what, unsent, where)),
            question.contents,
        )
        most = Decimal(question.amount.cost) / BILLION
        if most and not self.is_repeated(prompt):  # else it is not known
            needed.cost, needed.currency = f"{most.normalize():f}", self.pricing.currency
        return needed


class SpendingGuard:
    """Judges each run before its first request, by what its account has in progress here."""

    def __init__(self) -> None:
        """Start with none in progress."""
        self._lock = threading.Lock()
        self._judging = threading.Lock()
        self._in_progress: Counter[str] = Counter()
        self._jobs: dict[str, list[Job]] = {}
        self._prompts: dict[tuple[str, float], Prompt] = {}

    def reserve(self, run: RunToJudge) -> None:
        """Judge a run, and hold its images and its cost until each job is released.

        What is paid already counts nothing. Raises `GuardStopped` if a limit would be broken, or
        cannot be checked, and for a run that the user has to confirm.
        """
        if run.settings.balance_floor:
            run.jobs[0].note(text("run.balance_floor_retired"))
        prompt = self._prompt_of(run.caller)
        with self._judging:  # what one node is told by the user holds for those beside it
            run.look_ahead(prompt)
            self._reserve_within(prompt, run)

    def _reserve_within(self, prompt: Prompt, run: RunToJudge) -> None:
        settings, jobs = run.settings, run.jobs
        counted_as = run.counted_as(prompt)
        prompt.calls.setdefault(run.node, run.calls)
        if run.counts_images and prompt.lately is None:
            prompt.lately = run.images_lately(counted_as) + self._unsent(counted_as)
        bill = run.bill([[job.request] for job in jobs])
        question = run.question(bill, prompt)
        is_limited = run.budgets or (run.counts_images and settings.most_pictures)
        if is_limited or question.is_asked or prompt.before.items:
            jobs = run.distinct(jobs)
            run = replace(run, jobs=jobs)
            bill = run.bill([run.unpaid(job) for job in jobs])
            question = run.question(bill, prompt)
        if bill.items:
            if run.counts_images:
                self._hold(run, bill, prompt)
            if stopped := run.judge(bill, question, prompt):
                self.release(settings, run.ledger, jobs)
                raise stopped
            for job, requests in zip(jobs, bill.requests, strict=True):
                job.may_pay += sum(request.count for request in requests)
                job.counted_as = counted_as if run.share(bill).images else ""
            if run.share(bill).images:
                with self._lock:
                    self._jobs.setdefault(counted_as, []).extend(jobs)
        prompt.begin(run.node, run.share(bill))

    def release(self, settings: Settings, ledger: Ledger, jobs: Sequence[Job]) -> None:
        """Let go of what is held for jobs that are over, or were never started."""
        with self._lock:
            for job in jobs:
                self._in_progress[settings.account] -= job.reserved
                job.reserved = 0
                others = [each for each in self._jobs.pop(job.counted_as, ()) if each is not job]
                if others:
                    self._jobs[job.counted_as] = others
        held = [job.id for job in jobs if job.holds_cost]
        with suppress(LedgerError):  # then it counts as spent until this process ends
            if held:
                ledger.let_go(held)

    def _unsent(self, counted_as: str) -> int:
        """Return how many images have been let through that the ledger does not know of yet."""
        with self._lock:
            jobs = self._jobs.get(counted_as, ())
            return sum(job.request.count for job in jobs if not job.was_sent)

    def _hold(self, run: RunToJudge, bill: Bill, prompt: Prompt) -> None:
        account, limit = run.settings.account, run.settings.most_pictures
        with self._lock:
            total = self._in_progress[account] + bill.items
            if limit and total > limit:
                counts = {"limit": limit, "images": bill.items, "total": total}
                message = text("run.too_many_images", **counts, unsent=run.unsent(prompt))
                raise GuardStopped(message, "most_pictures")
            for job, requests in zip(run.jobs, bill.requests, strict=True):
                job.reserved += sum(request.count for request in requests)
            self._in_progress[account] = total

    def _prompt_of(self, caller: Caller) -> Prompt:
        """Return the prompt of a node. Outside ComfyUI each run is one."""
        prompt = Prompt(caller.queued_at)
        if not caller.prompt_id:
            return prompt
        with self._lock:
            for oldest in list(self._prompts)[:-PROMPTS]:
                del self._prompts[oldest]
            if caller.going_on.get("since") is not None and caller.queueing not in self._prompts:
                parent = caller.going_on["parent"]
                earlier = [each for (id_, _), each in self._prompts.items() if id_ == parent]
                prompt = earlier[-1].goes_on(caller.queued_at) if earlier else prompt
            return self._prompts.setdefault(caller.queueing, prompt)
