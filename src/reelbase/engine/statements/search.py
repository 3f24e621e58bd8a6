"""Full-text search for queries that people type, on top of FTS5, and the folded form of names.

SQLite's unicode61 tokenizer takes a run of a script without spaces as one word, and vowel signs, tones
and emoji as gaps between words. So texts are indexed in a form of the library's own: folded, every character
of a script without spaces set apart by spaces, signs and emoji replaced by characters for private use (Co),
which the tokenizer takes for letters. The query is brought into the same form and quoted: each character of
a script without spaces is then a token, and a quoted run of them an exact substring.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache

from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.parameters import has_surrogates

# Scripts that are written without spaces, as Unicode breaks their lines (UAX #14).
_SET_APART = re.compile(
    "(["
    # Ideographs (class ID) with kana, Hangul, Bopomofo, Yi, Tangut, Khitan and Nushu, and their iteration
    # marks and half-width forms.
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3041-\u30ff\u3105-\u312f"
    "\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\u1100-\u11ff\uff66-\uffdc\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff"
    "\U00020000-\U000323af"
    # Thai, Lao, Burmese, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom (class SA); Tibetan.
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua9e0-\ua9ff"
    "\uaa60-\uaadf\U00011700-\U0001174f"
    # Buginese, Balinese, Batak, Javanese, Cham, Brahmi, Grantha, Dives Akuru, Makasar, Kawi (AK, AS).
    "\u1a00-\u1a1f\u1b00-\u1b7f\u1bc0-\u1bff\ua980-\ua9df\uaa00-\uaa5f\U00011000-\U0001107f"
    "\U00011300-\U0001137f\U00011900-\U0001195f\U00011ee0-\U00011f5f"
    "])"
)

# Unicode's Emoji, without digits, and without signs that are letters in another form.
_EMOJI = re.compile(
    "[\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u25aa\u25ab\u25b6"
    "\u25c0\u25fb-\u25fe\u2600-\u2604\u260e\u2611\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626"
    "\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653\u265f\u2660\u2663\u2665\u2666\u2668"
    "\u267b\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab\u26b0\u26b1"
    "\u26bd\u26be\u26c4\u26c5\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5"
    "\u26f7-\u26fa\u26fd\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733"
    "\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf"
    "\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\U0001f000-\U0001faff]"
)

# Marks that people leave out when they type: accents, points of Hebrew, Arabic and Syriac, the dot below
# of Hindi. In all further scripts a mark is part of the word.
_OPTIONAL = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711"
    "\u0730-\u074a\u0816-\u082d\u0859-\u085b\u0898-\u08ff\u093c\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
    "\ua66f-\ua67d\ua69e\ua69f\ufe20-\ufe2f]"
)

# Invisible characters that change no word (Default_Ignorable_Code_Point, as in NFKC_Casefold).
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)

# Characters that end a word and that folding would remove: the zero-width space, the non-joiner where
# Persian uses it, the trade mark and service mark signs.
_UNSEEN_SPACE = re.compile("[\u200b\u200c\u2120\u2122](?<![^\u0620-\u06ff]\u200c)")

# Anything but Latin, Greek, Cyrillic and Armenian letters, which are indexed as they are folded.
_TO_REPLACE = re.compile("[^\x01-\u02ff\u0370-\u0482\u048a-\u058f\u1e00-\u1fff\u2010-\u2027]")

# Letters that are marks to the tokenizer, whose tables are old.
_NEW_LETTER = re.compile("[\u19b0-\u19c9\u1cf2\u1cf3]")

_PRIVATE = 0xF0000  # planes 0 and 1 become 15 and 16

_DOTTED = re.compile("i\u0307+")  # what İ is in small letters

_QUOTED = re.compile('"([^"]*)"')
_EXCERPT_LENGTH = 200
_TRIGRAM = 3
_MOST_TRIGRAMS = 60  # the more, the fewer other texts; FTS5 takes 256 in one expression
_ASCII_WORD = re.compile("[a-z0-9]+")
_APART = f"(?:{_SET_APART.pattern}|{_EMOJI.pattern})"
_GAP = re.compile(f" (?={_APART})|(?<={_APART}) ")

# A quoted part (its end may be missing) or a run without spaces.
_PART = re.compile(r'"([^"]*)"?|([^\s"]+)')


def folded(text: str) -> str:
    """The form in which names are compared: the same for composed and decomposed characters, capital and
    small, full-width and half-width letters, with or without invisible characters.

    Unicode's NFKC_Casefold; in addition the dotted capital I of Turkish becomes an i.
    """
    if text.isascii():
        return text.lower()
    small = unicodedata.normalize("NFKC", _IGNORABLE.sub("", text)).casefold()
    return unicodedata.normalize("NFKC", _DOTTED.sub("i", small))


def spaced(text: str | None) -> str | None:
    """The text as it is indexed."""
    if text is None:
        return None
    if text.isascii():
        return text.lower().replace("\0", " ")
    text = folded(_UNSEEN_SPACE.sub(" ", text))
    return text.translate(_INDEXED) if _TO_REPLACE.search(text) else text


class _Indexed(dict[int, str]):
    """The indexed form of each character, as a table for str.translate()."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        indexed = _letter(character)
        if _SET_APART.match(character) or _EMOJI.match(character):
            indexed = f" {indexed} "
        self[code] = indexed
        return indexed


