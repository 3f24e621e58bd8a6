"""Credentials in URLs and texts: passwords, keys, tokens, signatures and session ids become ``***``.

The tables at the top list the names and shapes of secrets; the code below finds names with their values,
and decodes percent-encoded parts. Scheme, host, path and harmless parameters of a masked URL stay readable.
Every pattern takes time linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import quote, unquote

_MASK = "***"

_Span = tuple[int, int]  # from, to

# Names of parameters, headers, flags and keys, as _words() writes them.
_SECRET_NAME = re.compile(
    # Not the token of a page, and not a key that is no secret, such as sort_key and public_key.
    r"(?!(?:.*_)?(?:page|continuation|sync)_?token$)"
    r"(?!(?:.*_)?(?:sort|order|group|cache|primary|foreign|public|partition|row|initial|object|idempotency)_key$)"
    r"(?:"
    # With any beginning: accessToken, PGPASSWORD, X-Amz-Signature, jackett_apikey, upsig.
    r".*(?:token|secret|passw(?:or)?d|passphrase|passcode|signature|sig|credentials?|hmac|jwt|auth"
    r"|authorization|sess(?:ion)?_?id"
    r"|(?:api|auth|pass|rss|access|secret|private|session|stream|torrent|user|nzb|resource|rl)_?key)"
    # A word of its own: key and stream_key, but not monkey.
    r"|(?:.*_)?(?:key|pass|pwd|pw|pin|otp|totp|twofactor|sid|session|cookies?|bearer|ticket|tp|pot|verifier"
    r"|assertion|saml_?response|loginpas|hdn(?:ea|ts|tl|et))"
    r"|key_pair_id|aws_?access_key_id|secret_id|password_confirm(?:ation)?"
    r")"
)
# Names of secrets that also name harmless things. Outside of a URL the value decides.
_AMBIGUOUS_NAME = re.compile(r"key|session|cookies|ticket|pot|tp")
# Words of plain language, which a colon may follow: "unexpected token: x".
_PLAIN_WORD = re.compile(r"token|secret|signature|sig|auth|pass|pin|sid|bearer|credentials?")
# Names of headers whose secret is the rest of the line.
_HEADER = re.compile(r"(?:.*_)?(?:authorization|cookie)")
# Names with many meanings in URLs, and the shapes of the values that are secrets.
_SECRET_BY_VALUE = {
    "code": re.compile(r".{6,}"),  # OAuth
    "state": re.compile(r"(?=.*\d).{6,}|.{20,}"),  # OAuth
    "hash": re.compile(r"[\w\-]{16,}"),
    "sign": re.compile(r"[\w\-]{16,}"),
    "policy": re.compile(r".{40,}"),  # CloudFront
    "md5": re.compile(r"[\w\-]{22}"),  # secure links of nginx; a checksum has 32 digits
    "r": re.compile(r"[0-9a-f]{32}"),  # Newznab
    "t": re.compile(r"[0-9a-f]{32}"),  # Subsonic
    "p": re.compile(r"enc:.+"),  # Subsonic
    "sk": re.compile(r"[\w\-]{20,}"),  # Last.fm
    "arl": re.compile(r"[0-9a-f]{64,}"),  # Deezer
}
_NO_SECRET = re.compile(r"\d{1,2}|true|false|null|none|undefined|", re.IGNORECASE)
_RANDOM = re.compile(r"(?=\D{0,99}\d)\S{6,}+|\S{20,}+")
# Words that follow the name of a flag in a sentence.
_PROSE = re.compile(
    r"(?:options?|flags?|arguments?|parameters?|or|and|to|for|with|is|was|are|if|instead)\b",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"(?:Bearer|Basic|Token|Negotiate|NTLM|ApiKey|Bot|JWT)[ \t+]+(?=\S)", re.IGNORECASE
)

# Path segments that a secret follows, besides the segments with the name of a secret.
_SECRET_FOLLOWS = frozenset(
    {"hooks", "webhook", "webhooks", "private", "verify", "confirm", "reset", "magic", "activate"}
)
_SEGMENT = r"[^/?#\s\"'<>&]"
# The text before the secret, and the secret.
_SHAPES = [
    re.compile(pattern)
    for pattern in (
        # Keys that begin with a known prefix.
        r"((?<![\w\-]))eyJ[\w\-]{8,}+\.[\w\-]{8,}+(?:\.[\w\-]*+){0,3}",
        r"((?<![A-Za-z0-9])A[KS]IA)[0-9A-Z]{16}(?![0-9A-Za-z])",
        r"((?<![\w\-])sk-(?:[a-z]{2,8}\d{0,2}-){0,2})\w{20,}+[\w\-]*+",
        r"((?<![\w\-])(?:[srp]k_(?:live|test)_|gh[opsur]_|github_pat_|hf_|npm_|gsk_|whsec_|dop_v1_|live_\d{4,}_))"
        r"[A-Za-z0-9_]{16,}+",
        r"((?<![\w\-])(?:glpat-|xox[abeprs]-|xapp-|ya29\.|AIza|pypi-AgE|tskey-|xai-|SG\.))[\w\-.]{16,}+",
        # Bots of Telegram, and webhooks.
        r"(?<![A-Za-z0-9])((?:bot)?\d{6,12}(?::|%3[Aa]))[\w\-]{30,}+",
        rf"(/webhooks/\d{{1,24}}/){_SEGMENT}++",
        rf"(/webhookb?2?/){_SEGMENT}{{16,}}+(?:/{_SEGMENT}++)*+",
        rf"(hooks\.slack\.com/\w{{1,20}}/{_SEGMENT}{{1,40}}/{_SEGMENT}{{1,40}}/){_SEGMENT}++",
        rf"(/hooks/catch/\d{{1,24}}/){_SEGMENT}++",
        # Trackers, feeds of trackers and of podcasts.
        r"(/(?:rss|torrents?/(?:\d{1,12}/)?download|announce(?:\.php)?|fetch/\w{32}|rss/(?:download|\d+))"
        r"/(?:\d{1,12}[./])?)[0-9A-Za-z]{16,}+(?:/[0-9A-Za-z]{16,}+)?",
        r"(/)[0-9A-Za-z]{16,}+(?=/announce)",
        # Channels of IPTV, where user and password are path segments; streams that are pushed.
        rf"(://{_SEGMENT}{{1,256}}/(?:live|movie|series|timeshift)/){_SEGMENT}{{3,64}}"
        rf"/(?!\d{{3,4}}p)(?={_SEGMENT}{{0,64}}\d){_SEGMENT}{{4,64}}"
        r"(?=/(?:\d{1,6}/[\d:\-]{1,20}/)?\d{3,}(?:\.\w{2,4})?(?![\w/.]))",
        r"(/live2/)[\w\-]{16,}+",
        # A scheme without its header.
        r"(\b(?i:Bearer|Basic)[ \t+]+)(?=[\w\-.~+/]{0,19}[0-9]|[\w\-.~+/]{20})[\w\-.~+/=]{6,}+",
        # Flags that take a user with a password, or a password after a user, or a cookie.
        r"((?<![\w\-])(?:-[uU]|--(?:proxy-|http-|ftp-)?user)[\"']?(?:=|,?[ \t]+)[\"']?)"
        r"(?!\d+:\d+(?!\S))[^\s\"':/]{1,128}:[^\s\"']++",
        r"((?<![\w\-])-u[\"']?,?[ \t]+[\"']?[^\s\"']{1,128}[\"']?,?[ \t]+[\"']?-p[\"']?,?[ \t]+[\"']?)"
        r"[^\s\"']++",
        r"((?<![\w\-])sshpass[ \t]+-p[ \t]*[\"']?)[^\s\"']++",
        r"((?<![\w\-])-b[\"']?,?[ \t]+[\"']?[\w\-.]{1,64}=)[^\"'\s]++(?:[ \t]+[\w\-.]{1,64}=[^\s\"']++)*+",
    )
]

_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----).*?(?:(?=-----END [A-Z ]{0,32}PRIVATE KEY)|\Z)",
    re.DOTALL,
)

# user:password@ in front of a host: of a URL as a whole, where it reaches to the last @ before the
# path; of URLs that a text quotes, where a blank ends it; with a raw / ? or # in the password, which shows
# as a port that is no number; and without a scheme.
_USERINFO_OF_URL = re.compile(r"^([^/?#@\n]*//)[^/?#\n]*@", re.MULTILINE)
_USERINFO_IN_TEXT = re.compile(r"(?<=://)[^/?#\s]*@")
_USERINFO_WITH_DELIMITERS = re.compile(
    r"(?<=://)[^/?#\s@:\[]{0,128}:(?!\d{0,5}(?:[/?#\s]|$))[^\s@]{0,128}@"
)
_USERINFO_ALONE = re.compile(
    r"(?<![\w.+\-/])(?!(?i:mailto|sips?|acct|xmpp|im|skype):)([\w.+\-]{1,64}:)[^\s:@/\"'<>]{1,128}"
    r"(?=@(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|(?:[\w\-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w\-]))"
)

_IN_NAME = r"\w.\-\[\]%$"
_QUOTE = r"\\{0,3}[\"']"
# A name, and the sign before its value: = or :, or the comma of ("name", "value"), of
# {"name": "name", "value": "value"} and of a list of arguments.
_PAIR = re.compile(
    rf"(?<![{_IN_NAME}])(?P<name>[{_IN_NAME}]++)(?P<closing>{_QUOTE}\]?)?"
    r"(?P<sign>[ \t]{0,8}:=?[ \t]{0,8}|[ \t]{1,8}={1,3}>?[ \t]{0,8}|={1,3}>?"
    rf"|,[ ]?(?:{_QUOTE}(?i:value){_QUOTE}[ ]?:[ ]?)?(?=b?{_QUOTE}))"
)
_FLAG = re.compile(
    rf"(?<![\w.\-/])(?P<name>--?[A-Za-z][\w\-]*+)(?P<closing>{_QUOTE})?(?P<sign>[ \t]{{1,8}})(?!-)"
)
_NAMED_SEGMENT = re.compile(rf"(?<=/)(?P<name>[\w.\-]{{2,32}})/(?={_SEGMENT}{{16}})")
_OPENING_QUOTE = re.compile(rf"[bru]{{0,2}}(?P<quote>{_QUOTE})")
_UP_TO_QUOTE = {q: re.compile(rf"(?:[^\\\n{q}]|\\.)*+") for q in "\"'"}
# A text in braces has names of its own.
_BRACKET = re.compile(r"\{|[\[(](?P<inside>[^\])\n]*+)")
_OPENS_PAIR = re.compile(r"[(\[]b?\\{0,3}[\"']$")
_REST_OF_LINE = re.compile(r"(?:[^\r\n\\]|\\(?![rn]))*+")
_NEXT_MATRIX = rf"(?![ \t]{{0,8}}[{_IN_NAME}]{{1,64}}=)"
_VALUE_IN_URL = re.compile(rf"(?:[^&#;\n]|;{_NEXT_MATRIX})*+")
_VALUE_IN_TEXT = re.compile(
    rf"(?:[^\s&#;\"'<>\\]|;{_NEXT_MATRIX}|[\"'>](?![\s,.:;)\]}}<>\"'\\]|$)|<(?![/\s])|\\(?!u0026|[rn\"']))*+"
)
_VALUE_IN_PATH = re.compile(r"[^\s&#;\"'<>\\/?~]*+")
_BEFORE_PARAMETERS = "?&;#/~"
_ESCAPE = re.compile(r"u00[0-9a-fA-F]{2}|.")
# Between two delimiters.
_ENCODED = re.compile(r"(?<![^\s&=?#;/\"'<>])[^\s&=?#;/\"'<>%]*+(?:%[^\s&=?#;/\"'<>%]*+)++")
_DEPTH = 3  # how often a URL within a URL may be encoded

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SIGNS = re.compile(r"[\W_]+")
_DROPPED_BY_PARSERS = dict.fromkeys(map(ord, "\t\r\n"))


def url_without_credentials(url: str) -> str:
    """The URL with its userinfo and the values of secret parameters replaced by ``***``.

    A secret in another part of the URL, such as a passkey in the path, is replaced too. A URL without a
    secret comes back as it is.
    """
    # Parsers of URLs drop these characters anywhere, and so find a host that is hidden by them.
    seen = url.translate(_DROPPED_BY_PARSERS)
    masked = _masked(seen, True, _DEPTH)
    return url if masked == seen else masked


def text_without_credentials(text: str) -> str:
    """The text with the secrets masked in every URL that it quotes, and in headers, arguments and keys."""
    return _masked(_PRIVATE_KEY.sub(rf"\1{_MASK}", text), False, _DEPTH)


def _masked(text: str, of_url: bool, depth: int) -> str:
    if of_url:
        text = _USERINFO_OF_URL.sub(rf"\1{_MASK}@", text)
    text = _USERINFO_IN_TEXT.sub(rf"{_MASK}@", text)
    text = _USERINFO_WITH_DELIMITERS.sub(rf"{_MASK}@", text)
    text = _USERINFO_ALONE.sub(rf"\1{_MASK}", text)
    for shape in _SHAPES:
        text = shape.sub(rf"\1{_MASK}", text)
    text = _with_spans_masked(text, _NAMED_SEGMENT, _segment_span)
    for names in (_PAIR, _FLAG):
        text = _with_spans_masked(text, names, partial(_value_span, of_url=of_url))
    return _masked_when_decoded(text, depth - 1) if depth and "%" in text else text


def _masked_when_decoded(text: str, depth: int) -> str:
    """The text with the secrets in its percent-encoded pieces masked; the pieces stay encoded.

    All pieces are masked in one pass, a line each: one pass per piece would take minutes for a hostile text.
    """
    pieces = _ENCODED.findall(text)
    decoded = [unquote(piece, errors="surrogateescape").replace("\n", "\r") for piece in pieces]
    masked = _masked("\n".join(decoded), True, depth).split("\n")
    changed = iter(
        piece if is_now == was else _encoded_like(piece, is_now)
        for piece, was, is_now in zip(pieces, decoded, masked, strict=True)
    )
    return _ENCODED.sub(lambda _: next(changed), text)


def _encoded_like(piece: str, text: str) -> str:
    plain = "".join(character for character in "!$()*+,:@[]{}|^`~" if character in piece)
    return quote(text, safe=f"*{plain}", errors="surrogatepass")


def _with_spans_masked(
    text: str, names: re.Pattern[str], span_of: Callable[[str, re.Match[str]], _Span | None]
) -> str:
    kept = []
    done = 0
    for name in names.finditer(text):
        if name.start() >= done and (span := span_of(text, name)) is not None:
            kept += [text[done : span[0]], _MASK]
            done = span[1]
    return "".join([*kept, text[done:]])


def _segment_span(text: str, name: re.Match[str]) -> _Span | None:
    """The span of the path segment behind a name, if it is a secret."""
    if not (name["name"].lower() in _SECRET_FOLLOWS or _is_secret(_words(name["name"]))):
        return None
    start, end = _span(_VALUE_IN_PATH, text, name.end())
    runs = re.findall(r"[A-Za-z0-9]{8,}", text[start:end])  # a title has words, with hyphens
    return (start, end) if any(not run.isalpha() and not run.isdigit() for run in runs) else None


def _value_span(text: str, name: re.Match[str], of_url: bool) -> _Span | None:
    """The span of the value behind a name, if it is a secret."""
    start = name.start("name")
    before = text[max(start - 1, 0) : start]
    words = _words(name["name"])
    if before == "\\":  # \n, \u0026: the escape is no part of the name
        unescaped = _words(_ESCAPE.sub("", name["name"], count=1))
        words = unescaped if _is_secret(unescaped) else words
    sign = name["sign"].strip() or " "
    is_parameter = sign[0] == "=" and (before in _BEFORE_PARAMETERS if before else of_url)
    by_value = _SECRET_BY_VALUE.get(words) if is_parameter else None
    if by_value is None and not _is_secret(words):
        return None
    if is_parameter:
        start, end = _parameter_span(text, name.end(), words, before, of_url)
        value = text[start:end]
        is_secret = by_value.fullmatch(value) if by_value else not _NO_SECRET.fullmatch(value)
        return (start, end) if is_secret or not value else None

    is_flag = name["name"].startswith("-")
    is_quoted = name["closing"] is not None
    if is_flag and (words.startswith(("no_", "ask_")) or words == "cookies"):
        return None
    if sign == "," and not (is_flag or _OPENS_PAIR.search(text, max(start - 6, 0), start)):
        return None
    is_word = sign == ":" and not is_quoted and _PLAIN_WORD.fullmatch(words)
    if is_word or _AMBIGUOUS_NAME.fullmatch(words):
        start, end = _plain_span(text, name.end())
        return (start, end) if _RANDOM.fullmatch(text, start, end) else None
    if _HEADER.fullmatch(words) and not is_flag and not is_quoted:
        return _header_span(text, name.end(), before)
    if bracket := _BRACKET.match(text, name.end()):
        return bracket.span("inside") if bracket["inside"] is not None else None
    start, end = _plain_span(text, name.end())
    value = text[start:end]
    if _NO_SECRET.fullmatch(value) or (is_flag and _PROSE.match(value)):
        return None
    return start, end


def _parameter_span(text: str, start: int, words: str, before: str, of_url: bool) -> _Span:
    """The span of a value in the path, query or fragment of a URL."""
    if before in ("/", "~") or (before == ";" and "sess" in words):
        return _span(_VALUE_IN_PATH, text, start)
    return _span(_VALUE_IN_URL, text, start) if of_url else _plain_span(text, start)


def _header_span(text: str, start: int, before: str) -> _Span:
    """The span of a header's value: a word behind the name of a scheme, or the rest of the line."""
    if _SCHEME.match(text, start):
        return _plain_span(text, start)
    start, end = _span(_REST_OF_LINE, text, start)
    if before in ("'", '"'):
        end = min(end, _closing(text, start, before))
    return start, end


