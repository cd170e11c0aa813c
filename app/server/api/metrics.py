"""Routes: metrics in Prometheus's text format.

The parts of the relay count for themselves, in plain numbers; they are put into Prometheus's words only when somebody
looks, so that counting costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from app import __version__
from app.server.api._http import Relay, relay
from app.server.services import system

if TYPE_CHECKING:
    from prometheus_client import Metric

blueprint = Blueprint("metrics", __name__, url_prefix="/api")


@blueprint.get("/metrics")
def get_metrics() -> Response:
    """Prometheus text, names ``agent_relay_*``."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(relay()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Collector:
    def __init__(self, here: Relay) -> None:
        self._relay = here

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        here = self._relay
        uptime_s = here.bus.clock.monotonic_s() - here.started_s
        stats = system.get_stats(here.bus, uptime_s=uptime_s, live=here.hub.counts())
        info = GaugeMetricFamily("agent_relay_info", "This relay", labels=["version", "instance"])
        info.add_metric([__version__, here.bus.instance], 1)
        yield info
        for name, text, label, counts in (
            ("agents", "Registered agents by status", "status", stats.agents),
            ("live_streams", "Open live connections by kind", "kind", here.hub.counts()),
            ("tasks", "Active tasks by status", "status", stats.tasks),
            ("callbacks", "Callbacks that are pending, and that were given up", "state", stats.callbacks),
        ):
            family = GaugeMetricFamily(f"agent_relay_{name}", text, labels=[label])
            for which, count in counts.items():
                family.add_metric([which], count)
            yield family
        for name, text, value in (
            ("uptime_seconds", "Seconds since this relay began to serve", uptime_s),
            ("messages", "Messages held", stats.messages),
            ("claimable_open", "Claimable messages that nobody holds", stats.claimable_open),
            ("unread_human", "Unread messages to human", stats.unread_human),
            ("event_seq", "Sequence number of the newest event", stats.event_seq),
            ("database_bytes", "Size of the database on disk", stats.database_bytes),
        ):
            yield GaugeMetricFamily(f"agent_relay_{name}", text, value=value)
        for name, text, value in (
            ("commits", "Transactions written to disk", here.bus.store.commits),
            ("operations", "Operations that these transactions carried", here.bus.store.operations),
            ("events_delivered", "Events handed to live connections", here.hub.delivered),
            ("slow_readers_cut", "Live connections cut off because they did not keep up", here.hub.cut_off),
        ):
            yield CounterMetricFamily(f"agent_relay_{name}", text, value=value)
        answers = CounterMetricFamily(
            "agent_relay_http_requests", "Answered HTTP requests", labels=["method", "route", "status"]
        )
        for (method, rule, status), count in here.door.answers():
            answers.add_metric([method, rule, status], count)
        yield answers
