"""Snakemake's looks at waiting jobs: one ordered at a time, and none lost."""

import threading
import time

from snakemake.scheduling.job_scheduler import JobScheduler

from immunotrace.scheduling import look_once_at_a_time, one_at_a_time


class Scheduler:
    def __init__(self):
        self._open_jobs = threading.Semaphore(0)


def looks(scheduler: Scheduler, wait: float) -> int:
    time.sleep(wait)
    return scheduler._open_jobs._value


def test_many_orders_are_one_look():
    order, scheduler = one_at_a_time(None), Scheduler()
    for _ in range(200):
        order(scheduler, 0.2)
    assert looks(scheduler, 0.0) == 0
    assert looks(scheduler, 1.0) == 1


def test_a_look_that_is_over_lets_the_next_be_ordered_and_a_sooner_one_is_not_held_up():
    order, scheduler = one_at_a_time(None), Scheduler()
    order(scheduler, 0.05)
    assert looks(scheduler, 0.5) == 1
    order(scheduler, 60)
    order(scheduler, 0.05)
    assert looks(scheduler, 0.5) == 2


def test_the_method_that_is_replaced_is_there():
    original = getattr(
        JobScheduler._schedule_reevalutation, "__wrapped__", JobScheduler._schedule_reevalutation
    )
    assert original.__code__.co_varnames[:2] == ("self", "delay")
    try:
        look_once_at_a_time()
        look_once_at_a_time()
        assert JobScheduler._schedule_reevalutation.__wrapped__ is original
    finally:
        JobScheduler._schedule_reevalutation = original
