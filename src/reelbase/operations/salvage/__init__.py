"""What a repair takes out of a damaged file, page by page, and puts together again."""
