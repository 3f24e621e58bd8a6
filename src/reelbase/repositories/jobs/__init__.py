"""Jobs: a queue with priorities, leases and retries, batches that follow their children, and a history."""

from __future__ import annotations

from reelbase.repositories.jobs.changing import JobChanging
from reelbase.repositories.jobs.claiming import JobClaiming
from reelbase.repositories.jobs.finishing import JobFinishing
from reelbase.repositories.jobs.records import Job, JobStatus, JobStatusLike, RecoveryReport
from reelbase.repositories.jobs.submitting import JobSubmitting
from reelbase.repositories.jobs.upkeep import JobUpkeep


class JobRepository(JobSubmitting, JobClaiming, JobFinishing, JobChanging, JobUpkeep):
    """Everything that can be done with jobs; the modules beside this one hold it by behaviour."""


__all__ = ["Job", "JobRepository", "JobStatus", "JobStatusLike", "RecoveryReport"]