def _plain_span(text: str, start: int) -> _Span:
    """The span of a value in quotes, or of one word; without the name of a scheme before it."""
    if opening := _OPENING_QUOTE.match(text, start):
        start = opening.end()
        end = _closing(text, start, opening["quote"])
        scheme = _SCHEME.match(text, start, end)
        return (scheme.end() if scheme else start), end
    scheme = _SCHEME.match(text, start)
    start, end = _span(_VALUE_IN_TEXT, text, scheme.end() if scheme else start)
    return start, start + len(text[start:end].rstrip("\"'),.:;]}>|`"))


def _span(pattern: re.Pattern[str], text: str, start: int) -> _Span:
    found = pattern.match(text, start)
    assert found is not None  # each of them matches an empty string
    return found.span()


def _closing(text: str, start: int, quote: str) -> int:
    """The place where the quote is closed, or the line ends."""
    if quote in _UP_TO_QUOTE:
        return _span(_UP_TO_QUOTE[quote], text, start)[1]
    closing = text.find(quote, start)
    end = len(text) if closing < 0 else closing
    line_end = text.find("\n", start, end)
    return end if line_end < 0 else line_end


def _words(name: str) -> str:
    """A name in lower case, with _ between its words and without brackets, signs and encoding."""
    name = name[-128:]
    for _ in range(_DEPTH if "%" in name else 0):
        name = unquote(name)
    return _SIGNS.sub("_", _HUMP.sub("_", name)).strip("_").lower()


def _is_secret(words: str) -> bool:
    return _SECRET_NAME.fullmatch(words.rstrip("0123456789_")) is not None
