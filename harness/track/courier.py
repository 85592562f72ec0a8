"""The courier: a background thread that delivers the outbox, and retries while the tracker does not answer.

One courier at a time delivers an outbox, for all processes that write to it; the others wait.
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

INTERVAL_S = 2.0
FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0
HURRIED_S = 0.5
LAST_CHANCE_S = 10.0
POLL_S = 0.1


@dataclass(frozen=True)
class Delivery:
    """The result of a delivery."""

    undelivered: int
    """Runs and tables with anything left in the outbox."""
    reason: str = ""
    """Why it is left."""

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
        journal: This process's own journal; once it is gone, another courier has delivered it.
    """

    def __init__(self, uri: str, outbox: Outbox, journal: Path) -> None:
        self._uri, self._outbox, self._journal = uri, outbox, journal
        self._news, self._last_round, self._abandoned = threading.Event(), threading.Event(), threading.Event()
        self._hurry = threading.Event()
        self._reason = "time was up"
        self._waits_for_other, self._delivered = False, False
        self._failing_since: float | None = None
        """When the tracker stopped answering; None while it answers, as far as is known."""
        self._asked = self._answered = 0
        self._progressed_at = 0.0
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Signals that there is something new."""
        self._news.set()

    def flush(self, patience_s: float) -> Delivery:
        """Waits until everything so far is delivered, or until ``patience_s`` pass without progress."""
        started = time.monotonic()
        self._asked += 1
        self._hurry.set()
        self._news.set()
        while not (done := self._flushed()) and time.monotonic() < self._deadline(
            max(started, self._progressed_at), patience_s
        ):
            time.sleep(POLL_S)
        self._hurry.clear()
        return Delivery(0) if done else Delivery(max(1, self._outbox.ended_in(self._journal)), self._reason)

    def finish(self, patience_s: float) -> Delivery:
        """Waits at most ``patience_s`` until everything is delivered; call after the last operation."""
        started = time.monotonic()
        self._last_round.set()
        self._hurry.set()
        self._news.set()
        while self._thread.is_alive() and time.monotonic() < self._deadline(started, patience_s):
            self._thread.join(POLL_S)
        self._abandoned.set()
        return Delivery(0) if self._delivered else Delivery(self._outbox.undelivered(), self._reason)

    def _progressed(self) -> None:
        self._progressed_at = time.monotonic()

    def _flushed(self) -> bool:
        """Whether a round that began after the last request succeeded, here or in the process that delivers."""
        return self._answered == self._asked or (self._waits_for_other and not self._outbox.ended_in(self._journal))

    def _deadline(self, started: float, patience_s: float) -> float:
        """Returns when to stop waiting: sooner for a tracker that does not answer."""
        failing_since = self._failing_since
        if failing_since is None:
            return started + patience_s
        return min(started + patience_s, max(started, failing_since) + LAST_CHANCE_S)

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
                        self._waits_for_other = False
                    if not reached:  # fails in seconds where MLflow's client takes a minute
                        reach(self._uri)
                    deliverer.pump()
                except Timeout:
                    self._reason, pause_s, self._waits_for_other = "another process is delivering", INTERVAL_S, True
                    self._delivered = last_round and not self._journal.exists()
                except (TrackerUnreachableError, TrackerError, OSError) as error:
                    self._reason, reached = scrubbed(str(error), self._uri), False
                    if self._failing_since is None:
                        message = f"the tracker {without_password(self._uri)} accepts no results now: {self._reason}"
                        message = self._reason if isinstance(error, TrackerError) else message
                        logger.warning("%s; until then results wait in the store", message)
                        self._failing_since = time.monotonic()
                    pause_s = min(max(2 * pause_s, FIRST_BACKOFF_S), _LONGEST_BACKOFF_S)
                else:
                    if self._failing_since is not None:
                        logger.warning("the tracker %s accepts results again", without_password(self._uri))
                    self._delivered, pause_s, self._failing_since, reached = last_round, 0.0, None, True
                    self._answered = asked
        finally:
            lock.release()

    def _wait(self, pause_s: float) -> None:
        """Waits for news, or until spools may have grown. After a failure, news is no reason to try again."""
        if self._hurry.is_set():
            time.sleep(min(pause_s, HURRIED_S))
        elif pause_s:
            self._hurry.wait(pause_s)
        else:
            self._news.wait(INTERVAL_S)
            self._news.clear()
