"""Everything the admin dialect may ask for: the book of accounts, and the fleet as the scheduler keeps it."""

from __future__ import annotations

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.fleet import (
    DrainWorker,
    EnrolWorker,
    ListWorkers,
    RevokeWorker,
    WorkerEnrolled,
    WorkerEntry,
    WorkerList,
)
from gridloom_contract.registry import DRAIN_WORKER, ENROL_WORKER, LIST_WORKERS, REVOKE_WORKER
from gridloom_domain.errors import Invalid
from gridloom_gateway.accounts import Accounts
from gridloom_gateway.desk import Questions
from gridloom_gateway.people import Page


class Fleet:
    """The workers."""

    def __init__(self, questions: Questions, accounts: Accounts) -> None:
        self._questions = questions
        self._accounts = accounts

    async def enrol(self, wish: EnrolWorker) -> WorkerEnrolled:
        """Make a worker identity; its token is shown this once. Raises `Invalid` if it names an unknown account."""
        named = [("account", wish.account)] if wish.account is not None else []
        for field, account in [*named, *(("serves", account) for account in wish.serves)]:
            await self._require(account, field)
        return await self._questions.ask(ENROL_WORKER, wish, WorkerEnrolled)

    async def page(self, number: int, size: int) -> Page[WorkerEntry]:
        """Return one page of all workers, by name."""
        workers = (await self._questions.ask(LIST_WORKERS, ListWorkers(), WorkerList)).workers
        return Page(workers[(number - 1) * size : number * size], number, size, len(workers))

    async def revoke(self, worker: str) -> WorkerEntry:
        """Void the worker's token and end its connection. Raises `NotFound`."""
        return await self._questions.ask(REVOKE_WORKER, RevokeWorker(worker=worker), WorkerEntry)

    async def drain(self, worker: str, *, drain: bool) -> WorkerEntry:
        """Give the worker nothing new, or (`drain` false) work again. Raises `NotFound`."""
        return await self._questions.ask(DRAIN_WORKER, DrainWorker(worker=worker, drain=drain), WorkerEntry)

    async def _require(self, account: str | None, field: str) -> None:
        try:
            await self._accounts.get(account or "")
        except FaultError as error:
            if error.fault.code is not FaultCode.NOT_FOUND:
                raise
            raise Invalid(f"{field} names an account that does not exist", field) from None


class Office:
    """What the operator may do."""

    def __init__(self, accounts: Accounts, fleet: Fleet, key_grace_seconds: float) -> None:
        self.accounts = accounts
        self.fleet = fleet
        self.key_grace_seconds = key_grace_seconds
