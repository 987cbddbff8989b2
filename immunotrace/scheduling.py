"""Snakemake's looks at the jobs that wait, one at a time.

Snakemake 9, with a limit of jobs per time span (and it always has one), ends every look by ordering another after
that span, and looks after every finished job as well: each of those begins a chain of looks of its own. After 200
jobs it looks 200 times a second at the sizes of all inputs of all jobs that wait, which costs half a core.
"""

import threading
import time
from collections.abc import Callable


def one_at_a_time(order_look: Callable) -> Callable:
    """In place of `order_look`, a method of Snakemake's scheduler: orders a look only if none comes as soon.

    The timer does not keep the process from ending.
    """

    def order(scheduler, delay: float) -> None:
        now = time.monotonic()
        due = now + delay
        # A timer may be a little early: one that has just ended must not count as still to come.
        if now + 0.01 < getattr(scheduler, "next_look", 0.0) <= due:
            return
        scheduler.next_look = due
        timer = threading.Timer(delay, scheduler._open_jobs.release)
        timer.daemon = True
        timer.start()

    order.__wrapped__ = order_look
    return order


def look_once_at_a_time() -> None:
    """Let Snakemake in this process have one look at waiting jobs ordered at any time."""
    from snakemake.scheduling.job_scheduler import JobScheduler

    method = JobScheduler._schedule_reevalutation
    if not hasattr(method, "__wrapped__"):
        JobScheduler._schedule_reevalutation = one_at_a_time(method)
