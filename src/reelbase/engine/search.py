"""Search that people can type into, on top of FTS5.

SQLite's unicode61 tokenizer takes a run of Chinese, Japanese or Korean as one word. So such text is
indexed with every one of these characters set apart by spaces, and what is searched for is treated
alike and quoted: each character is then a token, and a quoted run of them an exact substring.
"""

from __future__ import annotations

import re
import unicodedata

from reelbase.engine.arguments import invalid_argument
from reelbase.engine.binding import has_surrogates

# Scripts that are written without spaces: kana, ideographs with their extensions, Hangul, and what
# belongs to them (iteration marks, half-width forms).
_SET_APART = re.compile(
    "(["
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u30ff\u3105-\u312f\u3131-\u318e"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\u1100-\u11ff\uff66-\uffdc\U0001aff0-\U0001b16f\U00020000-\U000323af"
    "])"
)

_QUOTED = re.compile('"([^"]*)"')
_EXCERPT_LENGTH = 200
_STANDS_APART = re.compile(f" ?({_SET_APART.pattern}) ?")

# A quoted part (its end may be missing) or a run without spaces.
_PART = re.compile(r'"([^"]*)"?|([^\s"]+)')


def spaced(text: str | None) -> str | None:
    """The text as it is indexed: every character of a script without spaces stands alone.

    Composed first: file systems of Apple take characters apart that people type as one.
    """
    if text is None:
        return None
    return _SET_APART.sub(r" \1 ", unicodedata.normalize("NFC", text)).replace("\0", " ")


def excerpt(text: str, expression: str) -> str:
    """A short text as it is; of a long one what surrounds the first of the expression's phrases that
    it holds, whatever case and accents, cut between words, with an ellipsis for what is left out."""
    if len(text) <= _EXCERPT_LENGTH:
        return text
    folded = _folded(text)
    phrases = [_STANDS_APART.sub(r"\1", phrase) for phrase in _QUOTED.findall(expression)]
    words = [word for phrase in phrases for word in phrase.split()]
    places = [folded.find(_folded(wanted)) for wanted in (*phrases, *words)]
    found = next((place for place in places if place >= 0), 0)
    start = max(0, min(found - _EXCERPT_LENGTH // 4, len(text) - _EXCERPT_LENGTH))
    end = start + _EXCERPT_LENGTH
    if start > 0 and (gap := text.find(" ", start, found)) >= 0:
        start = gap + 1
    if end < len(text) and (gap := text.rfind(" ", found, end)) > found:
        end = gap
    return ("…" if start > 0 else "") + text[start:end] + ("…" if end < len(text) else "")


def _folded(text: str) -> str:
    """As many characters as the text has, each without its case and its accent."""
    return "".join(unicodedata.normalize("NFD", character)[0].lower()[0] for character in text)


def match_expression(query: str) -> str | None:
    """The FTS5 expression for what a person typed; None when there is no word in it.

    All words must match, the last one as a prefix unless it is quoted; a quoted part is a phrase.
    Nothing in the query is an operator, so that no query is an error.
    """
    if has_surrogates(query):
        raise invalid_argument("query", "holds a lone surrogate")
    phrases: list[str] = []
    is_open = False
    for match in _PART.finditer(query):
        quoted, bare = match.groups()
        words = _words(bare if quoted is None else quoted)
        if words:
            # A word such as foo-bar is one phrase: the tokenizer splits it the same way in the text.
            phrases.append('"' + " ".join(words) + '"')
            is_open = quoted is None
    if not phrases:
        return None
    last = phrases.pop() + ("*" if is_open else "")
    # Each once: FTS5 takes seconds for a word that is repeated thousands of times.
    return " ".join((*dict.fromkeys(phrases), last))


def _words(text: str) -> list[str]:
    """The pieces of a part that holds a letter or a digit; [] for one that holds none.

    All pieces, also those without: SQLite has its own opinion of what a letter is (Unicode 6.1), and
    two words of a phrase are no neighbours where the text has a third between them.
    """
    pieces = (spaced(text) or "").split()
    return pieces if any(character.isalnum() for character in text) else []
