"""The courier: a background thread that delivers the outbox, and retries while the tracker does not answer.

One courier at a time delivers an outbox, for all processes that write to it; the others wait.
"""

import logging
import threading
import time
from dataclasses import dataclass

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
    """

    def __init__(self, uri: str, outbox: Outbox) -> None:
        self._uri, self._outbox = uri, outbox
        self._news, self._hurry, self._abandoned = threading.Event(), threading.Event(), threading.Event()
        self._reason = "time was up"
        self._failing_since: float | None = None
        """When the tracker stopped answering; None while it answers, as far as is known."""
        self._asked = self._answered = 0
        """Requests for a round that delivers everything, and how many such rounds succeeded."""
        self._last_round = False
        self._progressed_at = 0.0
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Signals that there is something new."""
        self._news.set()

    def flush(self, patience_s: float) -> Delivery:
        """Waits until everything so far is delivered, or until ``patience_s`` pass without progress."""
        done = self._ask(patience_s, extended=True)
        self._hurry.clear()
        return Delivery(0) if done else Delivery(max(1, self._outbox.waiting_here()), self._reason)

    def finish(self, patience_s: float) -> Delivery:
        """Waits at most ``patience_s`` until everything is delivered; call after the last run has ended."""
        self._last_round = True
        done = self._ask(patience_s, extended=False)
        self._abandoned.set()
        if done:
            self._thread.join(LAST_CHANCE_S)  # then the outbox is free for another courier
        return Delivery(0) if done else Delivery(self._outbox.undelivered(), self._reason)

    def _ask(self, patience_s: float, *, extended: bool) -> bool:
        """Asks for a round, and returns whether it succeeded in time: sooner for a tracker that does not answer."""
        started = time.monotonic()
        self._asked += 1
        self._hurry.set()
        self._news.set()
        while self._answered != self._asked:
            since = max(started, self._progressed_at) if extended else started
            failing_since, deadline = self._failing_since, since + patience_s
            if failing_since is not None:
                deadline = min(deadline, max(since, failing_since) + LAST_CHANCE_S)
            if time.monotonic() >= deadline:
                return False
            self._thread.join(POLL_S)
        return True

    def _progressed(self) -> None:
        self._progressed_at = time.monotonic()

    def _work(self) -> None:
        from filelock import FileLock, Timeout

        from harness.track.delivery import Deliverer, TrackerUnreachableError

        lock, deliverer = FileLock(self._outbox.lock), Deliverer(self._uri, self._outbox, self._progressed)
        pause_s, reached, last_round = 0.0, False, False
        try:
            while not (last_round and self._answered == self._asked) and not self._abandoned.is_set():
                self._wait(pause_s)
                asked, last_round = self._asked, self._last_round
                try:
                    if not lock.is_locked:
                        lock.acquire(timeout=0)
                    if not reached:  # fails in seconds where MLflow's client takes a minute
                        reach(self._uri)
                    deliverer.pump()
                except Timeout:
                    self._reason, pause_s = "another process is delivering", INTERVAL_S
                    if not self._outbox.waiting_here():
                        self._answered = asked
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
                    pause_s, self._failing_since, reached, self._answered = 0.0, None, True, asked
        finally:
            lock.release()

    def _wait(self, pause_s: float) -> None:
        """Waits for news, or until spools may have grown. After a failure, news does not trigger another try."""
        if self._hurry.is_set():
            time.sleep(min(pause_s, HURRIED_S))
        elif pause_s:
            self._hurry.wait(pause_s)
        else:
            self._news.wait(INTERVAL_S)
            self._news.clear()
