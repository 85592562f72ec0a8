"""The courier: the background thread that empties the outbox while it can, and waits while it cannot.

One courier at a time works on an outbox, and it works for all processes that write to it; the others stand by.
"""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from harness.track.address import TrackerError, scrubbed, without_password
from harness.track.outbox import Outbox
from harness.track.probe import reach

logger = logging.getLogger(__name__)

_INTERVAL_S = 2.0
_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0
_HURRIED_S = 0.5
_LAST_CHANCE_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Delivery:
    """What became of what was said."""

    undelivered: int
    """Runs and tables of which something waits in the outbox."""
    reason: str = ""
    """Why it waits."""

    def __str__(self) -> str:
        if not self.undelivered:
            return "the tracker has everything"
        what = "1 run waits" if self.undelivered == 1 else f"{self.undelivered} runs wait"
        return f"results of {what} for the tracker ({self.reason}); `harness sync` or the next run delivers them, once"


class Courier:
    """Delivers an outbox in the background until ``finish``.

    Args:
        uri: The tracker's resolved address.
        outbox: What to deliver.
        journal: This process's own journal; its disappearance is the sign that another courier delivered it.
    """

    def __init__(self, uri: str, outbox: Outbox, journal: Path) -> None:
        self._uri, self._outbox, self._journal = uri, outbox, journal
        self._news, self._last_round, self._abandoned = threading.Event(), threading.Event(), threading.Event()
        self._hurry = threading.Event()
        self._reason = "time was up"
        self._stands_by, self._delivered = False, False
        self._failing_since: float | None = None
        """When the tracker began not to answer; None: it answers, as far as is known."""
        self._asked = self._answered = 0
        self._progressed_at = 0.0
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Says that there is something new."""
        self._news.set()

    def flush(self, patience_s: float) -> Delivery:
        """Waits until all that was said is delivered, or nothing is for ``patience_s``; more may be said afterwards."""
        started = time.monotonic()
        self._asked += 1
        self._hurry.set()
        self._news.set()
        while not (done := self._flushed()) and time.monotonic() < self._deadline(
            max(started, self._progressed_at), patience_s
        ):
            time.sleep(_POLL_S)
        self._hurry.clear()
        return Delivery(0) if done else Delivery(max(1, self._outbox.ended_in(self._journal)), self._reason)

    def finish(self, patience_s: float) -> Delivery:
        """Waits, at most ``patience_s``, until everything that was said is delivered; call after the last word."""
        started = time.monotonic()
        self._last_round.set()
        self._hurry.set()
        self._news.set()
        while self._thread.is_alive() and time.monotonic() < self._deadline(started, patience_s):
            self._thread.join(_POLL_S)
        self._abandoned.set()
        return Delivery(0) if self._delivered else Delivery(self._outbox.undelivered(), self._reason)

    def _progressed(self) -> None:
        self._progressed_at = time.monotonic()

    def _flushed(self) -> bool:
        """Whether a round that began after the last request went well, here or in the process that delivers."""
        return self._answered == self._asked or (self._stands_by and not self._outbox.ended_in(self._journal))

    def _deadline(self, started: float, patience_s: float) -> float:
        """Sooner for a tracker that does not answer: whoever waits at the end of a run gains nothing by it."""
        failing_since = self._failing_since
        if failing_since is None:
            return started + patience_s
        return min(started + patience_s, max(started, failing_since) + _LAST_CHANCE_S)

    def _work(self) -> None:
        from filelock import FileLock, Timeout

        from harness.track.delivery import Deliverer, TrackerUnreachableError

        lock, deliverer = FileLock(self._outbox.lock), Deliverer(self._uri, self._outbox, self._progressed)
        pause_s, reached = 0.0, False
        try:
            while not self._delivered and not self._abandoned.is_set():
                self._wait(pause_s)
                last_round, asked = self._last_round.is_set(), self._asked
                try:
                    if not lock.is_locked:
                        lock.acquire(timeout=0)
                        self._stands_by = False
                    if not reached:  # what does not answer is found out in seconds, MLflow's client takes a minute
                        reach(self._uri)
                    deliverer.pump()
                except Timeout:
                    self._reason, pause_s, self._stands_by = "another process is delivering", _INTERVAL_S, True
                    self._delivered = last_round and not self._journal.exists()
                except (TrackerUnreachableError, TrackerError, OSError) as error:
                    self._reason, reached = scrubbed(str(error), self._uri), False
                    if self._failing_since is None:
                        told = f"the tracker {without_password(self._uri)} cannot be told now: {self._reason}"
                        told = self._reason if isinstance(error, TrackerError) else told
                        logger.warning("%s; until then results wait in the store", told)
                        self._failing_since = time.monotonic()
                    pause_s = min(max(2 * pause_s, _FIRST_BACKOFF_S), _LONGEST_BACKOFF_S)
                else:
                    if self._failing_since is not None:
                        logger.warning("the tracker %s can be told again", without_password(self._uri))
                    self._delivered, pause_s, self._failing_since, reached = last_round, 0.0, None, True
                    self._answered = asked
        finally:
            lock.release()

    def _wait(self, pause_s: float) -> None:
        """Until there is news, or spools may have grown. While nothing can be delivered, news is no reason to try."""
        if self._hurry.is_set():
            time.sleep(min(pause_s, _HURRIED_S))
        elif pause_s:
            self._hurry.wait(pause_s)
        else:
            self._news.wait(_INTERVAL_S)
            self._news.clear()
