"""What every part of the scheduler works with."""

from __future__ import annotations

from functools import partial

from gridloom_contract.streams import STREAMS
from gridloom_kit.bus import Bus
from gridloom_kit.outbox import Outbox
from gridloom_kit.streams import ensure_streams
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.census import Census
from gridloom_scheduler.chance import Chance, LeaseTokens
from gridloom_scheduler.claiming import Claiming
from gridloom_scheduler.claims import Claims
from gridloom_scheduler.consumers import Consumers
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.enclosing import Enclosing
from gridloom_scheduler.fleet import Fleet, Terms
from gridloom_scheduler.followed import Followed
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.pace import Pace
from gridloom_scheduler.post import Post
from gridloom_scheduler.providers import Providers
from gridloom_scheduler.quotas import Quotas
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.reception import Greeter
from gridloom_scheduler.rules.files import FileTerms
from gridloom_scheduler.settings import Settings
from gridloom_scheduler.store import Stores
from gridloom_scheduler.treasury import Treasury


class Core:
    """What everything else works with: the fleet in memory, the ledger, and who is told."""

    def __init__(self, settings: Settings, stores: Stores, bus: Bus) -> None:
        terms = Terms(settings.heartbeat_seconds, settings.lease_seconds, settings.prefetch_below_seconds)
        self.make_streams = partial(ensure_streams, bus, STREAMS, settings.stream_replicas)
        self.chance = Chance(leases=LeaseTokens(settings.lease_secret))
        self.file_terms = FileTerms(settings.files_hold_seconds, settings.submit_hold_seconds)
        self.catalogue = Catalogue(stores.models)
        self.census = Census(stores.workers, self.chance.clock)
        self.fleet = Fleet(self.chance.clock, terms)
        self.providers = Providers(self.fleet, self.census)
        self.doorbell = Doorbell(self.fleet, self.census.expire)
        self.outbox = Outbox(bus, stores.jobs, self.fleet.order_went)
        self.followed = Followed()
        self.post = Post(self.outbox, bus, self.followed, foretells=settings.foretell_ends)
        self.ledger = Ledger(stores.jobs, self.fleet, self.post, self.doorbell, self.catalogue)
        self.quotas = Quotas(stores.holds, self.catalogue.usual_output, self.chance.clock)
        self.treasury = Treasury(bus, self.quotas, self.chance, self.doorbell)
        self.claims = Claims(self.fleet, self.providers, self.chance, self.quotas, self.doorbell.may_wait_on_any)
        self.pace = Pace(stores.queue, self.chance, self.doorbell.may_wait_on)
        self.claiming = Claiming(self.claims, self.ledger, Enclosing(bus, self.chance.clock), self.doorbell, self.pace)
        self.recall = Recall(bus)
        self.consumers = Consumers(bus)
        self.greeter = Greeter(bus, self.chance)
