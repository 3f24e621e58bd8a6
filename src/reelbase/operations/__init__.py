"""Operations on a database file that no Database of this process has open."""
