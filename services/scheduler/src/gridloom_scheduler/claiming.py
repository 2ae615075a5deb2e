"""Claiming: stores claims and has their orders sent. Those that need URLs first get them beside the assigner's rounds,
which wait for no other service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_scheduler.claims import Claims
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.enclosing import Enclosing
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.pace import Pace
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import endings
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.enclosures import UNTRIED, UNTRIED_AND_PLAIN, Easy, has_enclosures

log = get_logger()


class Claiming:
    """Makes claims come true."""

    def __init__(self, claims: Claims, ledger: Ledger, enclosing: Enclosing, doorbell: Doorbell, pace: Pace) -> None:
        self._claims = claims
        self._ledger = ledger
        self._enclosing = enclosing
        self._doorbell = doorbell
        self._pace = pace

    @property
    def easy(self) -> Easy:
        """What to look for beyond jobs that cannot be placed now."""
        return UNTRIED_AND_PLAIN if self._enclosing.is_selective else UNTRIED

    def may_go(self, job: JobRecord) -> bool:
        """Whether the job may be placed now."""
        return self._enclosing.may_go(job)

    async def claim(self, claims: Sequence[Change], tasks: asyncio.TaskGroup) -> dict[str, bool]:
        """Store the claims and send the orders. Returns whether each job is ours; those that wait for URLs count so."""
        enclosing = [claim for claim in claims if has_enclosures(claim.before)]
        if not enclosing:
            return await self._store(claims)
        if self._enclosing.is_doubtful:
            # One asks for all, so that the others do not keep slots meanwhile: somebody else may take them at once.
            self._drop(enclosing[1:])
            self._doorbell.look_at({claim.before.route for claim in enclosing[1:]})
            del enclosing[1:]
        self._enclosing.under_way |= {claim.before.id for claim in enclosing}
        tasks.create_task(self._claim_enclosing(enclosing))
        stored = await self._store([claim for claim in claims if not has_enclosures(claim.before)])
        return stored | {claim.before.id: True for claim in enclosing}

    async def hold(self, holds: Sequence[Change]) -> dict[str, bool]:
        """Store that jobs are held for their account's quota. Returns for each whether it is so."""
        if not holds:
            return {}
        won = await self._ledger.commit(holds)
        return {hold.before.id: is_won for hold, is_won in zip(holds, won, strict=True)}

    async def _store(self, claims: Sequence[Change]) -> dict[str, bool]:
        try:
            won = await self._ledger.commit(claims)
        except BaseException:
            for claim in claims:
                self._claims.doubted(claim)
            raise
        for claim, is_won in zip(claims, won, strict=True):
            if is_won:
                self._claims.won(claim)
            else:
                self._claims.dropped(claim)
        return {claim.before.id: is_won for claim, is_won in zip(claims, won, strict=True)}

    async def _claim_enclosing(self, claims: Sequence[Change]) -> None:
        """Claim the jobs for which there are URLs, end those that cannot be done any more, and leave the others."""
        left = {claim.before.id: claim for claim in claims}
        try:
            enclosed = await self._enclosing.enclose(claims)
            ready = [claim for claim in enclosed.ready if self._claims.still_holds(claim)]
            for claim in ready:
                del left[claim.before.id]
            await self._store(ready)
            await self._ledger.commit(
                [endings.input_lost(claim.before, self._pace.moment()) for claim in enclosed.hopeless]
            )
        except DatabaseError as error:
            log.warning("claims.not_stored", jobs=len(claims), err=str(error))
        finally:
            self._drop(list(left.values()))
            self._enclosing.under_way -= {claim.before.id for claim in claims}
            self._doorbell.look_at({claim.before.route for claim in claims})

    def _drop(self, claims: Sequence[Change]) -> None:
        for claim in claims:
            self._claims.dropped(claim)
