"""The SQL of the repositories is spelled so that PostgreSQL reads it as well as SQLite.

Functions that only SQLite has built in, or that the library adds to it (FUNCTIONS), PostgreSQL can be given
under the same names. Nothing else may differ, but for the statements that are listed here with a reason.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from test_statements import STATEMENTS

import reelbase
from reelbase.testing.statements import bare

INDEX = "PostgreSQL keeps the search index itself, as a generated column: there is nothing to run"

# PostgreSQL needs these in a text of its own, or not at all, and why. The rules pass over them.
OWN_TEXT = dict.fromkeys(
    (
        "FileNames._clear_names",
        "FileNames._index_many_names",
        "FileNames._index_names",
        "FileNames._mend_names",
        "FileSearch._index_new",
        "FileSearch._mend_index",
        "FileSearch._clear_index",
        "FileSearch.index_again",
        "PromptRepository.index_new_prompts",
        "PromptRepository._mend_index",
        "PromptRepository._clear_index",
        "SegmentRepository._index_new",
        "SegmentRepository._mend_index",
        "SegmentRepository._clear_index",
        "SegmentRepository.index_again",
        "SummaryRepository._index_all",
        "SummaryRepository._mend_index",
        "SummaryRepository._clear_index",
        "SummaryRepository._index_again",
        "VideoRepository.index_new",
        "VideoRepository.index_uses",
        "VideoRepository._mend_index",
        "VideoRepository._clear_index",
        "VideoRepository._index_again",
    ),
    INDEX,
) | {
    "LlmConfigRepository._next_id": "SQLite keeps the last ids in a table, PostgreSQL in sequences",
    "TagRepository._delete_same": "looks into SQLite's schema, in an upgrade",
    "TagRepository._normalize": "skips a name that is taken, in an upgrade",
}

# PostgreSQL takes the text of these with one thing more. The rules apply to them.
LOCKS = "FOR UPDATE SKIP LOCKED behind each LIMIT 1, as it has more than one writer"
NEEDS_MORE = {
    "DownloadLeases._claim": LOCKS,
    "GenerationLeases._claim": LOCKS,
    "JobClaims._claim": LOCKS,
    "JobClaims._claim_of_types": LOCKS,
    "JobClaims._claim_several_of_types": LOCKS,
    "LlmConfigRepository._add": "the sequence's next value where the id is NULL",
    "PromptRepository.track_prompt": "ON CONFLICT (md5(text)), as an index holds no long texts",
}

# These break a rule, and why.
EXCEPTIONS = {
    ("index hints", "DownloadHousekeeping._fail_queued"): (
        "versions of SQLite differ in which of two partial indexes they take"
    ),
    ("index hints", "GenerationLeases._claim"): (
        "SQLite would rather read all that is pending by its status, and sort it"
    ),
    ("unary plus", "JobQueries._list_active"): (
        "keeps SQLite from the index of all jobs that have no parent, the finished ones among them"
    ),
    ("unary plus", "JobPages._page_of_all_active"): (
        "keeps SQLite from the index of all jobs that have no parent, the finished ones among them"
    ),
    ("functions", "DownloadLifecycle._cancel_entries"): (
        "changes() costs nothing; in PostgreSQL a look at the playlist says the same"
    ),
    ("functions", "JobControl._cancel_children"): (
        "changes() costs nothing; in PostgreSQL a look at the parent says the same"
    ),
    ("functions", "JobSubmission._add_dependencies"): (
        "changes() costs nothing; in PostgreSQL a look at the job says the same"
    ),
    ("functions", "ScheduleRepository._add_job"): (
        "changes() costs nothing; in PostgreSQL a CTE of the statement before says the same"
    ),
    ("functions", "ProjectVersionRepository._present"): (
        "json_object() and json() are json_build_object() and a cast in PostgreSQL"
    ),
    ("functions", "FileSearch._search"): (
        "bm25() is the ranking by column of FTS5, and PostgreSQL's has weights in its index"
    ),
}

# The functions that both have, and PostgreSQL's of the same names as SQLite's and the library's.
FUNCTIONS = {
    *(
        "count",
        "coalesce",
        "first_value",
        "length",
        "max",
        "min",
        "row_number",
        "rtrim",
        "substr",
        "sum",
    ),
    *("excerpt", "folded", "iif", "instr", "json_each", "json_group_array", "marked", "merged"),
    *("spaced", "stripped"),
}

# What makes a boolean of its operands.
_CONDITION = re.compile(r"\b(?:AND|OR|NOT|IS|IN|BETWEEN|LIKE|EXISTS)\b|[<>=]")


class Group(NamedTuple):
    """What stands in a pair of parentheses, and around it."""

    before: str
    inside: str
    after: str


def groups(sql: str) -> Iterator[Group]:
    opened = []
    for place, character in enumerate(sql):
        if character == "(":
            opened.append(place)
        elif character == ")":
            start = opened.pop()
            yield Group(sql[:start], sql[start + 1 : place], sql[place + 1 :])


def outside(sql: str) -> str:
    """The SQL with nothing in its parentheses."""
    flat, before = re.sub(r"\([^()]*\)", "[]", sql), sql
    while flat != before:
        flat, before = re.sub(r"\([^()]*\)", "[]", flat), flat
    return flat


def parts(listed: str) -> list[str]:
    """The items of a list, which commas separate."""
    found, start, depth = [], 0, 0
    for place, character in enumerate(listed + ","):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            found.append(listed[start:place].strip())
            start = place + 1
    return found


@functools.cache
def columns(kind: str) -> frozenset[tuple[str, str]]:
    """The tables and columns that the pattern describes, as in the lines of the schema."""
    return frozenset(
        (table[1], column)
        for table in re.finditer(
            r"CREATE TABLE (\w+) \((.*?)^\)", reelbase.schema_sql(), re.DOTALL | re.MULTILINE
        )
        for column in re.findall(kind, table[2])
    )


def integers() -> frozenset[tuple[str, str]]:
    return columns(r"(?m)^  (\w+) +INTEGER\b")


def booleans() -> frozenset[tuple[str, str]]:
    return columns(r"CHECK \((\w+) IN \(0, 1\)\)")


# Rules: what in a statement breaks them. The SQL comes with single spaces and empty texts.


def comparison_with_is(sql: str) -> list[str]:
    """IS [NOT] DISTINCT FROM, as IS compares with NULL alone."""
    return re.findall(r"\bIS (?:NOT )?(?!NOT |NULL\b|DISTINCT FROM |TRUE\b|FALSE\b)\S+", sql)


def bare_columns_in_upsert(sql: str) -> list[str]:
    """Columns of the row that is there with their table, as excluded has columns of the same names."""
    _, _, update = sql.partition(" DO UPDATE SET ")
    update, _, _ = update.partition(" RETURNING ")
    assignments, _, condition = update.partition(" WHERE ")
    expressions = [part.partition(" = ")[2] for part in parts(assignments)]
    # Keywords are upper case (test_statements.py).
    return re.findall(r"(?<![:.\w])[a-z_]\w*(?![\w.(])", " ".join([*expressions, condition]))


def numbers_for_booleans(sql: str) -> list[str]:
    """TRUE and FALSE."""
    names = {name for _, name in booleans()}
    found = [
        compared[0]
        for compared in re.finditer(r"\b(\w+) (?:=|<>|IS(?: NOT)?) [01]\b", sql)
        if compared[1] in names
    ]
    if inserted := re.match(r" ?INSERT INTO \w+ \(([^)]*)\) (VALUES \(|SELECT )(.*)", sql):
        end = (
            r"\) ?(?:ON CONFLICT|RETURNING|$)" if inserted[2] == "VALUES (" else r" (?:FROM|WHERE) "
        )
        values = parts(re.split(end, inserted[3])[0])
        for column, value in zip(parts(inserted[1]), values, strict=False):
            if column in names and value in ("0", "1"):
                found.append(f"{value} for {column}")
    return found


def unnamed_subquery(sql: str) -> list[str]:
    """FROM (SELECT …) AS name."""
    return [
        group.inside
        for group in groups(sql)
        if re.search(r"\b(?:FROM|JOIN) $", group.before)
        and re.match(r" ?SELECT\b", group.inside)
        and not re.match(r" AS \w", group.after)
    ]


def operator_match(sql: str) -> list[str]:
    """FROM table_fts(:expression)."""
    return re.findall(r"\bMATCH \S+", sql)


def arithmetic_with_conditions(sql: str) -> list[str]:
    """iif(condition, 1, 0)."""
    return [
        group.inside
        for group in groups(sql)
        if (
            re.search(r"(?:[-+*/%] ?|\b(?:sum|avg|total))$", group.before)
            or re.match(r" ?[-+*/%]", group.after)
        )
        and not re.search(r"\b(?!(?:sum|avg|total)$)\w+$", group.before)
        and not re.match(r" ?SELECT\b", group.inside)
        and _CONDITION.search(outside(group.inside))
    ]


def texts_of_json_for_integers(sql: str) -> list[str]:
    """CAST(value AS BIGINT), as the elements of an array are text in PostgreSQL."""
    found = []
    for listed in re.finditer(r"\b(?:(\w+)\.)?(\w+) IN \( ?SELECT value FROM json_each", sql):
        near = re.findall(r"\b(?:FROM|UPDATE|INTO|JOIN) (\w+)", sql[: listed.start()])[-1]
        if (listed[1] or near, listed[2]) in integers():
            found.append(listed[0])
    return found


def numbers_for_conditions(sql: str) -> list[str]:
    """> 0."""
    return [
        f"{called[0]}({group.inside})"
        for group in groups(sql)
        if (
            called := re.search(
                r"(?:\b(?:AND|OR|NOT|WHERE|WHEN|ON|HAVING) |\()instr$", group.before
            )
        )
        and not re.match(r" ?[<>=]", group.after)
    ]


def largest_of_several(sql: str) -> list[str]:
    """iif(a > b, a, b), as max() and min() have one argument."""
    return [
        group.inside
        for group in groups(sql)
        if re.search(r"\b(?:max|min)$", group.before) and len(parts(group.inside)) > 1
    ]


def cross_join_on(sql: str) -> list[str]:
    """CROSS JOIN table WHERE."""
    return re.findall(r"\bCROSS JOIN \w+(?:\[\])?(?: AS \w+)? (?:ON|USING)\b", outside(sql)) + [
        joined
        for group in groups(sql)
        for joined in re.findall(
            r"\bCROSS JOIN \w+(?:\[\])?(?: AS \w+)? (?:ON|USING)\b", outside(group.inside)
        )
    ]


def negative_limit(sql: str) -> list[str]:
    """LIMIT 9223372036854775807."""
    return re.findall(r"\bLIMIT -\S+", sql)


def cast_to_integer(sql: str) -> list[str]:
    """BIGINT or NUMERIC, as PostgreSQL's INTEGER has 32 bits; and a text that is no number is none there."""
    return re.findall(r"\bAS (?:INT|INTEGER)\b", sql)


