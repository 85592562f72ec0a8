"""Peak memory of this process over a stretch of work."""

from threading import Event, Thread
from types import TracebackType

import psutil

INTERVAL_S = 0.01


class PeakMemory:
    """Samples the resident set of this process a hundred times a second; ``peak_bytes`` afterwards.

    Unlike the peak that the system keeps, it forgets what came before the ``with`` block.
    """

    def __enter__(self) -> "PeakMemory":
        self._process, self._stop = psutil.Process(), Event()
        self.start_bytes = self.peak_bytes = self._process.memory_info().rss
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _sample(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self._sample()
