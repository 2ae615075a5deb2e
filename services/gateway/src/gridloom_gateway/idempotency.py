"""`Idempotency-Key`: a POST that is sent again, by a client that never saw the answer, does its work once.

The first request with a key claims it, together with the id of the job it will make. Whoever comes with the same key
and request gets the answer that is kept, or, if there is none yet because the first is under way or its gateway died,
carries the request out under that same id: the grid takes a job in once, however often it is offered. What is not made
under an id is carried out by one at a time, and finished even if its client has gone.

An answer that refuses is not kept: nothing was done, and the key is free again.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Protocol

from aiohttp import hdrs, web

from gridloom_contract.fault import FaultError
from gridloom_domain.errors import Conflict, Invalid
from gridloom_gateway import metrics
from gridloom_gateway.claims import Claim, KeptAnswer
from gridloom_gateway.people import Caller
from gridloom_gateway.reading import BodyReader
from gridloom_gateway.route import Audience, Dialect, Handler, Route
from gridloom_kit import crash
from gridloom_kit.clock import Clock
from gridloom_kit.finish import finish
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_kit.seal import Seal

log = get_logger()

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
MAX_KEY_CHARACTERS: Final = 255
_KEY = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_CHARACTERS}}}", re.ASCII)
_KEPT = timedelta(hours=24)
_HELD = timedelta(seconds=20)
"""Longer than any request takes that is not made under an id."""
_MOST_KEPT_BYTES: Final = 256 * 1024
_ANY_BYTES: Final = "latin-1"
"""Turns bytes into a text and back, whatever they are."""
_LOOK_AGAIN_SECONDS: Final = 0.1


class Claims(Protocol):
    """Where claims are kept; every method is one transition."""

    async def claim(self, wanted: Claim) -> Claim:
        """Return the claim that stands: the wanted one if the key was free."""
        ...

    async def take_over(self, old: Claim, new: Claim) -> bool:
        """Hold an unanswered claim in place of its holder; False if somebody else was faster."""
        ...

    async def answer(self, claim: Claim, answer: KeptAnswer) -> KeptAnswer:
        """Keep the answer unless there is one, and return the one that is kept."""
        ...

    async def release(self, claim: Claim) -> None:
        """Forget an unanswered claim that nobody took over."""
        ...

    async def let_go(self, claim: Claim) -> None:
        """Hold an unanswered claim no longer."""
        ...


@dataclass(frozen=True)
class _Work:
    """One request with a key, ready to be carried out."""

    request: web.Request
    caller: Caller
    route: Route
    seal: Seal

    async def done(self, new_id: str) -> web.StreamResponse:
        """Return the handler's answer, what it makes named `new_id`."""
        return await self.route.handler(self.request, replace(self.caller, new_id=new_id))

    def kept(self, claim: Claim, response: web.StreamResponse) -> KeptAnswer | None:
        """Return what is kept of an answer; None of a stream and of what is too large: those are made again."""
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return None
        if response.status >= 400 or len(response.body) > _MOST_KEPT_BYTES:
            return None
        sealed = self.seal.close(response.body.decode(_ANY_BYTES), claim.id)
        return KeptAnswer(response.status, dict(response.headers), sealed)

    def replayed(self, claim: Claim, answer: KeptAnswer) -> web.Response:
        """Return an answer that was given before."""
        metrics.replayed_answers.inc()
        body = self.seal.open(answer.sealed_body, claim.id).encode(_ANY_BYTES)
        return web.Response(body=body, status=answer.status, headers=answer.headers | {REPLAYED: "true"})


