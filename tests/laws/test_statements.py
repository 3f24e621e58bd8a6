"""What every statement of the package promises, and the three rules of the house."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from samples import empty_database

import reelbase
import reelbase.repositories
from reelbase import Command, Database, Query, Repository
from reelbase.engine.statements.row_types import fields_of, is_record
from reelbase.engine.statements.rows import decoder_for
from reelbase.engine.statements.statement import Statement
from reelbase.testing.statements import (
    bare,
    clock_in,
    columns_of,
    flat,
    has_the_columns_of_its_rows,
    is_of_its_kind,
    needs_its_parameters,
    nothing,
    plan,
    prepares,
    reads_no_clock,
    scanned,
)

PACKAGE = Path(reelbase.__file__).parent

for _module in pkgutil.walk_packages(reelbase.repositories.__path__, "reelbase.repositories."):
    importlib.import_module(_module.name)


def _repositories(base: type[Repository] = Repository) -> Iterator[type[Repository]]:
    for repository in base.__subclasses__():
        if repository.__module__.startswith("reelbase."):
            yield repository
        yield from _repositories(repository)


REPOSITORIES = sorted(set(_repositories()), key=lambda repository: repository.__qualname__)
STATEMENTS: dict[str, tuple[type[Repository], str, Query[Any]]] = {
    f"{repository.__name__}.{attribute}": (repository, attribute, statement)
    for repository in REPOSITORIES
    for attribute, statement in vars(repository).items()
    if isinstance(statement, Statement) and isinstance(statement, Query)
}

STATEMENTS_OF: dict[str, list[str]] = {}
for _statement in STATEMENTS:
    STATEMENTS_OF.setdefault(_statement.partition(".")[0], []).append(_statement)

# These may SCAN this table, and why.
MAY_SCAN = {
    ("ProfileRepository._count", "profiles"): "counting all is reading all, of some index",
    ("ProfileRepository._list", "profiles"): (
        "all of them, in the order of an index, and no further than the limit"
    ),
    ("JobQueries._list_unfinished", "jobs"): "a partial index that holds exactly what is listed",
    ("JobHousekeeping._count_queued", "jobs"): "a partial index that holds exactly what is counted",
    ("JobHousekeeping._fail_interrupted_parents", "jobs"): "a partial index of what is running",
    ("JobHousekeeping._fail_interrupted", "jobs"): "a partial index of what is running",
    ("JobHousekeeping._requeue_interrupted", "jobs"): "a partial index of what is running",
    ("DownloadQueries._count_active", "downloads"): "a partial index that holds what is counted",
}

MAY_SCAN["JobLimits._paused", "job_types"] = "a row for each type that is paused or limited"
MAY_SCAN["JobLimits._rates", "job_types"] = "a row for each type that is paused or limited"
MAY_SCAN["JobPages._queues", "jobs"] = "all queued jobs are counted"
MAY_SCAN["JobLimits._limits", "job_types"] = "a row for each type that is paused or limited"
for _name in ("_claim", "_claim_of_types"):
    MAY_SCAN[f"JobClaims.{_name}", "job_types"] = "a row for each type that is paused or limited"
    MAY_SCAN[f"JobClaims.{_name}", "running"] = "for each limit, an index of what is running"
MAY_SCAN["ScheduleRepository._list", "job_schedules"] = (
    "in the order of an index, no further than the limit"
)
MAY_SCAN["ScheduleRepository._next", "job_schedules"] = "the first of an index that has their order"
MAY_SCAN["JobClaims._claim", "wanted"] = "the types of which jobs are queued"
MAY_SCAN["JobClaims._claim", "jobs"] = "the queue by type, as far as the first of its first type"
for _name, _table in (
    ("FileQueries._list_all", "files"),
    ("JobQueries._list", "jobs"),
    ("JobQueries._list_active", "jobs"),
    ("DownloadQueries._list", "downloads"),
    ("DownloadQueries._list_active", "downloads"),
    ("ErrorLogRepository._list", "error_log"),
    ("SessionRepository._list", "sessions"),
    ("UnsupportedUrlRepository._list", "unsupported_urls"),
    ("ConfigRepository._entries", "config"),
    ("ProjectRepository._list", "projects"),
    ("ProjectRepository._list_with_stats", "projects"),
    ("VideoRepository._list", "videos"),
    ("VideoRepository._newest", "videos"),
    ("ErrorLogRepository._newest", "error_log"),
    ("UnsupportedUrlRepository._newest", "unsupported_urls"),
    ("ProjectClipRepository._list", "project_clips"),
    ("VideoLibraryRepository._list", "library_videos"),
    ("AuditRepository._list", "audit_log"),
    ("GenerationQueries._list", "generations"),
    ("PromptRepository._list", "prompts"),
):
    MAY_SCAN[_name, _table] = "all of them, in the order of an index, and no further than the limit"
for _name, _table in (
    ("DownloadQueries._counts_by_status", "downloads"),
    ("JobPages._counts_of_all", "jobs"),
    ("ErrorLogRepository._count", "error_log"),
    ("SessionRepository._count", "sessions"),
    ("UnsupportedUrlRepository._count", "unsupported_urls"),
    ("ProjectRepository._count", "projects"),
    ("VideoRepository._count", "videos"),
    ("ProjectClipRepository._count", "project_clips"),
    ("VideoLibraryRepository._count", "library_videos"),
    ("AuditRepository._count", "audit_log"),
    ("GenerationQueries._count", "generations"),
    ("GenerationQueries._stats", "generations"),
    ("GenerationQueries._stats", "prompts"),
    ("PromptRepository._count", "prompts"),
):
    MAY_SCAN[_name, _table] = "counting all is reading all, of some index"
MAY_SCAN["FileProcessingRepository._counts", "file_processing"] = "counting all, of an index"
MAY_SCAN["DerivedFileRepository._counts", "derived_files"] = "counting all, of an index"
MAY_SCAN["DerivedFileRepository._total_bytes", "derived_files"] = "adds up all, of an index"
for _name in ("_evictable", "_evict"):
    for _table in ("derived_files", "ready"):
        MAY_SCAN[f"DerivedFileRepository.{_name}", _table] = "adds up all, in the order of an index"
for _table in ("files", "generations", "notifications"):
    MAY_SCAN[f"RetentionRepository._{_table}", "loose"] = "adds up all, in the order of an index"
    MAY_SCAN["RetentionRepository._named_paths", _table] = "no index has the paths"
MAY_SCAN["RetentionRepository._pinned_generations", "generations"] = "an index of what is pinned"
MAY_SCAN["RetentionRepository._generations", "generations"] = "adds up all, in an index's order"
MAY_SCAN["LlmConfigRepository._next_id", "sqlite_sequence"] = "one row per table"
MAY_SCAN["LlmConfigRepository._api_keys", "llm_configs"] = "rotation looks at every key"
MAY_SCAN["SecretsStoreRepository._values", "secrets_store"] = "rotation looks at every secret"
MAY_SCAN["SummaryRepository._index_all", "summaries"] = "everything is indexed anew"
for _name in ("_give_links_of_same", "_delete_same", "_delete_links_of_deleted", "_normalize"):
    for _table in ("tags", "same", "file_tags", "sqlite_schema"):
        MAY_SCAN[f"TagRepository.{_name}", _table] = (
            "every tag of a file is looked at, in an upgrade"
        )
MAY_SCAN["ProjectVersionRepository._present", "present"] = "it is one row"
MAY_SCAN["ProjectVersionRepository._present", "listed"] = "all of one project, in an index's order"
MAY_SCAN["DownloadHousekeeping._recover", "downloads"] = "a partial index that holds what is active"
MAY_SCAN["GenerationLeases._claim", "generations"] = (
    "the queue, as far as its first, and what is held"
)
MAY_SCAN["GenerationLeases._fail_exhausted", "generations"] = "a partial index of what is held"
MAY_SCAN["DownloadHousekeeping._fail_queued", "downloads"] = "a partial index that holds what waits"
MAY_SCAN["DownloadLeases._claim", "downloads"] = "the queue, as far as its first, and what is held"
MAY_SCAN["DownloadLeases._fail_exhausted", "downloads"] = "a partial index of what is held"
MAY_SCAN["DownloadHousekeeping._delete_empty_sessions", "sessions"] = (
    "an administrator deletes everything that has ended"
)

# Triggers may scan these tables, and why.
TRIGGERS_MAY_SCAN = {"audit_context": "holds one row, or none"}

# Triggers may read the clock so, and why: the library has said what time it is; people at the prompt
# have not, and get the same as from a DEFAULT.
FOR_THE_PROMPT = (
    "coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"
)
# It is calculated with, and no clock is asked.
A_TIME_OF_THE_ROW = re.compile(r"strftime\('[^']*', NEW\.\w+")

# These may sort, and why.
MAY_SORT = {
    "FilePages._descending": "what the rarest filter lets pass, when it is a few files",
    "FilePages._ascending": "what the rarest filter lets pass, when it is a few files",
    "FilePages._rarest": "the rarest of a handful of filters, and the few files that it lets pass",
    "FilePages._cards": "the order the caller gave, and a file's few tags and speakers",
    "FileSearch._search": "the best match first, which only the search itself knows",
    "TagRepository._give_links_of_same": "an upgrade looks at every tag",
    "TagRepository._delete_same": "an upgrade looks at every tag",
    "FileAdditions._get_many": "the order the caller gave, which no index has",
    "PersonRepository._unknown_speaker": "the order the caller gave, which no index has",
    "TagRepository._unknown_file": "the order the caller gave, which no index has",
    "DownloadAdditions._get_many": "the order the caller gave, which no index has",
    "DownloadQueries._counts_by_status": "six groups",
    "JobPages._counts": "five groups",
    "JobPages._queues": "a row for each type",
    "JobPages._counts_of_all": "five groups",
    "ErrorLogRepository._top_domains": "by their counts, which no index has",
    "SessionRepository._list": "the ties of an index whose name and column are pinned",
    "JobClaims._held": "the running jobs of one worker",
    "JobControl._lost_needs": "the jobs that one job waits for",
    "JobQueries._list_needed": "the jobs that one job waits for",
    "JobSubmission._obstacle": "the order the caller gave, which no index has",
    "JobRuns._steps": "the finished steps of one job",
    "JobQueries._find_referencing_file": "DISTINCT over the jobs that name one file",
    "JobQueries._find_referencing_transcript": "DISTINCT over the jobs that name one transcript",
    "VideoRepository._search": "the best match first, which only the search itself knows",
    "PromptRepository._search": "the best match first, which only the search itself knows",
    "SummaryRepository._search": "the best match first, which only the search itself knows",
    "TranscriptRepository._search": "the best match first, which only the search itself knows",
    "FileProcessingRepository._stuck": "what is unfinished: a handful",
    "FileProcessingRepository._counts_of_profile": "nine groups",
    "SpeakerRepository._list_for_file": "a file's few speakers, by a number in their label",
    "SummaryPromptRepository._list": "the system's prompts and a profile's own: a handful",
    "TagRepository._list_for_profile": "by their counts, which no index has",
    "CollectionRepository._for_file": "a file's few collections",
    "CollectionRepository._make_room": "a collection whose positions are numbered again",
    "DerivedFileRepository._counts": "four groups",
    "DerivedFileRepository._list_for_file": "a file's few derived files",
    "DerivedFileRepository._evictable": "what is removed, the least recently used first",
    "RetentionRepository._files": "what is expendable, oldest first",
    "RetentionRepository._generations": "what is expendable, oldest first",
    "RetentionRepository._notifications": "what is expendable, oldest first",
    "RetentionRepository._pinned_notifications": "a few among a thousand",
    "TagRepository._for_file": "a file's few tags",
    "TagRepository._for_files": "the few tags of some files",
    "DownloadLeases._claim": "two candidates",
    "GenerationLeases._claim": "two candidates",
    "GenerationAdditions._get_many": "the order the caller gave, which no index has",
    "JobClaims._claim": "two candidates, and the jobs whose lease has expired",
    "JobClaims._claim_of_types": "a candidate per type, and the jobs whose lease has expired",
    "JobClaims._claim_several_of_types": "so many candidates per type, and the jobs whose lease has expired",
}

# These give several rows in no order, and why.
MAY_BE_UNORDERED = {
    "JobQueries._find_referencing_file": "its method returns a set",
    "JobQueries._find_referencing_transcript": "its method returns a set",
    "DerivedFileRepository._total_bytes": "it is one row",
    "RetentionRepository._named_paths": "its method looks paths up in it",
    "ProjectVersionRepository._present": "it is one row",
    "ProjectVersionRepository._videos": "its method looks lengths up in it",
}

# The last sort key of these is unique among what they list, and why.
UNIQUE_WITHIN = {
    "TimelineTransitionRepository._for_clips": "a clip has one transition at its end",
    "VideoLibraryRepository._uses": "a project uses a video of the library once",
    "PersonRepository._files": "a person has a file once",
    "CollectionRepository._page": "a collection has a file once",
    "SettingsRepository._all": "a profile has a key once",
    "JobRuns._steps": "a job has a step once",
    "FilePages._rarest": "it is one row",
}

# What these miss when they find nothing is somebody else's.
ENTITIES = {
    "CollectionRepository._member": "file",
    "ScheduleRepository._add_job": "job",
    "RedactionRepository._mask": "segment",
    "RedactionRepository._segment": "segment",
    "RetentionRepository._pin_file": "file",
    "RetentionRepository._pin_generation": "generation",
    "RetentionRepository._pin_notification": "notification",
    "VideoLibraryRepository._of_video": "video",
    "TimelineClipRepository._track": "timeline track",
    "TimelineTransitionRepository._from_clip": "timeline clip",
    "ProjectVersionRepository._present": "project",
    "SegmentRepository._known_transcript": "transcript",
    "SpeakerRepository._get_by_label": "file",
    "SummaryPromptRepository._set_active": "profile",
    "SummaryRepository._start": "file",
    "TagRepository._known_file": "file",
}

# These are run by other repositories too, in a transaction of theirs.
SHARED = {
    "PromptRepository.track_prompt": "GenerationRepository.create counts the use of the prompt",
    "PromptRepository.index_new_prompts": "GenerationRepository.create counts the use of the prompt",
    "VideoRepository.index_new": "VideoLibraryRepository lets projects use its videos",
    "VideoRepository.index_uses": "VideoLibraryRepository changes texts, which videos are found by",
    "SegmentRepository.index_again": "RedactionRepository changes texts, which segments are found by",
    "FileSearch.index_again": "MediaInfoRepository changes titles, which files are found by",
}

# These are bases of repositories, and have no entity of their own.
BASES = {"AuditedRepository"}


def every_statement(check: Callable[..., None]) -> Callable[[str, sqlite3.Connection], None]:
    """A test for each repository, which checks each of its statements and names those that fail."""
    takes_connection = "plain" in inspect.signature(check).parameters

    def test(repository: str, plain: sqlite3.Connection) -> None:
        failures = []
        for name in STATEMENTS_OF[repository]:
            try:
                check(name, plain) if takes_connection else check(name)
            except (Exception, pytest.fail.Exception) as failure:
                failures.append(f"{name}: {failure}")
        assert not failures, "\n".join(failures)

    test.__name__ = test.__qualname__ = check.__name__
    return pytest.mark.parametrize("repository", STATEMENTS_OF)(test)


@pytest.fixture(scope="module")
def plain() -> Iterator[sqlite3.Connection]:
    """The schema in plain sqlite3, with the SQL functions that the library adds."""
    with closing(empty_database()) as connection:
        connection.create_function("folded", 1, lambda text: text, deterministic=True)
        connection.create_function("stripped", 1, lambda text: text, deterministic=True)
        connection.create_function("spaced", 1, lambda text: text, deterministic=True)
        connection.create_function("unbroken", 1, lambda text: text, deterministic=True)
        connection.create_function("excerpt", 2, lambda text, query: text, deterministic=True)
        connection.create_function("marked", 2, lambda text, query: "[]", deterministic=True)
        connection.create_function("merged", 2, lambda old, new: new, deterministic=True)
        yield connection


def top_level(sql: str) -> str:
    """The SQL without what is in parentheses."""
    depth, kept = 0, []
    for character in bare(sql):
        depth -= character == ")"
        if depth == 0:
            kept.append(character)
        depth += character == "("
    return "".join(kept)


# Statements


def test_there_are_statements() -> None:
    assert len(STATEMENTS) > 40
    for repository in (
        reelbase.ProfileRepository,
        reelbase.FileRepository,
        reelbase.TranscriptRepository,
        reelbase.ClipRepository,
        reelbase.LlmTemplateRepository,
        reelbase.JobRepository,
        reelbase.SessionRepository,
        reelbase.DownloadRepository,
        reelbase.ConfigRepository,
        reelbase.ErrorLogRepository,
        reelbase.UnsupportedUrlRepository,
        reelbase.ProjectRepository,
        reelbase.VideoRepository,
        reelbase.ProjectClipRepository,
        reelbase.VideoLibraryRepository,
        reelbase.TimelineTrackRepository,
        reelbase.TimelineClipRepository,
        reelbase.TimelineTransitionRepository,
        reelbase.ProjectVersionRepository,
        reelbase.AuditRepository,
        reelbase.GenerationRepository,
        reelbase.PromptRepository,
        reelbase.MediaInfoRepository,
        reelbase.FileProcessingRepository,
        reelbase.TagRepository,
        reelbase.SettingsRepository,
        reelbase.NotificationRepository,
        reelbase.SegmentRepository,
        reelbase.SpeakerRepository,
        reelbase.LlmConfigRepository,
        reelbase.SummaryPromptRepository,
        reelbase.SummaryRepository,
    ):
        assert any(issubclass(repository, owner) for owner, _, _ in STATEMENTS.values())


@every_statement
def test_it_prepares_against_the_schema(name: str, plain: sqlite3.Connection) -> None:
    assert list(prepares(plain, STATEMENTS[name][2])) == []


@every_statement
def test_it_knows_its_name(name: str) -> None:
    owner, attribute, statement = STATEMENTS[name]
    assert attribute.startswith("_") == (name not in SHARED)
    # A part of a repository says what the whole is called.
    repository = getattr(owner, "_repository", owner.__name__)
    assert statement.name == f"{repository}.{attribute.removeprefix('_')}"
    assert statement.entity == ENTITIES.get(name, owner.entity)
    assert (owner.entity == "row") == (owner.__name__ in BASES)


@every_statement
def test_its_columns_are_its_records_fields_in_their_order(
    name: str, plain: sqlite3.Connection
) -> None:
    statement = STATEMENTS[name][2]
    assert list(has_the_columns_of_its_rows(plain, statement)) == []
    columns = columns_of(plain, statement.sql)
    if columns and is_record(statement.row_type):
        assert columns == flat(statement.row_type, columns)
        assert decoder_for(statement.row_type, tuple(columns))([]) == []


@every_statement
def test_its_parameters_are_all_needed_and_none_is_missing(
    name: str, plain: sqlite3.Connection
) -> None:
    assert list(needs_its_parameters(plain, STATEMENTS[name][2])) == []


@every_statement
def test_it_refuses_missing_and_unexpected_parameters(name: str) -> None:
    statement = STATEMENTS[name][2]
    values = {parameter: some_value(statement, parameter) for parameter in statement.parameters}
    statement.all(**values)
    with pytest.raises(TypeError, match=f"{statement.name}.*colour"):
        statement.all(**values, colour="red")
    for parameter in values:
        with pytest.raises(TypeError, match=f"{statement.name}.*{parameter}"):
            statement.all(**{other: values[other] for other in values if other != parameter})


def some_value(statement: Query[Any], parameter: str) -> Any:
    """A value that the statement takes there: None, an id, or 0."""
    for value in (None, uuid4(), 0):
        try:
            statement._converters[parameter](value)
        except (TypeError, ValueError):
            continue
        return value
    raise AssertionError(f"{statement.name} takes neither None nor an id for {parameter}")


@every_statement
def test_it_writes_if_and_only_if_it_is_a_command(name: str, plain: sqlite3.Connection) -> None:
    statement = STATEMENTS[name][2]
    assert list(is_of_its_kind(plain, statement)) == []
    first = statement.sql.split(maxsplit=1)[0]
    assert first in (
        ("INSERT", "UPDATE", "DELETE") if isinstance(statement, Command) else ("SELECT", "WITH")
    )


KEYWORDS = """
    select from where and or not null is in exists between like glob order by limit offset asc desc
    nulls insert into values update set delete returning on conflict do nothing join left inner
    cross using as case when then else end union all distinct group having with recursive filter
    over partition collate escape
