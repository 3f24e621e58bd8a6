-- 9: names and texts are compared and searched in one form: composed or not, capital or small, wide or narrow. The
-- upgrade fills these tables again, and gives tags their new normal forms; in the sqlite3 program `reelbase
-- rebuild-search` does.

PRAGMA user_version = 9;


DROP TABLE videos_fts;

CREATE VIRTUAL TABLE videos_fts USING fts5 (
  filename, path,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

DROP TABLE prompts_fts;

CREATE VIRTUAL TABLE prompts_fts USING fts5 (
  text,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

DROP TABLE transcript_segments_fts;

CREATE VIRTUAL TABLE transcript_segments_fts USING fts5 (
  text,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

DROP TABLE summaries_fts;

CREATE VIRTUAL TABLE summaries_fts USING fts5 (
  content,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);