def _letter(character: str) -> str:
    """The character, '', ' ' for NUL, or a private-use character that the tokenizer takes for a letter."""
    if (
        character in "\u0640\0"
    ):  # the line that stretches an Arabic word, and the NUL at which SQLite ends a text
        return " " if character == "\0" else ""
    is_mark = unicodedata.category(character)[0] == "M"
    if is_mark and _OPTIONAL.match(character):
        return ""
    if is_mark or _EMOJI.match(character) or _NEW_LETTER.match(character):
        return chr(_PRIVATE + ord(character))
    return character


_INDEXED = _Indexed()


@lru_cache(maxsize=8)  # a search asks for the part, and then again for what is marked in it
def excerpt(text: str, expression: str) -> str:
    """A short text unchanged; of a long text the part around the first phrase of the expression that it
    holds, in any form. The part is cut between words, with an ellipsis for each cut."""
    if len(text) <= _EXCERPT_LENGTH:
        return text
    plain, places = _plain(text)
    phrases = _QUOTED.findall(expression)
    words = [word for phrase in phrases for word in phrase.split()]
    found = 0
    for wanted in (*phrases, *words):
        sought, _ = _plain(wanted)
        place = plain.find(sought) if sought else -1
        if place >= 0:
            found = places[place]
            break
    start = max(0, min(found - _EXCERPT_LENGTH // 4, len(text) - _EXCERPT_LENGTH))
    end = start + _EXCERPT_LENGTH
    if start > 0 and (gap := text.find(" ", start, found)) >= 0:
        start = gap + 1
    if end < len(text) and (gap := text.rfind(" ", found, end)) > found:
        end = gap
    return ("…" if start > 0 else "") + text[start:end] + ("…" if end < len(text) else "")


def _plain(text: str) -> tuple[str, list[int]]:
    """A form in which a text and a phrase of the index can be compared character by character, and the
    position in the text of each of its characters."""
    parts = [(part, place) for place, char in enumerate(text) for part in _plain_character(char)]
    joined = "".join(part for part, _ in parts)
    gaps = {match.start() for match in _GAP.finditer(joined)}
    kept = [pair for number, pair in enumerate(parts) if number not in gaps]
    return "".join(part for part, _ in kept), [place for _, place in kept]


@cache
def _plain_character(character: str) -> str:
    """The character without case, width and accents, decomposed; '' for one that comparison ignores."""
    if ord(character) >= _PRIVATE:
        character = chr(ord(character) - _PRIVATE)
    small = unicodedata.normalize("NFKD", _IGNORABLE.sub("", character)).casefold()
    return _OPTIONAL.sub(
        "", re.sub("[\u0640\u3099\u309a]", "", unicodedata.normalize("NFKD", small))
    )


def marked(text: str, expression: str) -> list[str]:
    """The text in pieces, by turns outside of and inside of the matches of the expression's phrases. The
    first and the last piece are outside, and may be ''."""
    pieces: list[str] = []
    place = 0
    for start, end in _matches(text, expression):
        if start <= place and pieces:
            pieces[-1] += text[place:end]
        else:
            pieces += [text[place:start], text[start:end]]
        place = max(place, end)
    return [*pieces, text[place:]]


def _matches(text: str, expression: str) -> Iterator[tuple[int, int]]:
    """Where phrases begin and end in the text, in the order of their beginnings; they may overlap."""
    phrases, last = _phrases(expression)
    words = _words(text)
    for number, (first, start, _) in enumerate(words):
        for phrase in phrases.get(first, ()):
            part = words[number : number + len(phrase)]
            if [word for word, _, _ in part] == phrase:
                yield start, part[-1][2]
        if last and first.startswith(last[0]):
            part = words[number : number + len(last)]
            *others, end = [word for word, _, _ in part]
            if [*others, end[: len(last[-1])]] == last:
                yield start, part[-1][2]


@lru_cache(maxsize=32)  # the same for every row of a search
def _phrases(expression: str) -> tuple[dict[str, list[list[str]]], list[str]]:
    """The words of each phrase, by the first one; and the words of the last phrase if its last word is a
    prefix, else []."""
    phrases = [[word for word, _, _ in _words(phrase)] for phrase in _QUOTED.findall(expression)]
    last = phrases.pop() if expression.endswith("*") else []
    by_first: dict[str, list[list[str]]] = {}
    for phrase in filter(None, phrases):
        by_first.setdefault(phrase[0], []).append(phrase)
    return by_first, last


def _words(text: str) -> list[tuple[str, int, int]]:
    """The words as the index tells them apart, in plain form, with their beginnings and ends in the text. A
    character of a script without spaces is a word of its own."""
    if text.isascii():
        return [(found[0], *found.span()) for found in _ASCII_WORD.finditer(text.lower())]
    words: list[tuple[str, int, int]] = []
    is_open = False
    for place, character in enumerate(text):
        plain, is_apart, is_letter = _kind(character)
        if _UNSEEN_SPACE.match(text, place) or (plain and not is_letter):
            is_open = False
        elif words and ((is_open and not is_apart) or (not plain and words[-1][2] == place)):
            word, start, _ = words[-1]
            words[-1] = (word + plain, start, place + 1)
        elif plain:
            words.append((plain, place, place + 1))
            is_open = not is_apart
    return words


@cache
def _kind(character: str) -> tuple[str, bool, bool]:
    """The character in plain form, whether it is a word of its own, and whether it is a part of words."""
    plain = _plain_character(character)
    if ord(character) >= _PRIVATE:
        character = chr(ord(character) - _PRIVATE)
    is_apart = bool(_SET_APART.match(character) or _EMOJI.match(character))
    is_letter = is_apart or any(unicodedata.category(part)[0] in "LMN" for part in plain)
    return plain, is_apart, is_letter


def match_expression(query: str) -> str | None:
    """The FTS5 expression for a query that a person typed; None when there is no word in it.

    All words must match, the last one as a prefix unless it is quoted; a quoted part is a phrase.
    Nothing in the query is an operator, so that no query is an error.
    """
    if has_surrogates(query):
        raise invalid_argument("query", "holds a lone surrogate")
    phrases: list[str] = []
    is_open = False
    for match in _PART.finditer(query):
        quoted, bare = match.groups()
        words = _pieces(bare if quoted is None else quoted)
        if words:
            # A word such as foo-bar is one phrase: the tokenizer splits it the same way in the text.
            phrases.append('"' + " ".join(words) + '"')
            is_open = quoted is None
    if not phrases:
        return None
    last = phrases.pop() + ("*" if is_open else "")
    # Each phrase once: FTS5 takes seconds for a word that is repeated thousands of times.
    return " ".join((*dict.fromkeys(phrases), last))


def unbroken(text: str) -> str:
    """The text in the form in which its trigrams are indexed: folded, without a NUL, at which FTS5 stops."""
    return folded(text).replace("\0", " ")


def trigram_expression(text: str) -> str | None:
    """The FTS5 expression that every text with this substring matches, and a few others; None for a text of
    less than three characters, and for one with a NUL."""
    form = folded(text)
    if len(form) < _TRIGRAM or "\0" in form or has_surrogates(form):
        return None
    trigrams = dict.fromkeys(
        form[place : place + _TRIGRAM]
        for place in range(min(len(form) - _TRIGRAM + 1, _MOST_TRIGRAMS))
    )
    return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)


def _pieces(text: str) -> list[str]:
    """The pieces of a part that holds a letter, a digit or an emoji; [] for one that holds none.

    A piece without any is kept, too: SQLite's tables of letters are older (Unicode 6.1), and two words of
    a phrase are not adjacent where the text has a third one between them.
    """
    pieces = (spaced(text) or "").split()
    has_word = any(char.isalnum() or ord(char) >= _PRIVATE for piece in pieces for char in piece)
    return pieces if has_word else []
