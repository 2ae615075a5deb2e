"""The books: commands on accounts are carried out in batches, each account's share as one compare-and-set.

Reservations and ended grants live in collections of their own, but the account's document is where they are decided: a
change stores them in the account's journal in the same write and copies them afterwards. A crash between the two leaves
the journal, which is read before the copies and copied again before it is replaced. Facts are delivered again until
both writes are done, and then change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from gridloom_contract.quota import Plan
from gridloom_domain.errors import Unavailable
from gridloom_kit import crash
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_quota import metrics
from gridloom_quota.record import Account, Booking
from gridloom_quota.rules.plans import without_limits
from gridloom_quota.rules.sheet import Command, Sheet, bookings_in
from gridloom_quota.rules.standing import Context, Terms
from gridloom_quota.store.errors import StoreError

log = get_logger()

_MOST_TRIES = 40
_PAUSE_SECONDS = 0.002
_MOST_REMEMBERED = 20_000


class Accounts(Protocol):
    """The accounts and what is copied from them."""

    async def load(self, accounts: Collection[str]) -> dict[str, Account]:
        """Return all these accounts."""
        ...

    async def bookings(self, bookings: Collection[str]) -> dict[str, Booking]:
        """Return those of the reservations that exist, by id."""
        ...

    async def swap(self, accounts: Sequence[Account]) -> set[str]:
        """Store accounts; return those that somebody else changed meanwhile."""
        ...

    async def copy(self, accounts: Iterable[Account]) -> None:
        """Write what the journals of these accounts say."""
        ...


class Plans(Protocol):
    """The plans."""

    async def of(self, names: Collection[str]) -> dict[str, Plan]:
        """Return those of the plans that exist, by name."""
        ...


class Books:
    """Carries out batches of commands; `commit` is what a `GroupCommit` takes."""

    def __init__(self, accounts: Accounts, plans: Plans, clock: Clock, terms: Terms) -> None:
        self._accounts = accounts
        self._plans = plans
        self._clock = clock
        self._terms = terms
        self._copied: dict[str, int] = {}

    async def commit(self, commands: list[Command]) -> list[Any]:
        """Return the answer of each command once what it changed is stored. Raises `Unavailable` if it may not be."""
        answers: list[Any] = [None] * len(commands)
        waiting = list(range(len(commands)))
        try:
            for attempt in range(_MOST_TRIES):
                lost = await self._round([commands[index] for index in waiting], waiting, answers)
                waiting = [index for index in waiting if commands[index].account in lost]
                if not waiting:
                    return answers
                metrics.conflicts.inc(len(lost))
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
        except StoreError as error:
            log.warning("books.not_stored", err=str(error))
            raise Unavailable("the quota's record cannot be reached", retry_after_seconds=1.0) from error
        raise Unavailable("too many others change the same accounts", retry_after_seconds=1.0)

    async def _round(self, commands: list[Command], places: list[int], answers: list[Any]) -> set[str]:
        """Carry out the commands; put their answers in their places. Returns the accounts on which that is void."""
        sheets = await self._sheets(commands)
        for place, command in zip(places, commands, strict=True):
            answers[place] = sheets[command.account].obey(command)
        changed = [sheet for sheet in sheets.values() if sheet.is_changed]
        if not changed:
            return set()
        await self._copy_left([sheet.stored for sheet in changed])
        crash.point("quota.decided")
        accounts = [sheet.account() for sheet in changed]
        lost = await self._accounts.swap(accounts)
        crash.point("quota.stored")
        await self._copy([account for account in accounts if account.id not in lost])
        crash.point("quota.copied")
        return lost

    async def _sheets(self, commands: list[Command]) -> dict[str, Sheet]:
        # The accounts first: what is no longer in a journal by then is in its copy.
        accounts = await self._accounts.load({command.account for command in commands})
        plans, bookings = await asyncio.gather(
            self._plans.of({account.plan for account in accounts.values()}),
            self._accounts.bookings({booking for command in commands for booking in bookings_in(command)}),
        )
        now = self._clock.now()
        own: dict[str, dict[str, Booking]] = {account: {} for account in accounts}
        for booking in bookings.values():
            own.get(booking.account, {})[booking.id] = booking
        return {
            name: Sheet(account, own[name], Context(_plan_of(account, plans), now, self._terms))
            for name, account in accounts.items()
        }

    async def _copy_left(self, stored: list[Account]) -> None:
        """Copy what the last writer of an account may not have copied."""
        left = [account for account in stored if self._copied.get(account.id) != account.version]
        await self._accounts.copy(left)

    async def _copy(self, accounts: list[Account]) -> None:
        await self._accounts.copy(accounts)
        if len(self._copied) > _MOST_REMEMBERED:
            self._copied.clear()  # costs one more copy an account, no more
        self._copied |= {account.id: account.version for account in accounts}


def _plan_of(account: Account, plans: dict[str, Plan]) -> Plan:
    return plans.get(account.plan) or without_limits(account.plan)
