-- 24: the options that a file is processed with.

PRAGMA user_version = 24;


ALTER TABLE file_processing ADD COLUMN options TEXT
  CONSTRAINT file_processing_options
    CHECK (CASE WHEN json_valid(options) THEN json_type(options) = 'object' ELSE options IS NULL END);
