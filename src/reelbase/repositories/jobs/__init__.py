"""Jobs: a queue with priorities, leases and retries, batches that follow their children, and a history."""

from __future__ import annotations

from reelbase.repositories.jobs.claiming import JobClaiming
from reelbase.repositories.jobs.lifecycle import JobLifecycle
from reelbase.repositories.jobs.records import Job, JobStatus, RecoveryReport
from reelbase.repositories.jobs.submitting import JobSubmitting


class JobRepository(JobSubmitting, JobClaiming, JobLifecycle):
    """Everything that can be done with jobs; the modules beside this one hold it by behaviour."""


__all__ = ["Job", "JobRepository", "JobStatus", "RecoveryReport"]