def index_hints(sql: str) -> list[str]:
    return re.findall(r"\b(?:NOT INDEXED|INDEXED BY \w+)", sql)


def unary_plus(sql: str) -> list[str]:
    return re.findall(r"(?:\b[A-Z]+|[(,=<>]) ?(\+[\w:]\S*)", sql)


def conflict_clause(sql: str) -> list[str]:
    """ON CONFLICT."""
    return re.findall(r"\b(?:INSERT|UPDATE) OR \w+|\bREPLACE INTO\b", sql)


def tables_of_sqlite(sql: str) -> list[str]:
    return re.findall(r"\b(?:sqlite_|pragma_|json_tree\b)\w*", sql)


def written_search_index(sql: str) -> list[str]:
    return re.findall(r"\b(?:INSERT INTO|UPDATE|DELETE FROM) \w+_fts\b", sql)


def functions(sql: str) -> list[str]:
    """Others than FUNCTIONS, and than a search."""
    called = re.findall(r"(?<![:.\w])([a-z]\w*)\(", sql)
    return [name for name in called if name not in FUNCTIONS and not name.endswith("_fts")]


class Rule(NamedTuple):
    finds: Callable[[str], list[str]]
    broken: tuple[str, ...]
    kept: tuple[str, ...]


RULES = {
    "comparison with IS": Rule(
        comparison_with_is,
        ("SELECT a IS :b", "SELECT a IS NOT :b", "SELECT a IS NOT b.a", "SELECT NOT a IS 1"),
        (
            "SELECT a IS NULL OR a IS NOT NULL OR a IS TRUE",
            "SELECT a IS DISTINCT FROM :b, a IS NOT DISTINCT FROM b.a",
        ),
    ),
    "bare columns in an upsert": Rule(
        bare_columns_in_upsert,
        (
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET n = n + 1",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET n = 2, m = iif(:m, m, 1)",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET n = 2 WHERE n = 1 RETURNING a",
        ),
        (
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE"
            " SET n = t.n + :n, m = iif(TRUE, excluded.m, t.m) WHERE t.n = 1 RETURNING a, n",
        ),
    ),
    "numbers for booleans": Rule(
        numbers_for_booleans,
        (
            "UPDATE notifications SET is_read = 1",
            "SELECT id FROM notifications WHERE is_read <> 0",
            "INSERT INTO notifications (id, is_read) VALUES (:id, 0) RETURNING id",
            "INSERT INTO notifications (id, is_read) VALUES (coalesce(:id, 7), 0)",
            "INSERT INTO speakers (is_verified, label) SELECT 1, label FROM speakers",
        ),
        (
            "UPDATE notifications SET is_read = TRUE, progress = 1",
            "INSERT INTO notifications (id, is_read) VALUES (0, FALSE)",
        ),
    ),
    "unnamed subquery": Rule(
        unnamed_subquery,
        (
            "SELECT a FROM (SELECT a FROM t)",
            "SELECT a FROM (\n  SELECT a\n  FROM t\n)\nWHERE a > 1",
            "SELECT a FROM t CROSS JOIN (SELECT b FROM t) AS x CROSS JOIN (SELECT c FROM t) WHERE a",
        ),
        ("SELECT a FROM (SELECT a FROM t) AS x WHERE a IN (SELECT a FROM t)",),
    ),
    "MATCH": Rule(
        operator_match,
        ("SELECT rowid FROM t_fts WHERE t_fts MATCH :expression",),
        ("SELECT rowid FROM t_fts(:expression)",),
    ),
    "arithmetic with conditions": Rule(
        arithmetic_with_conditions,
        (
            "UPDATE t SET n = n + (a IS NULL)",
            "UPDATE t SET n = n + (:a AND b)",
            "UPDATE t SET n = (a > 1) * n",
            "SELECT sum(a = 1) FROM t",
        ),
        (
            "UPDATE t SET n = n + iif(a IS NULL, 1, 0) - (n + 1) * 2 - (SELECT b FROM t WHERE b > 1)",
            "SELECT iif(a > 1, 2, 3) + coalesce(n = 1, 2) FROM t WHERE (a = 1) OR (n = 2)",
        ),
    ),
    "texts of JSON for integers": Rule(
        texts_of_json_for_integers,
        (
            "DELETE FROM notifications WHERE id IN (SELECT value FROM json_each(:ids))",
            "DELETE FROM tags WHERE 1 AND tags.id IN (SELECT value FROM json_each(:ids))",
        ),
        (
            "DELETE FROM files WHERE id IN (SELECT value FROM json_each(:ids))",
            "DELETE FROM notifications"
            " WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))",
        ),
    ),
    "numbers for conditions": Rule(
        numbers_for_conditions,
        (
            "SELECT a FROM t WHERE instr(a, :b)",
            "SELECT a FROM t WHERE (NOT :f OR instr(f(a), 'b'))",
        ),
        ("SELECT instr(a, :b) AS place FROM t WHERE instr(f(a), :b) > 0 AND instr(a, :b) = 1",),
    ),
    "the largest of several": Rule(
        largest_of_several,
        ("SELECT max(a, b) FROM t", "SELECT min(coalesce(a, 1), 2) FROM t"),
        ("SELECT max(a), min(coalesce(b, 1)) FROM t",),
    ),
    "CROSS JOIN with ON": Rule(
        cross_join_on,
        (
            "SELECT a FROM t CROSS JOIN u ON u.id = t.id",
            "SELECT a FROM t_fts(:a) CROSS JOIN f(:b) AS u ON u.id = t.id",
            "SELECT a FROM (SELECT a FROM t CROSS JOIN u USING (id)) AS x",
        ),
        ("SELECT a FROM t CROSS JOIN u LEFT JOIN v ON v.id = t.id WHERE u.id = t.id",),
    ),
    "negative LIMIT": Rule(
        negative_limit,
        ("SELECT a FROM t LIMIT -1 OFFSET 5",),
        ("SELECT a FROM t LIMIT 9223372036854775807 OFFSET 5",),
    ),
    "CAST to INTEGER": Rule(
        cast_to_integer,
        ("SELECT CAST(a AS INTEGER) FROM t", "SELECT CAST(a AS INT) FROM t"),
        ("SELECT CAST(a AS BIGINT), CAST('0' || a AS NUMERIC) FROM t",),
    ),
    "index hints": Rule(
        index_hints,
        ("UPDATE t INDEXED BY i SET a = 1", "SELECT a FROM t NOT INDEXED"),
        ("SELECT indexed FROM t",),
    ),
    "unary plus": Rule(
        unary_plus,
        ("SELECT a FROM t WHERE +a IS NULL", "SELECT a FROM t WHERE (+a = 1)"),
        ("SELECT a + b, a + 1, (a) + b FROM t",),
    ),
    "conflict clause": Rule(
        conflict_clause,
        ("UPDATE OR IGNORE t SET a = 1", "INSERT OR REPLACE INTO t (a) VALUES (1)"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO NOTHING",),
    ),
    "tables of SQLite": Rule(
        tables_of_sqlite,
        ("SELECT seq FROM sqlite_sequence", "SELECT atom FROM json_tree(:a)"),
        ("SELECT value FROM json_each(:a)",),
    ),
    "written search index": Rule(
        written_search_index,
        ("INSERT INTO t_fts (t_fts) VALUES ('rebuild')", "DELETE FROM t_fts"),
        ("SELECT rowid FROM t_fts(:expression)",),
    ),
    "functions": Rule(
        functions,
        ("SELECT ifnull(a, 1) FROM t", "SELECT a FROM t WHERE changes() > 0"),
        ("SELECT coalesce(a, 1) FROM t_fts(:expression) WHERE a IN (1, 2)",),
    ),
}


def broken(rule: str, sql: str) -> list[str]:
    return RULES[rule].finds(re.sub(r"\s+", " ", bare(sql)).strip())


@pytest.mark.parametrize("rule", RULES)
def test_postgresql_reads_every_statement(rule: str) -> None:
    found = {
        name: places
        for name, (_, _, statement) in STATEMENTS.items()
        if name not in OWN_TEXT and (places := broken(rule, statement.sql))
    }
    excepted = {name for broken_rule, name in EXCEPTIONS if broken_rule == rule}
    assert {name: places for name, places in found.items() if name not in excepted} == {}
    assert excepted <= found.keys()


@pytest.mark.parametrize("rule", RULES)
def test_a_statement_that_breaks_the_rule_is_found(rule: str) -> None:
    _, wrong, right = RULES[rule]
    assert wrong
    assert right
    assert [sql for sql in wrong if not broken(rule, sql)] == []
    assert [(sql, places) for sql in right if (places := broken(rule, sql))] == []


def test_the_listed_statements_are_there_and_need_to_be_listed() -> None:
    assert STATEMENTS.keys() >= OWN_TEXT.keys() | NEEDS_MORE.keys()
    assert {rule for rule, _ in EXCEPTIONS} <= RULES.keys()
    for name in OWN_TEXT:
        assert any(broken(rule, STATEMENTS[name][2].sql) for rule in RULES), name


def test_booleans_and_integers_are_known() -> None:
    assert {("notifications", "is_read"), ("speakers", "is_verified")} <= booleans() <= integers()
    assert ("transcript_segments", "id") in integers()
    assert ("files", "id") not in integers()
