"""Who is calling: what is believed, for how long, and what looks alike from outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.fleet import KeyRevoked
from gridloom_gateway import keys
from gridloom_gateway.auth import AdminGate, Authenticator
from gridloom_gateway.limits import FailureLimit
from gridloom_gateway.people import SCOPES, Account, ApiKey

PEPPER = "p" * 32
HERE = "192.0.2.1"


class Hours:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Known:
    """One account with one key, and a count of who asked for it."""

    def __init__(self) -> None:
        self.clock = Hours()
        self.new = keys.mint()
        self.account = Account("a" * 32, "test", self.clock.now(), priority_boost=7)
        self.key = ApiKey(
            kid=self.new.kid,
            account=self.account.id,
            verifier=keys.verifier(PEPPER.encode(), self.new.text),
            name="",
            scopes=SCOPES,
            created_at=self.clock.now(),
        )
        self.lookups = 0
        self.limit = FailureLimit(5, self.clock.monotonic)
        self.authenticator = Authenticator(self.look_up, self.limit, self.clock, pepper=PEPPER, cache_seconds=30.0)

    async def look_up(self, kid: str) -> tuple[ApiKey, Account] | None:
        self.lookups += 1
        return (self.key, self.account) if kid == self.key.kid else None

    async def code_of(self, header: str | None) -> FaultCode:
        with pytest.raises(FaultError) as raised:
            await self.authenticator.caller(header, HERE)
        return raised.value.fault.code


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Token", "token"])
async def test_a_key_is_accepted_under_either_scheme(known: Known, scheme: str) -> None:
    caller = await known.authenticator.caller(f"{scheme} {known.new.text}", HERE)

    assert (caller.account, caller.kid, caller.priority_boost) == (known.account.id, known.key.kid, 7)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "glm_something"])
async def test_without_a_key_nobody_is_let_in(known: Known, header: str | None) -> None:
    assert await known.code_of(header) is FaultCode.UNAUTHENTICATED
    assert known.lookups == 0


async def test_a_misspelled_key_never_reaches_the_database(known: Known) -> None:
    wrong = known.new.text[:-1] + ("a" if known.new.text[-1] != "a" else "b")

    assert await known.code_of(f"Bearer {wrong}") is FaultCode.UNAUTHENTICATED
    assert known.lookups == 0


async def test_unknown_revoked_and_expired_keys_and_wrong_secrets_look_alike(known: Known) -> None:
    faults = []
    good = known.key
    other = keys.mint()
    for key, text in (
        (good, other.text),
        (replace(good, revoked_at=known.clock.now()), known.new.text),
        (replace(good, expires_at=known.clock.now()), known.new.text),
        (replace(good, verifier=b"\x01" * 32), known.new.text),
    ):
        known.key = key
        await known.authenticator.forget(KeyRevoked(kid=good.kid))
        with pytest.raises(FaultError) as raised:
            await known.authenticator.caller(f"Bearer {text}", HERE)
        faults.append(raised.value.fault)

    assert len(set(map(str, faults))) == 1
    assert faults[0].code is FaultCode.UNAUTHENTICATED


async def test_a_key_is_believed_for_a_while_without_asking_again(known: Known) -> None:
    for _ in range(10):
        await known.authenticator.caller(f"Bearer {known.new.text}", HERE)
    known.clock.seconds += 31
    await known.authenticator.caller(f"Bearer {known.new.text}", HERE)

    assert known.lookups == 2


async def test_an_unknown_key_is_remembered_too(known: Known) -> None:
    header = f"Bearer {keys.mint().text}"
    await known.code_of(header)
    await known.code_of(header)

    assert known.lookups == 1


async def test_a_key_that_expires_meanwhile_is_not_believed_any_longer(known: Known) -> None:
    known.key = replace(known.key, expires_at=known.clock.now() + timedelta(seconds=10))
    await known.authenticator.caller(f"Bearer {known.new.text}", HERE)
    known.clock.seconds += 10

    assert await known.code_of(f"Bearer {known.new.text}") is FaultCode.UNAUTHENTICATED


async def test_a_revocation_is_heard_at_once(known: Known) -> None:
    await known.authenticator.caller(f"Bearer {known.new.text}", HERE)
    known.key = replace(known.key, revoked_at=known.clock.now())
    await known.authenticator.forget(KeyRevoked(kid=known.key.kid))

    assert await known.code_of(f"Bearer {known.new.text}") is FaultCode.UNAUTHENTICATED


async def test_a_disabled_account_is_told_so(known: Known) -> None:
    known.account = replace(known.account, disabled_at=known.clock.now())

    assert await known.code_of(f"Bearer {known.new.text}") is FaultCode.FORBIDDEN


async def test_whoever_is_wrong_too_often_has_to_wait(known: Known) -> None:
    for _ in range(4):
        assert await known.code_of("Bearer nonsense") is FaultCode.UNAUTHENTICATED

    assert await known.code_of("Bearer nonsense") is FaultCode.RATE_LIMITED
    assert await known.code_of(f"Bearer {keys.mint().text}") is FaultCode.RATE_LIMITED
    assert known.lookups == 0


async def test_a_neighbour_that_guesses_keys_does_not_lock_out_a_key_in_use(known: Known) -> None:
    await known.authenticator.caller(f"Bearer {known.new.text}", HERE)
    for _ in range(10):
        await known.code_of("Bearer nonsense")

    caller = await known.authenticator.caller(f"Bearer {known.new.text}", HERE)

    assert caller.kid == known.key.kid


async def test_the_use_of_keys_is_reported_once(known: Known) -> None:
    await known.authenticator.caller(f"Bearer {known.new.text}", HERE)
    await known.authenticator.caller(f"Bearer {known.new.text}", HERE)

    assert known.authenticator.take_used() == [known.key.kid]
    assert known.authenticator.take_used() == []


def test_only_the_admin_key_opens_the_admin_gate(known: Known) -> None:
    gate = AdminGate("k" * 40, known.limit)
    gate.admit(f"Bearer {'k' * 40}", HERE)

    for wrong in (f"Bearer {'k' * 39}", f"Bearer {known.new.text}", None, "Bearer \udcff"):
        with pytest.raises(FaultError) as raised:
            gate.admit(wrong, HERE)
        assert raised.value.fault.code is FaultCode.UNAUTHENTICATED
