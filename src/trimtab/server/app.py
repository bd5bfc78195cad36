"""The application: routes, guard, errors and envelope put together over an engine."""

from __future__ import annotations

from copy import copy
from importlib.metadata import PackageNotFoundError, version

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from trimtab.runtime.assemble import Engine
from trimtab.runtime.workers import Workers
from trimtab.server import openapi
from trimtab.server.address import Addresses
from trimtab.server.auth import Keyring, guard
from trimtab.server.browser import BrowserDoor, built_script
from trimtab.server.envelope import Envelope
from trimtab.server.event_door import EventDoor
from trimtab.server.feed import Feed
from trimtab.server.fleet import Fleet
from trimtab.server.limits import Meter
from trimtab.server.metrics import Metrics
from trimtab.server.problems import HANDLERS
from trimtab.server.routes import (
    datasets,
    erasures,
    events,
    features,
    golden,
    inbox,
    jobs,
    keys,
    knowledge,
    learning,
    loop,
    measure,
    monitors,
    operations,
    outcomes,
    overview,
    people,
    quarantine,
    redaction,
    review,
    review_queue,
    rules,
    search,
    serving,
    set_aside,
    topics,
    traces,
    users,
)
from trimtab.server.routes import read as read_side

__all__ = ["API_VERSION", "ROUTES", "create_app", "installed_version"]

API_VERSION = "1"

ROUTES: list[HTTPRouteHandler] = [
    *events.ROUTES,
    *traces.ROUTES,
    *features.ROUTES,
    *serving.ROUTES,
    *overview.ROUTES,
    *read_side.ROUTES,
    *measure.ROUTES,
    *inbox.ROUTES,
    *outcomes.ROUTES,
    *monitors.ROUTES,
    *search.ROUTES,
    *topics.ROUTES,
    *loop.ROUTES,
    *quarantine.ROUTES,
    *rules.ROUTES,
    *knowledge.ROUTES,
    *datasets.ROUTES,
    *people.ROUTES,
    *golden.ROUTES,
    *learning.ROUTES,
    *review.ROUTES,
    *review_queue.ROUTES,
    *jobs.ROUTES,
    *users.ROUTES,
    *erasures.ROUTES,
    *keys.ROUTES,
    *redaction.ROUTES,
    *set_aside.ROUTES,
    *operations.ROUTES,
]


def installed_version() -> str:
    """Return the version of this distribution, or 0 where it runs from a bare checkout."""
    try:
        return version("trimtab")
    except PackageNotFoundError:
        return "0"


def create_app(engine: Engine, *, workers: Workers | None = None, fleet: Fleet | None = None) -> Litestar:
    """Return the ASGI application over `engine`; `workers`, where given, are woken by new events and watched.

    The application neither starts nor closes either of them; a `fleet` of ingest workers runs as long as it does.
    Raises ConfigError for a proxy that is no address.
    """
    metrics = Metrics(engine, workers)
    keyring = Keyring(engine.store)
    meter, addresses = Meter(engine.settings.limits), Addresses(engine.settings.server.trusted_proxies)
    told = engine.settings.server
    feed = Feed(engine.store, most=told.streams, most_per_key=told.streams_per_key)
    engine.store.on_switched = feed.wake
    metrics.watch(feed)
    state = {
        "engine": engine,
        "workers": workers,
        "keyring": keyring,
        "meter": meter,
        "addresses": addresses,
        "metrics": metrics,
        "feed": feed,
        "openapi": openapi.encoded(ROUTES, API_VERSION),
    }
    app = Litestar(
        # A handler remembers the limits of the first application it joins: each application gets its own. The router
        # takes those of one path in one go: one by one, Litestar would hand the first to a thread once for each other.
        route_handlers=[Router(path="/", route_handlers=[copy(route) for route in ROUTES])],
        guards=[guard],
        exception_handlers=HANDLERS,
        state=State(state),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=engine.settings.server.body_bytes,
        on_startup=[fleet.open] if fleet is not None else [],
        on_shutdown=[*([fleet.close] if fleet is not None else []), engine.intake.journal.drain],
    )
    if fleet is not None:
        fleet.attach(metrics)
    if workers is not None:
        engine.intake.on_stored = workers.wake
    door = EventDoor(
        app.asgi_handler,
        lambda: engine.intake,
        keyring=keyring,
        meter=meter,
        addresses=addresses,
        losses=metrics,
        body_bytes=engine.settings.server.body_bytes,
    )
    enveloped = Envelope(door, engine.clock, metrics.observe)
    app.asgi_handler = BrowserDoor(enveloped, built_script(), keyring.roster)
    return app
