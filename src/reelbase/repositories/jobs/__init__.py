"""Jobs: a queue with priorities, leases and retries, batches that follow their children, and a history.

The tables give the new state for each verb and each state of a job without children. run is
update(status="running"), later is fail(retry_in=). The state running has no lease; held is running under a
worker's lease, expired is held after the lease has run out, and spent is expired at the last attempt. A dash
means InvalidTransitionError; for claim and recover it means that they skip the job, for progress that it
returns False.

    state         run           claim         heartbeat     progress      succeed       fail
    queued        running       running       -             queued        succeeded     failed
    running       running       -             -             running       succeeded     failed
    held          running       -             running       running       succeeded     failed
    expired       running       running       running       running       succeeded     failed
    spent         running       failed        running       running       succeeded     failed
    succeeded     -             -             -             -             -             -
    failed        -             -             -             -             -             -
    cancelled     -             -             -             -             -             -

    state         later         release       cancel        retry         recover
    queued        queued        -             cancelled     -             -
    running       queued        -             cancelled     -             queued
    held          queued        queued        cancelled     -             -
    expired       queued        queued        cancelled     -             queued
    spent         failed        queued        cancelled     -             failed
    succeeded     -             -             succeeded     queued        -
    failed        -             -             failed        queued        -
    cancelled     -             -             cancelled     queued        -

snooze leads where release does. A claim skips queued jobs that wait for earlier jobs (add(after=)), jobs of a
paused type, and jobs of a type that has as many running, or lately claimed, as its limits allow. If a job
fails or is cancelled, so are the queued ones that wait for it. A job that is running without a lease and has
no attempt left fails at recover(), too.
"""

from __future__ import annotations

from reelbase.repositories.jobs.claims import JobClaims
from reelbase.repositories.jobs.completion import JobCompletion
from reelbase.repositories.jobs.control import JobControl
from reelbase.repositories.jobs.housekeeping import JobHousekeeping
from reelbase.repositories.jobs.limits import JobLimits
from reelbase.repositories.jobs.pages import JobPages
from reelbase.repositories.jobs.records import (
    Job,
    JobLogLine,
    JobQueue,
    JobStatus,
    JobStatusLike,
    JobStep,
    RecoveryReport,
)
from reelbase.repositories.jobs.runs import JobRuns
from reelbase.repositories.jobs.submission import JobSubmission


class JobRepository(
    JobSubmission,
    JobClaims,
    JobLimits,
    JobCompletion,
    JobControl,
    JobRuns,
    JobHousekeeping,
    JobPages,
):
    """The queue of jobs, table ``jobs``: added by the application, claimed and ended by workers.

    queued -> running -> succeeded, failed, cancelled; queued may be cancelled. A lease that expires, and
    retry(), lead back to queued. A batch (a job with children) follows its children.
    """


__all__ = [
    "Job",
    "JobLogLine",
    "JobQueue",
    "JobRepository",
    "JobStatus",
    "JobStatusLike",
    "JobStep",
    "RecoveryReport",
]
