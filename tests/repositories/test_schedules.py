"""Promises of schedules: at which moments jobs are added, once each, in whichever process."""

import asyncio
import os
import random
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import reelbase
from reelbase import Database, DatabaseError, InvalidArgumentError, MissedSlots, ScheduleRepository
from reelbase.repositories.schedules import Turn
from reelbase.testing.clock import START, FrozenClock

BERLIN, LORD_HOWE, APIA = "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"


@pytest.fixture
async def schedules(database: Database) -> ScheduleRepository:
    """Those of a database that knows the profile anna."""
    await database.profiles.ensure("anna")
    return database.schedules


async def slots_of(database: Database) -> list[str]:
    """The slots of all jobs that were added, in their order."""
    jobs = await database.fetch_all(str, "SELECT run_after FROM jobs ORDER BY id")
    return [slot.removesuffix(":00.000Z") for slot in jobs]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def run_until(
    schedules: ScheduleRepository, clock: FrozenClock, end: str, **step: float
) -> None:
    """Has jobs added from now until then, as a worker does."""
    while clock.now < moment(end):
        clock.advance(**step or {"minutes": 5})
        await schedules.add_due()


# Slots


@pytest.mark.parametrize(
    ("cron", "zone", "begin", "slots"),
    [
        ("0 3 * * *", "UTC", "2026-01-31T12:00", ["2026-02-01T03:00", "2026-02-02T03:00"]),
        ("@monthly", "UTC", "2026-01-31T12:00", ["2026-02-01T00:00", "2026-03-01T00:00"]),
        ("0 9 * * MON-FRI", BERLIN, "2026-01-30T12:00", ["2026-02-02T08:00", "2026-02-03T08:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        # Either day counts where both fields name some, as in every cron.
        ("0 0 13 * 5", "UTC", "2026-02-07T00:00", ["2026-02-13T00:00", "2026-02-20T00:00"]),
        # The clock goes from 2:00 to 3:00.
        ("30 2 * * *", BERLIN, "2026-03-28T02:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("*/20 2 * * *", BERLIN, "2026-03-28T02:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("0 2,3 * * *", BERLIN, "2026-03-28T02:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("0 * * * *", BERLIN, "2026-03-28T23:30", ["2026-03-29T00:00", "2026-03-29T01:00"]),
        ("30 * * * *", BERLIN, "2026-03-29T00:00", ["2026-03-29T00:30", "2026-03-29T01:30"]),
        ("30 * 29 3 *", BERLIN, "2026-03-29T00:00", ["2026-03-29T00:30", "2026-03-29T01:30"]),
        # It goes from 3:00 back to 2:00.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25T00:45", ["2026-10-26T01:30", "2026-10-27T01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25T01:15", ["2026-10-26T01:30", "2026-10-27T01:30"]),
        ("30 * * * *", BERLIN, "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-25T01:30"]),
        ("0 3 * * *", BERLIN, "2026-10-24T12:00", ["2026-10-25T02:00", "2026-10-26T02:00"]),
        # By half an hour, and by a day.
        ("15 * * * *", LORD_HOWE, "2026-04-04T14:00", ["2026-04-04T14:15", "2026-04-04T15:45"]),
        ("45 * * * *", LORD_HOWE, "2026-04-04T14:00", ["2026-04-04T14:45", "2026-04-04T15:15"]),
        ("0 12 * * *", APIA, "2011-12-29T00:00", ["2011-12-29T22:00", "2011-12-30T10:00"]),
        # The offset has changed since, and the month is far away.
        ("0 * 1 7 *", BERLIN, "2026-01-01T00:00", ["2026-06-30T22:00", "2026-06-30T23:00"]),
    ],
)
async def test_a_slot_is_the_moment_that_the_clock_of_the_zone_shows(
    schedules: ScheduleRepository,
    clock: FrozenClock,
    cron: str,
    zone: str,
    begin: str,
    slots: list[str],
) -> None:
    clock.now = moment(begin)
    schedule = await schedules.set("s", cron, "t", {}, profile_id="anna", time_zone=zone)
    found = [schedule.next_at]
    clock.now = schedule.next_at
    await schedules.add_due()
    found.append((await schedules.get("s")).next_at)
    assert found == [moment(slot) for slot in slots]


@pytest.mark.long
@pytest.mark.parametrize(
    ("cron", "hours"),
    [("0 * * * *", 25), ("0 0-23 * * *", 25), ("0 1-23 * * *", 23), ("0 2 * * *", 1)],
)
async def test_the_night_of_twenty_five_hours_has_each_slot_once(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock, cron: str, hours: int
) -> None:
    clock.now = moment("2026-10-24T21:59")
    await schedules.set("s", cron, "t", {}, profile_id="anna", time_zone=BERLIN, missed="all")
    await run_until(schedules, clock, "2026-10-25T22:59", minutes=1)
    slots = await slots_of(database)
    assert len(slots) == len(set(slots)) == hours


@pytest.mark.long
@pytest.mark.parametrize(
    ("cron", "hours"),
    [("0 * * * *", 23), ("0 0-23 * * *", 23), ("0 1-23 * * *", 22), ("0 2 * * *", 1)],
)
async def test_the_night_of_twenty_three_hours_has_each_slot_once(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock, cron: str, hours: int
) -> None:
    clock.now = moment("2026-03-28T22:59")
    await schedules.set("s", cron, "t", {}, profile_id="anna", time_zone=BERLIN, missed="all")
    await run_until(schedules, clock, "2026-03-29T21:59", minutes=1)
    slots = await slots_of(database)
    assert len(slots) == len(set(slots)) == hours


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "*/0 * * * *",
        "0 0 30 2 *",
        "@reboot",
        "R * * * *",
        "0 h(1-3) * * *",
        "0 3 * * * extra words",
        "x" * 1000,
    ],
)
async def test_what_is_no_cron_expression_is_refused(
    schedules: ScheduleRepository, cron: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await schedules.set("s", cron, "t", {}, profile_id="anna")
    assert caught.value.parameter == "cron"
    assert await schedules.list() == []


@pytest.mark.parametrize("zone", ["", "Berlin", "..", "/etc/passwd", "a\0b", "Europe", "x" * 9999])
async def test_what_is_no_time_zone_is_refused(schedules: ScheduleRepository, zone: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await schedules.set("s", "@daily", "t", {}, profile_id="anna", time_zone=zone)
    assert caught.value.parameter == "time_zone"
    assert await schedules.list() == []


# Jobs


async def test_a_job_is_added_at_each_slot_with_what_the_schedule_says(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    await schedules.set(
        "s", "0 * * * *", "t", {"n": 1}, profile_id="anna", priority=3, max_attempts=4
    )
    assert await schedules.due_in() == 3600
    assert await schedules.add_due() == []
    clock.advance(hours=1)
    assert await schedules.due_in() == 0
    (job,) = await schedules.add_due()
    assert (job.profile_id, job.type, job.params) == ("anna", "t", {"n": 1})
    assert (job.priority, job.max_attempts, job.run_after) == (3, 4, clock.now)
    assert await schedules.add_due() == []
    assert (await schedules.get("s")).last_at == clock.now
    claimed = await database.jobs.claim("w")
    assert claimed is not None
    assert claimed.id == job.id


MISSED: dict[MissedSlots, list[str]] = {
    "once": ["2026-01-31T13:00", "2026-01-31T17:00"],
    "skip": ["2026-01-31T17:00"],
    "all": [f"2026-01-31T{hour}:00" for hour in range(13, 18)],
}


@pytest.mark.parametrize("missed", MISSED)
async def test_slots_that_came_while_no_worker_ran_are_as_was_said(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock, missed: MissedSlots
) -> None:
    await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna", missed=missed)
    clock.advance(hours=4, minutes=30)
    await schedules.add_due()
    assert (await schedules.get("s")).next_at == START + timedelta(hours=5)
    clock.advance(minutes=30)
    await schedules.add_due()
    assert await slots_of(database) == MISSED[missed]


async def test_a_slot_of_less_than_a_minute_ago_is_not_skipped(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    await schedules.set("s", "* * * * *", "t", {}, profile_id="anna", missed="skip")
    clock.advance(minutes=5, seconds=59)
    await schedules.add_due()
    assert await slots_of(database) == ["2026-01-31T12:05"]
    clock.advance(seconds=60)
    await schedules.add_due()
    assert await slots_of(database) == ["2026-01-31T12:05", "2026-01-31T12:06"]


async def test_more_missed_slots_than_a_transaction_takes_all_have_a_job(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    await schedules.set("s", "* * * * *", "t", {}, profile_id="anna", missed="all")
    clock.advance(minutes=250)
    assert len(await schedules.add_due()) == 250
    assert len(set(await slots_of(database))) == 250


async def test_a_schedule_that_is_set_again_keeps_a_slot_that_is_due(
    schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    first = await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna")
    clock.advance(hours=2)  # the application did not run
    again = await schedules.set("s", "0 * * * *", "u", {"n": 2}, profile_id="anna")
    assert (again.next_at, again.created_at) == (first.next_at, first.created_at)
    (job,) = await schedules.add_due()
    assert (job.type, job.params) == ("u", {"n": 2})


@pytest.mark.parametrize(("cron", "zone"), [("30 * * * *", "UTC"), ("0 * * * *", "Asia/Kolkata")])
async def test_a_schedule_with_other_times_begins_with_the_next_of_them(
    schedules: ScheduleRepository, clock: FrozenClock, cron: str, zone: str
) -> None:
    await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna")
    clock.advance(hours=2)
    schedule = await schedules.set("s", cron, "t", {}, profile_id="anna", time_zone=zone)
    assert schedule.next_at == clock.now + timedelta(minutes=30)
    assert await schedules.add_due() == []


async def test_a_slot_that_a_wrong_clock_has_put_far_away_is_mended_by_set(
    schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    clock.advance(days=9_000)
    await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna")
    clock.now = START
    schedule = await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna")
    assert schedule.next_at == START + timedelta(hours=1)


# Pauses, and the list


async def test_a_paused_schedule_adds_nothing_and_a_resumed_one_not_what_came_meanwhile(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna", missed="all")
    assert not await schedules.resume("s")
    assert await schedules.pause("s")
    assert not await schedules.pause("s")
    assert await schedules.due_in() is None
    clock.advance(hours=3)
    assert await schedules.add_due() == []
    paused = await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna", missed="all")
    assert paused.paused_at == START
    assert await schedules.resume("s")
    assert await schedules.due_in() == 3600
    clock.advance(hours=1)
    await schedules.add_due()
    assert await slots_of(database) == ["2026-01-31T16:00"]


async def test_a_schedule_that_is_not_there_is_an_error(schedules: ScheduleRepository) -> None:
    assert await schedules.find("s") is None
    for call in (schedules.get, schedules.pause, schedules.resume, schedules.delete):
        with pytest.raises(reelbase.RecordNotFoundError):
            await call("s")
    assert not await schedules.delete("s", missing_ok=True)


async def test_schedules_are_listed_by_name_of_one_profile_or_of_all(
    database: Database, schedules: ScheduleRepository
) -> None:
    assert await schedules.due_in() is None
    await database.profiles.ensure("ben")
    for name, owner in (("b", "anna"), ("a", "anna"), ("c", "ben")):
        await schedules.set(name, "@daily", "t", {}, profile_id=owner)
    assert [schedule.name for schedule in await schedules.list()] == ["a", "b", "c"]
    assert [schedule.name for schedule in await schedules.list("anna")] == ["a", "b"]
    assert [schedule.name for schedule in await schedules.list(limit=1, offset=1)] == ["b"]
    assert await schedules.delete("b")
    await database.profiles.delete("anna")
    assert [schedule.name for schedule in await schedules.list()] == ["c"]


# Trouble


async def test_a_schedule_whose_zone_is_not_known_here_does_not_keep_others_from_their_jobs(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    for name in "abc":
        await schedules.set(name, "0 * * * *", "t", {"name": name}, profile_id="anna")
    await database.execute("UPDATE job_schedules SET time_zone = 'Moon/Base' WHERE name = 'a'")
    clock.advance(hours=1)
    with pytest.raises(DatabaseError, match=r"'a'.*Moon/Base") as caught:
        await schedules.add_due()
    assert caught.value.code == "schedule"
    assert [job.params["name"] for job in await database.jobs.list_unfinished()] == ["b", "c"]
    await schedules.pause("a")
    with pytest.raises(DatabaseError, match="Moon/Base"):
        await schedules.resume("a")


async def test_without_the_extra_the_error_says_what_to_install(
    schedules: ScheduleRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "croniter", None)
    with pytest.raises(DatabaseError, match=r"pip install \"reelbase\[schedules\]\"") as caught:
        await schedules.set("s", "@daily", "t", {}, profile_id="anna")
    assert caught.value.code == "not_installed"


async def test_a_unit_that_is_rolled_back_leaves_the_slot_due(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna")
    clock.advance(hours=1)
    async with database.transaction() as unit:
        assert len(await unit.schedules.add_due()) == 1
        await unit.rollback()
    assert len(await schedules.add_due()) == 1


async def test_a_schedule_that_is_changed_while_its_jobs_are_added_goes_by_its_new_times(
    database: Database, schedules: ScheduleRepository, clock: FrozenClock
) -> None:
    old = await schedules.set("s", "0 * * * *", "t", {}, profile_id="anna", missed="all")
    clock.advance(hours=1)
    turn = Turn(old.next_at, old.next_at, clock.now + timedelta(hours=1))
    await database.execute("UPDATE job_schedules SET cron = '30 * * * *'")
    _, added = await schedules._batch(*schedules._steps_of(old, turn, clock.now))
    assert added is None
    assert (await schedules.get("s")).last_at is None


# Processes

LOOK = textwrap.dedent(
    """
    import asyncio, sys, time
    from datetime import UTC, datetime, timedelta
    import reelbase
    from reelbase.repositories.schedules import ScheduleRepository

    path, journal, begin, mutant = sys.argv[1:]
    START = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def clock():  # a minute in 50 ms
        return START + timedelta(milliseconds=int((time.time() - float(begin)) * 1_200_000))

    if mutant == "adds what is no longer due":
        move_on = ScheduleRepository._move_on
        sql = move_on.sql.replace("next_at = :due", "(next_at = :due OR TRUE)")
        params = {"following": datetime, "due": datetime, "slot": datetime | None}
        ScheduleRepository._move_on = reelbase.Command(reelbase.Schedule, sql, params=params)
    elif mutant == "moves on and adds in two transactions":
        async def batch(self, *steps):
            results = []
            for number, step in enumerate(steps):
                if number % 2:  # between the two, where most of the time passes, so that a kill meets it
                    await asyncio.sleep(0.2)
                results.append(await self._run(step))
            return results
        ScheduleRepository._batch = batch

    async def main():
        async with reelbase.connect(path, journal=journal, clock=clock, busy_timeout=60) as database:
            print("ready", flush=True)
            while True:
                await database.schedules.add_due()
                await asyncio.sleep(0.02)

    asyncio.run(main())
    """
)


async def wrong_slots(path: Path, journal: str, mutant: str = "") -> tuple[int, list[str]]:
    """Has eight processes add jobs, and kills some of them: the number of slots that came, and what is wrong
    then with the slots of the jobs."""
    source = str(Path(reelbase.__file__).parents[1])
    begin = str(time.time())

    async def start() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-c", LOOK, str(path), journal, begin, mutant),
            env=os.environ | {"PYTHONPATH": source},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return process

    async def kill(process: asyncio.subprocess.Process) -> None:
        process.kill()
        await process.communicate()

    processes = list(await asyncio.gather(*(start() for _ in range(8))))
    choose = random.Random(1)
    for _ in range(4):
        await asyncio.sleep(0.2 + choose.random() * 0.1)
        place = choose.randrange(8)
        await kill(processes[place])
        processes[place] = await start()
    await asyncio.gather(*(kill(process) for process in processes))
    async with reelbase.connect(path) as database:
        found = await slots_of(database)
        last = (await database.schedules.get("s")).last_at
    assert last is not None
    minutes = int((last - START) / timedelta(minutes=1))
    right = [f"{START + timedelta(minutes=n + 1):%Y-%m-%dT%H:%M}" for n in range(minutes)]
    twice = [f"{slot} twice" for slot in set(found) if found.count(slot) > 1]
    return minutes, twice + [f"{slot} not" for slot in right if slot not in found]


@pytest.mark.long
async def test_each_slot_has_one_job_while_eight_processes_look_and_some_are_killed(
    database: Database, schedules: ScheduleRepository, path: Path, journal: str
) -> None:
    await schedules.set("s", "* * * * *", "t", {}, profile_id="anna", missed="all")
    minutes, wrong = await wrong_slots(path, journal)
    assert minutes > 10
    assert wrong == []


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant", ["adds what is no longer due", "moves on and adds in two transactions"]
)
async def test_the_processes_find_a_repository_that(
    mutant: str, database: Database, schedules: ScheduleRepository, path: Path, journal: str
) -> None:
    await schedules.set("s", "* * * * *", "t", {}, profile_id="anna", missed="all")
    _, wrong = await wrong_slots(path, journal, mutant)
    assert wrong != []
