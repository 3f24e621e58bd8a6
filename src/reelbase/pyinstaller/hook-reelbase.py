"""The files that an analysis of imports does not find: schema.sql, the migrations and the documents."""

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("reelbase", includes=["**/*.sql", "**/*.md", "**/*.srt"])
