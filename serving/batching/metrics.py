"""What /metrics tells of batches and of waiting."""

from collections.abc import Sequence


class BatchMetrics:
    """A :class:`serving.batching.limits.Watch` that counts batches, waiting and refusals."""

    def __init__(self) -> None:
        # not before: the place where workers put their figures is known when BentoML has started
        import prometheus_client as metrics

        self._items = metrics.Histogram(
            "feedback_batch_items", "Items computed together", buckets=(1, 2, 4, 8, 16, 32, 64)
        )
        self._waits = metrics.Histogram(
            "feedback_wait_seconds",
            "Seconds for which a request waited for its turn",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
        )
        self._queue = metrics.Gauge("feedback_queue_items", "Items that wait", multiprocess_mode="livesum")
        self._refused = metrics.Counter("feedback_refused_requests", "Requests refused with 429, since too much waited")
        self._passed_over = metrics.Counter(
            "feedback_passed_over_requests", "Requests not computed, since nobody waited for them any more"
        )

    def computed(self, items: int, waits: Sequence[float], left: int) -> None:
        """A batch; see the protocol."""
        self._items.observe(items)
        for seconds in waits:
            self._waits.observe(seconds)
        self._queue.set(left)

    def refused(self) -> None:
        """A request was refused."""
        self._refused.inc()

    def passed_over(self) -> None:
        """A request was not computed."""
        self._passed_over.inc()
