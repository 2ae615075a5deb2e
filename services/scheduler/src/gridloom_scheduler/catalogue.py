"""The catalogue in memory: which models exist, and for whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol

from gridloom_contract.jobs import Submission
from gridloom_contract.vocabulary import Kind, Match
from gridloom_contract.work import Offer
from gridloom_domain.estimates import UsualOutput
from gridloom_domain.models import VISION, family_of
from gridloom_scheduler import metrics
from gridloom_scheduler.record import ModelRecord, WorkerRecord


class Models(Protocol):
    """Where the catalogue is kept."""

    async def all(self) -> list[ModelRecord]:
        """Return all of it."""
        ...

    async def named(self, names: Collection[str]) -> list[ModelRecord]:
        """Return models of these names or families."""
        ...

    async def offered(self, models: Iterable[ModelRecord]) -> None:
        """Add models, or widen who may know of them."""
        ...


class Catalogue:
    """Every model that any worker ever offered. Models are only ever added, so what is remembered stays true."""

    def __init__(self, models: Models) -> None:
        self._store = models
        self._models: dict[str, ModelRecord] = {}
        self._families: dict[str, set[str]] = {}
        self.usual_output = UsualOutput()

    async def load(self) -> None:
        """Read all of it."""
        self._remember(await self._store.all())

    async def offer(self, models: Iterable[ModelRecord]) -> None:
        """Add what a worker offers; known models cost nothing."""
        new = [model for model in models if not self._covers(model)]
        if new:
            await self._store.offered(new)
            self._remember(await self._store.named({model.id for model in new}))

    async def look_up(self, submissions: Iterable[Submission]) -> None:
        """Ask for those models of the submissions that are not remembered: another replica may have met them."""
        missing = {item.model for item in submissions if self.family_for(item) is None}
        if missing:
            self._remember(await self._store.named(missing | {family_of(name) for name in missing}))

    def family_for(self, submission: Submission) -> str | None:
        """Return the family of the model a job asks for, or None if this account knows no such model."""
        model, account = self._models.get(submission.model), submission.account
        if submission.match is not Match.FAMILY:
            return model.family if model and model.is_visible_to(account) else None
        family = model.family if model and model.is_visible_to(account) else family_of(submission.model)
        names = self._families.get(family, ())
        return family if any(self._models[name].is_visible_to(account) for name in names) else None

    def can_do(self, submission: Submission, family: str) -> bool:
        """Whether the model a job asks for, or one of the family it asks for, does that kind of task."""
        names = self._families.get(family, ()) if submission.match is Match.FAMILY else (submission.model,)
        return any(does(self._models[name], submission.task.kind) for name in names)

    def takes_images(self, submission: Submission, family: str) -> bool:
        """Whether the model a job asks for, or one of the family it asks for, takes images."""
        if submission.match is Match.FAMILY:
            return any(VISION in self._models[name].features for name in self._families.get(family, ()))
        return VISION in self._models[submission.model].features

    def visible_to(self, account: str) -> list[ModelRecord]:
        """Return the models an account may know, by name."""
        visible = (model for model in self._models.values() if model.is_visible_to(account))
        return sorted(visible, key=lambda model: model.id)

    def label(self, model: str) -> str:
        """Return the model as a metric's label: only public registered names, so that nobody can invent series."""
        known = self._models.get(model)
        return model if known and known.is_public else metrics.OTHER

    def kind_of(self, model: str) -> str:
        """Return what the model does, or `other` if it is unknown."""
        known = self._models.get(model)
        return known.kind if known else metrics.OTHER

    def _covers(self, model: ModelRecord) -> bool:
        known = self._models.get(model.id)
        if known is None:
            return False
        same = (known.context_tokens, known.features) == (model.context_tokens, model.features)
        same = same and set(model.kinds) <= set(known.kinds)
        return same and (known.is_public or not model.is_public) and set(model.accounts) <= set(known.accounts)

    def _remember(self, models: Iterable[ModelRecord]) -> None:
        for model in models:
            known = self._models.get(model.id)
            if known is not None and known.family != model.family:
                self._families[known.family].discard(model.id)
            self._models[model.id] = model
            self._families.setdefault(model.family, set()).add(model.id)


def offered_by(worker: WorkerRecord, now: datetime) -> list[ModelRecord]:
    """Return what a worker offers as entries of the catalogue. A private worker's models are for its patrons only."""
    patrons = worker.patrons
    return [
        ModelRecord(
            id=offer.model,
            family=offer.family,
            kind=str(offer.kind),
            first_seen_at=now,
            context_tokens=offer.context_tokens,
            features=offer.features,
            kinds=kinds_of(offer),
            is_public=patrons is None,
            accounts=tuple(sorted(patrons or ())),
        )
        for offer in worker.offers
    ]


def kinds_of(offer: Offer) -> tuple[str, ...]:
    """Return what an offered model does: what it is for, and what its features add to that."""
    extra = {Kind.EMBEDDING} & set(offer.features)
    return tuple(sorted({str(offer.kind), *map(str, extra)}))


def does(model: ModelRecord, kind: Kind) -> bool:
    """Whether any worker said that the model does tasks of this kind. Who chats completes, too."""
    kinds = set(model.kinds or (model.kind,))
    return str(kind) in kinds or (kind is Kind.COMPLETION and str(Kind.CHAT) in kinds)
