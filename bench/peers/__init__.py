"""``python -m bench peers``: the library against everything a user would pick instead."""
