"""The treasury: gets grants from the quota service when jobs lack them, and gives back what lies idle.

One request is under way at a time and asks for everybody who lacks something, so a job costs none of its own. While the
quota service does not answer, jobs go on with what is granted already; then they wait, and others go past them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import msgspec

from gridloom_contract.base import Message
from gridloom_contract.fault import FaultError
from gridloom_contract.quota import Grant, GrantRequest, GrantsTaken, PlanChanged, ReturnGrants, TakeGrants
from gridloom_contract.registry import RETURN_GRANTS, TAKE_GRANTS, Channel
from gridloom_domain.budgets import Spent
from gridloom_kit.log import get_logger
from gridloom_scheduler import metrics
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.quotas import Quotas

log = get_logger()

_ANSWER_SECONDS = 2.0
_AGAIN_SECONDS = 0.5
_SHORTEST_HOLD = timedelta(seconds=1)
"""Should the quota service's clock be behind ours, a refusal may be over before it is heard."""
_MOST_AT_ONCE = 500


class Line(Protocol):
    """The way to the quota service."""

    async def request(self, channel: Channel, message: Message, *, timeout_seconds: float) -> Any:
        """Return the answer or raise `FaultError`."""
        ...


class Bell(Protocol):
    """How the assigner is told to look at waiting jobs."""

    def look_at(self, routes: Collection[str]) -> None:
        """Look at these routes."""
        ...

    def nudge(self) -> None:
        """Look wherever jobs are known to wait."""
        ...


class Treasury:
    """Asks for what jobs lack, as a holder that is new for every process."""

    def __init__(self, line: Line, quotas: Quotas, chance: Chance, bell: Bell) -> None:
        self._line = line
        self._quotas = quotas
        self._clock = chance.clock
        self._holder = chance.ids.token()
        self._bell = bell

    async def run(self, stop: asyncio.Event) -> None:
        """Get what is lacking until told to stop."""
        wanting = self._quotas.wanting
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stop.wait()).add_done_callback(lambda _: wanting.set())
            while not stop.is_set():
                await wanting.wait()
                wanting.clear()
                requests = self._quotas.budgets.wanted()
                if requests and not await self._get(requests):
                    await asyncio.sleep(_AGAIN_SECONDS)
                if self._quotas.budgets.has_wants:
                    wanting.set()

    async def _get(self, requests: Sequence[GrantRequest]) -> bool:
        """Ask for grants and have waiting jobs looked at. Returns False if nobody answered."""
        budgets = self._quotas.budgets
        try:
            for first in range(0, len(requests), _MOST_AT_ONCE):
                some = tuple(requests[first : first + _MOST_AT_ONCE])
                question = TakeGrants(holder=self._holder, requests=some)
                answer: GrantsTaken = await self._line.request(TAKE_GRANTS, question, timeout_seconds=_ANSWER_SECONDS)
                budgets.take([self._lasting(grant) for grant in answer.grants], self._clock.now())
                self._look_again(request.account for request in some)
        except FaultError as error:
            metrics.grants_not_answered.inc()
            log.warning("grants.not_answered", accounts=len(requests), err=error.fault.message)
            budgets.not_answered(requests)
            return False
        return True

    def _lasting(self, grant: Grant) -> Grant:
        if grant.held_until is None:
            return grant
        return msgspec.structs.replace(grant, held_until=max(grant.held_until, self._clock.now() + _SHORTEST_HOLD))

    def _look_again(self, accounts: Iterable[str]) -> None:
        routes: set[str] = set()
        for account in accounts:
            routes |= self._quotas.lacking.pop(account, set())
        if routes:
            self._bell.look_at(routes)

    async def give_back(self) -> None:
        """Give back grants that are spent, over or idle."""
        await self._return(self._quotas.budgets.to_return(self._clock.now()))

    async def close(self) -> None:
        """Give back everything, after the last claim."""
        await self._return(self._quotas.budgets.to_return(self._clock.now(), everything=True))

    async def _return(self, spent: Sequence[Spent]) -> None:
        if not spent:
            return
        ended = ReturnGrants(
            holder=self._holder,
            grants=tuple(each.grant for each in spent),
            spent=tuple(each.tokens for each in spent),
        )
        try:
            await self._line.request(RETURN_GRANTS, ended, timeout_seconds=_ANSWER_SECONDS)
        except FaultError as error:  # they end by themselves
            log.warning("grants.not_returned", grants=len(spent), err=error.fault.message)

    async def on_plan_changed(self, message: PlanChanged) -> None:
        """Ask anew about these accounts, or all, before their next job."""
        self._quotas.budgets.forget(message.accounts or None)
        self._bell.nudge()
