"""The machine's load during a training, measured by MLflow's own monitor."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from headway.run.directory import RunDirectory
from headway.tracking.addresses import uri_of
from headway.tracking.record import read_tracking
from headway.tracking.store import client_of, problems

SAMPLING_SECONDS = 5.0


@contextlib.contextmanager
def system_metrics(run: RunDirectory) -> Iterator[None]:
    """Sample CPU, memory, disk, network and GPU during the block. Does nothing where MLflow does not answer."""
    tracking = read_tracking(run)
    if tracking is None or tracking.run_id is None:
        yield
        return
    uri = uri_of(str(tracking.uri), run.root)
    client_of(uri)
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
    monitor = SystemMetricsMonitor(
        tracking.run_id, sampling_interval=SAMPLING_SECONDS, resume_logging=True, tracking_uri=uri
    )
    monitor.start()
    try:
        yield
    finally:
        with contextlib.suppress(*problems()):
            monitor.finish()
            monitor.collect_metrics()  # the last sample; for a run shorter than one interval the only one
            monitor.publish_metrics(monitor.aggregate_metrics())
            monitor.mlflow_logger.flush()