"""


@every_statement
def test_its_keywords_are_upper_case(name: str) -> None:
    sql = STATEMENTS[name][2].sql
    assert '"' not in re.sub(r'AS "\w+\.\w+"', "", sql)  # quoting hides a mistyped name
    keywords = frozenset(KEYWORDS.split())
    words = re.findall(r"(?<![:.\w])[A-Za-z_]\w*(?!\w|\()", bare(sql))
    assert [word for word in words if word.lower() in keywords and not word.isupper()] == []


@every_statement
def test_it_names_its_columns(name: str) -> None:
    sql = top_level(STATEMENTS[name][2].sql)
    assert not re.search(r"\b(?:SELECT|RETURNING)\s+(?:\w+\.)?\*|,\s*(?:\w+\.)?\*", sql)
    if sql.lstrip().startswith("INSERT"):
        assert re.match(r"\s*INSERT INTO \w+ \(", STATEMENTS[name][2].sql)
    assert "INSERT OR" not in sql
    assert "ON CONFLICT DO" not in sql  # an upsert names its target


@every_statement
def test_no_clock_and_no_randomness_runs_in_it(name: str, plain: sqlite3.Connection) -> None:
    assert list(reads_no_clock(plain, STATEMENTS[name][2])) == []


@every_statement
def test_several_rows_come_in_a_total_order(name: str, plain: sqlite3.Connection) -> None:
    statement = STATEMENTS[name][2]
    if isinstance(statement, Command) or name in MAY_BE_UNORDERED:
        return
    sql = top_level(statement.sql)
    ordered = re.search(r"\bORDER BY\s+(.*?)\s*(?:\bLIMIT\b.*)?$", sql, re.DOTALL)
    if ordered is None:
        if re.match(r"\s*SELECT\s+count\(\)", sql) and "GROUP BY" not in sql:
            return
        for step in plan(plain, statement.sql, nothing(statement)):
            if "SUBQUERY" in step:  # from here on, of a single value
                return
            assert is_look_up(plain, step), f"neither ordered nor a look-up by a key: {step}"
        return
    last = ordered[1].split(",")[-1].split()[0]
    assert (
        last.rpartition(".")[2] in unique_columns(plain, statement.sql)
        or re.search(rf"\bGROUP BY {last}\s", sql)
        or is_place_in_array(last, statement.sql)
        or name in UNIQUE_WITHIN
    ), last


def is_look_up(connection: sqlite3.Connection, step: str) -> bool:
    """Whether the step of a plan finds one row at most."""
    if step == "SCAN CONSTANT ROW":
        return True
    if re.fullmatch(r"SEARCH \w+ USING INTEGER PRIMARY KEY \(rowid=\?\)", step):
        return True
    found = re.fullmatch(
        r"SEARCH (\w+) USING (?:(?:COVERING )?INDEX (\w+)|PRIMARY KEY) \((.*)\)", step
    )
    if found is None:
        return False
    table, index, terms = found.groups()
    if index is None:
        index = f"sqlite_autoindex_{table}_1"
    unique = connection.execute(
        'SELECT "unique" FROM pragma_index_list(?) WHERE name = ?', (table, index)
    ).fetchone()
    key = connection.execute("SELECT name FROM pragma_index_info(?)", (index,)).fetchall()
    return unique == (1,) and terms == " AND ".join(f"{column}=?" for (column,) in key)


def unique_columns(connection: sqlite3.Connection, sql: str) -> set[str]:
    """The columns that tell the rows of the tables apart, each alone."""
    found = set()
    for table in re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", sql):
        columns = connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (table,))
        found |= {name for name, type, key in columns if key and type == "INTEGER"}
        indexes = connection.execute(
            'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table,)
        ).fetchall()
        for (index,) in indexes:
            parts = connection.execute("SELECT name FROM pragma_index_info(?)", (index,)).fetchall()
            found |= {name for (name,) in parts if len(parts) == 1}
    return found


def is_place_in_array(column: str, sql: str) -> bool:
    """Whether it is the position in a JSON array that came as a parameter."""
    table, _, name = column.rpartition(".")
    aliased = re.search(rf"key AS {name} FROM json_each\(:\w+\)", sql)
    return bool(aliased or (name == "key" and re.search(rf"json_each\(:\w+\) AS {table}\b", sql)))


@every_statement
def test_where_nulls_can_occur_the_order_says_where_they_go(
    name: str, plain: sqlite3.Connection
) -> None:
    words = set(re.findall(r"\w+", STATEMENTS[name][2].sql))
    nullable = {
        column
        for (table,) in plain.execute(
            "SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
        )
        if table in words
        for (column,) in plain.execute(
            'SELECT name FROM pragma_table_info(?) WHERE "notnull" = 0', (table,)
        )
    }
    for terms in re.findall(r"ORDER BY\s+(.*?)(?:LIMIT|\)|$)", bare(STATEMENTS[name][2].sql), re.S):
        for term in terms.split(","):
            column = term.split()[0].rpartition(".")[2]
            assert (
                column not in nullable
                or "NULLS" in term
                or f"{column} IS NOT NULL" in STATEMENTS[name][2].sql
            ), term


@every_statement
def test_it_never_scans_a_table(name: str, plain: sqlite3.Connection) -> None:
    statement = STATEMENTS[name][2]
    steps = plan(plain, statement.sql, nothing(statement))
    assert [table for table in scanned(steps) if (name, table) not in MAY_SCAN] == [], steps


@every_statement
def test_it_never_sorts_what_an_index_could_give_in_order(
    name: str, plain: sqlite3.Connection
) -> None:
    statement = STATEMENTS[name][2]
    steps = plan(plain, statement.sql, nothing(statement))
    assert name in MAY_SORT or not [step for step in steps if "TEMP B-TREE" in step], steps


@pytest.mark.parametrize("name", ["DownloadLeases._claim", "GenerationLeases._claim"])
def test_a_claim_reads_the_queue_in_its_order(name: str, plain: sqlite3.Connection) -> None:
    """However long it is: the only thing to be sorted are the two candidates."""
    statement = STATEMENTS[name][2]
    steps = plan(plain, statement.sql, nothing(statement))
    table = "downloads" if "Download" in name else "generations"
    used = [step.partition("INDEX ")[2] for step in steps if f" {table} USING" in step]
    assert used == [f"sqlite_autoindex_{table}_1 (id=?)", f"{table}_queue", f"{table}_held"]
    assert [step for step in steps if "TEMP B-TREE" in step] == ["USE TEMP B-TREE FOR ORDER BY"]


def test_the_exceptions_are_statements() -> None:
    assert (
        STATEMENTS.keys()
        >= {name for name, _ in MAY_SCAN}
        | MAY_SORT.keys()
        | MAY_BE_UNORDERED.keys()
        | UNIQUE_WITHIN.keys()
        | ENTITIES.keys()
        | SHARED.keys()
    )


def triggers() -> dict[str, tuple[str, list[str]]]:
    """Of each trigger, its SQL and the statements of its body, with NEW and OLD as parameters."""
    with closing(empty_database()) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
    found = {}
    for name, sql in rows:
        body = re.sub(r"\bRAISE\([^)]*\)", "NULL", sql.partition("\nBEGIN\n")[2])
        body = re.sub(r"\b(NEW|OLD)\.(\w+)", r":\1_\2", body)
        statements = [part for part in body.split(";") if part.strip() not in ("", "END")]
        found[name] = (sql, statements)
    return found


TRIGGERS = triggers()


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_runs_no_clock(name: str) -> None:
    assert (
        clock_in(A_TIME_OF_THE_ROW.sub("", TRIGGERS[name][0].replace(FOR_THE_PROMPT, ""))) is None
    )


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_never_scans_a_table(name: str, plain: sqlite3.Connection) -> None:
    statements = TRIGGERS[name][1]
    assert statements
    for sql in statements:
        parameters = dict.fromkeys(re.findall(r":(\w+)", sql))
        found = scanned(plan(plain, sql, parameters))
        assert [table for table in found if table not in TRIGGERS_MAY_SCAN] == [], sql


# Source


def trees(paths: list[Path]) -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text("utf-8"))) for path in paths]


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


ENGINE = trees(sorted((PACKAGE / "engine").rglob("*.py")))
REPOSITORY_MODULES = trees(sorted((PACKAGE / "repositories").rglob("*.py")))


def test_the_engine_knows_no_entity() -> None:
    for path, tree in ENGINE:
        for name in imports(tree):
            if name.startswith("reelbase"):
                assert re.fullmatch(r"reelbase\.(?:errors|engine(?:\..+)?)", name), (path, name)


def test_a_repository_knows_no_connection() -> None:
    allowed = re.compile(
        r"reelbase\.(errors|repositories\..*|engine\.(statements\..*|executor|file_names|ids|record|repository))"
    )
    forbidden = re.compile(
        r"connections?|cursors?|native|commit|rollback|roll_back|begin|savepoint|execute(_?many)?"
        r"|fetch\w*|in_transaction|aiosqlite|sqlite3|_executor|transaction",
        re.IGNORECASE,
    )
    for path, tree in REPOSITORY_MODULES:
        for name in imports(tree):
            if name.startswith("reelbase"):
                assert allowed.fullmatch(name), (path, name)
            assert name.partition(".")[0] not in ("sqlite3", "aiosqlite"), path
        for node in ast.walk(tree):
            names = [getattr(node, attribute, None) for attribute in ("id", "attr", "arg", "name")]
            for found in names:
                assert not isinstance(found, str) or not forbidden.fullmatch(found), (path, found)


@every_statement
def test_only_the_unit_of_work_begins_and_ends_transactions(name: str) -> None:
    assert not re.search(
        r"\b(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|ATTACH|PRAGMA)\b", STATEMENTS[name][2].sql
    )


def statement_calls() -> Iterator[tuple[str, ast.Call]]:
    for path, tree in REPOSITORY_MODULES:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Subscript):
                name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
                if name.partition("[")[0] in ("Query", "PageQuery", "Command", "Insertion"):
                    yield f"{path.name}:{node.lineno}", node


def test_sql_is_written_out_not_put_together() -> None:
    calls = list(statement_calls())
    assert len(calls) == len(STATEMENTS)
    for where, call in calls:
        sql = call.args[1]
        assert isinstance(sql, ast.Constant), where
        assert isinstance(sql.value, str), where


# The list with which a statement begins, or ends.
_OUTER_LIST = re.compile(
    r"\A\s*SELECT\s+(?P<selected>\w+(?:\s*,\s*\w+)*)\s+FROM\b"
    r"|\bRETURNING\s+(?P<returned>\w+(?:\s*,\s*\w+)*)\s*\Z"
)
_STAR = re.compile(r"\A\s*SELECT \*\s+FROM\b|\bRETURNING \*\s*\Z")


def columns_written_out(sql: str) -> list[list[str]]:
    return [
        [column.strip() for column in (found["selected"] or found["returned"]).split(",")]
        for found in _OUTER_LIST.finditer(sql)
    ]


def test_a_star_stands_for_the_fields_of_the_record_and_for_nothing_else() -> None:
    """As the source has it; what runs names its columns (test_it_names_its_columns)."""
    fields = {
        statement.sql: [field.name for field in fields_of(statement.row_type)]
        for _, _, statement in STATEMENTS.values()
        if is_record(statement.row_type)
    }
    assert any(columns in fields.values() for sql in fields for columns in columns_written_out(sql))
    for where, call in statement_calls():
        sql = call.args[1]
        assert isinstance(sql, ast.Constant)
        source = str(sql.value)
        # Inside a subquery it is SQLite's, and what comes out of it is named by the outer one.
        if re.search(r"\bSELECT\s+(?:\w+\.)?\*|,\s*(?:\w+\.)?\*|\bRETURNING\s+\*", source):
            assert _STAR.search(source), where
        for columns in columns_written_out(source):
            assert columns not in [fields.get(source)], f"{where}: write *"


async def test_a_star_of_an_application_stands_for_the_fields_of_its_record(
    database: Database,
) -> None:
    class Note(msgspec.Struct, frozen=True):
        text: str
        id: int

    class NoteRepository(Repository):
        _all = Query(Note, "SELECT * FROM notes ORDER BY id")
        _add = Command(Note, "INSERT INTO notes (text) VALUES (:text) RETURNING *")

        async def all(self) -> list[Note]:
            return await self._run(self._all.all())

        async def add(self, text: str) -> Note:
            return await self._run(self._add.one(text=text))

    assert NoteRepository._all.sql == "SELECT text, id FROM notes ORDER BY id"
    await database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, hidden TEXT, text TEXT)")
    notes = database.repository(NoteRepository)
    assert await notes.add("one") == Note("one", 1)
    assert await notes.all() == [Note("one", 1)]


def test_every_declared_parameter_is_in_the_sql() -> None:
    for where, call in statement_calls():
        sql = call.args[1]
        assert isinstance(sql, ast.Constant)
        for keyword in call.keywords:
            if keyword.arg == "params":
                assert isinstance(keyword.value, ast.Dict), where
                for key in keyword.value.keys:
                    assert isinstance(key, ast.Constant), where
                    assert re.search(rf":{key.value!s}\b", str(sql.value)), (where, key.value)


def test_every_statement_is_used() -> None:
    source = "".join(path.read_text("utf-8") for path, _ in REPOSITORY_MODULES)
    used = set(re.findall(r"self\.(_\w+)", source))
    for listed in re.findall(r"_derivation = \((.*)\)", source):
        used.update(listed.split(", "))
    shared = set(re.findall(r"(?:self|(\w+(?:Repository|Search)))\.([a-z]\w+)\.", source))
    assert [name for name in SHARED if (*name.split("."),) not in shared] == []
    assert [
        name
        for name, (_, attribute, _) in STATEMENTS.items()
        if attribute not in used and name not in SHARED
    ] == []
