"""What inspect counts, compared with the schema."""

from __future__ import annotations

import re

import reelbase
from reelbase.operations.inspection import _SEARCHED

# A file that it lacks is found as well: a search looks at what is not indexed yet.
MAY_LACK_ROWS = {"file_names_fts"}


def test_every_search_index_of_the_schema_is_counted() -> None:
    indexes = re.findall(r"^CREATE VIRTUAL TABLE (\w+)", reelbase.schema_sql(), re.MULTILINE)
    assert {f"{table}_fts" for table in _SEARCHED} | {"files_fts"} == set(indexes) - MAY_LACK_ROWS
