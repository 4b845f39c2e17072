"""The janitor as a process of its own: `python -m workers.janitor`; workers run one too."""

from __future__ import annotations

import signal

from regioncap import metrics
from regioncap.jobs.ends import Ends
from regioncap.jobs.janitor import Janitor
from regioncap.services.broker import connect
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings, worker_settings
from workers import logs
from workers.exporter import Exporter
from workers.health import Health


def main() -> None:
    """Makes rounds until the process is told to stop."""
    logs.configure()
    settings = worker_settings()
    client = connect(settings)
    store = Store(settings)
    janitor = Janitor(
        store,
        client,
        Sender(client, settings),
        settings.visibility_timeout_s,
        ends=Ends(store, client, settings),
    )
    _serve_health(settings, janitor)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: janitor.stop())
    janitor.run()


def _serve_health(settings: Settings, janitor: Janitor) -> None:
    if settings.metrics_port is None:
        return
    exporter, health = Exporter("janitor"), Health()
    metrics.install(exporter.add)
    health.require("rounds", janitor.check)
    health.ready()
    exporter.serve(settings.metrics_host, settings.metrics_port, health)


if __name__ == "__main__":
    main()