class Idempotency:
    """Wraps the handlers of POST routes. `mint` makes ids; `secret` keys what is kept of keys and bodies."""

    def __init__(
        self, claims: Claims, bodies: BodyReader, clock: Clock, mint: Callable[[], str], *, secret: str
    ) -> None:
        self._claims = claims
        self._bodies = bodies
        self._clock = clock
        self._mint = mint
        self._secret = secret.encode()

    def of(self, dialect: Dialect, route: Route) -> Handler:
        """Return the route's handler, minding the header where it has a meaning: on an account's POST."""
        if not is_minded(dialect, route):
            return route.handler

        async def handler(request: web.Request, caller: Caller) -> web.StreamResponse:
            if HEADER not in request.headers:
                return await route.handler(request, caller)
            names = (caller.account, key_in(request))
            seal = Seal(self._hash("answer", *names))
            told = (dialect.name, route.path, *_particulars(request))
            wanted = self._claim(names, self._hash(*told, await self._bodies.read(request)))
            return await self._once(wanted, _Work(request, caller, route, seal))

        return handler

    def _claim(self, names: tuple[str, ...], fingerprint: str) -> Claim:
        now = self._clock.now()
        return Claim(
            id=self._hash("claim", *names),
            fingerprint=fingerprint,
            new_id=self._mint(),
            holder=self._mint(),
            held_until=now + _HELD,
            ends_at=now + _KEPT,
        )

    async def _once(self, wanted: Claim, work: _Work) -> web.StreamResponse:
        standing = await self._claims.claim(wanted)
        crash.point("gateway.key_claimed")
        while True:
            if standing.fingerprint != wanted.fingerprint:
                raise Conflict("this Idempotency-Key was used for another request", HEADER)
            if standing.answer is not None:
                return work.replayed(standing, standing.answer)
            if work.route.is_made_under_id:
                is_first = standing.holder == wanted.holder
                return await self._carry_out(replace(standing, holder=wanted.holder), work, is_first=is_first)
            mine = await self._held(standing, wanted)
            if mine is not None:
                return await finish(self._carry_out(mine, work, is_first=mine is standing))
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            standing = await self._claims.claim(wanted)

    async def _held(self, standing: Claim, wanted: Claim) -> Claim | None:
        """Return the claim as ours if it is, or if nobody holds it any more."""
        now = self._clock.now()
        if standing.holder == wanted.holder:
            return standing
        mine = replace(standing, holder=wanted.holder, held_until=now + _HELD)
        if standing.held_until <= now and await self._claims.take_over(standing, mine):
            return mine
        return None

    async def _carry_out(self, claim: Claim, work: _Work, *, is_first: bool) -> web.StreamResponse:
        try:
            response = await work.done(claim.new_id)
        except FaultError as error:
            await self._given_up(claim, is_certain=is_first and not error.fault.retryable)
            raise
        except Exception:
            await self._claims.let_go(claim)
            raise
        crash.point("gateway.key_used")
        kept = work.kept(claim, response)
        if kept is None:
            return response
        stands = await self._record(claim, kept)
        crash.point("gateway.key_answered")
        return response if stands is kept else work.replayed(claim, stands)

    async def _record(self, claim: Claim, answer: KeptAnswer) -> KeptAnswer:
        """Return the answer that is kept, which may be an earlier one. The work is done, even if it cannot be kept."""
        try:
            return await self._claims.answer(claim, answer)
        except DatabaseError as error:
            log.error("idempotency.answer_not_kept", err=type(error).__name__)
            return answer

    async def _given_up(self, claim: Claim, *, is_certain: bool) -> None:
        """A refusal did nothing, so the key is free; after a failure something may have been done all the same."""
        await (self._claims.release(claim) if is_certain else self._claims.let_go(claim))

    def _hash(self, *parts: str | bytes) -> str:
        """Return a keyed hash of the parts; each is led by its length, so that no two lists have the same."""
        digest = hmac.new(self._secret, digestmod="sha256")
        for part in parts:
            content = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "big"))
            digest.update(content)
        return digest.hexdigest()


def is_minded(dialect: Dialect, route: Route) -> bool:
    """Say whether the header has a meaning on this route."""
    return dialect.audience is Audience.ACCOUNT and route.method == hdrs.METH_POST


def key_in(request: web.Request) -> str:
    """Return the key. Raises `Invalid` unless it is one, of the right length and characters."""
    presented = request.headers.getall(HEADER)
    if len(presented) != 1 or not _KEY.fullmatch(presented[0]):
        raise Invalid(f"an {HEADER} is 1 to {MAX_KEY_CHARACTERS} printable ASCII characters, sent once", HEADER)
    return presented[0]


def _particulars(request: web.Request) -> list[str]:
    """Return what tells two requests of one route apart, besides their bodies."""
    return [
        *(f"{name}={value}" for name, value in sorted(request.match_info.items())),
        request.rel_url.raw_query_string,
    ]
