"""Subtitles of the demo: what players read is read, and what is none says so and breaks nothing."""

from __future__ import annotations

import random
import time

import pytest

from reelbase import NewSegment
from reelbase.cli.demo.subtitles import SubtitleError, has_cues, read_cues

SRT = """1
00:00:01,000 --> 00:00:02,500
Hello there.

2
00:00:03,000 --> 00:00:04,000
Two
lines.
"""

CUES = [NewSegment(1.0, 2.5, "Hello there."), NewSegment(3.0, 4.0, "Two lines.")]


@pytest.mark.parametrize(
    "content",
    [
        SRT.encode(),
        SRT.encode("utf-8-sig"),
        SRT.encode("utf-16"),
        b"\xfe\xff" + SRT.encode("utf-16-be"),
        SRT.replace("\n", "\r\n").encode(),
        SRT.replace("\n", "\r").encode(),
        SRT.replace("\n", "\r\r\n").encode(),
        SRT.replace("\n\n", "\n").encode(),
        SRT.replace("1\n00", "00").replace("2\n00", "00").encode(),
        SRT.replace("1\n00", "17\n00").replace("2\n00", "1\n00").encode(),
        SRT.replace(" --> ", "-->").encode(),
        SRT.replace(",", ".").encode(),
        SRT.replace(",000", "").replace(",500", ",5").encode(),
        SRT.replace("00:00:0", "0:0:0").encode(),
        SRT.replace("02,500", "02,500 X1:100 X2:200").encode(),
        SRT.rstrip("\n").encode(),
        ("\n\n  \n" + SRT + "\n\n\n").encode(),
        SRT.replace("Hello", "{\\an8}<i>He</i>l<font color='red'>lo</font>").encode(),
        bytearray(SRT.encode()),
    ],
)
def test_subrip_in_many_spellings(content: bytes) -> None:
    assert read_cues(content) == CUES


def test_webvtt() -> None:
    content = """\ufeffWEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE this is --
no text

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Anna>Hello <c.loud>there</c>.</v>
a < b &amp; b > c

0\u0661
01:00:03.000 --> 01:00:04.000
<00:00:03.500>42

NOTE the end
"""
    assert read_cues(content.encode()) == [
        NewSegment(1.0, 2.5, "Hello there. a < b & b > c"),
        NewSegment(3603.0, 3604.0, "42"),
    ]


@pytest.mark.parametrize(
    ("timing", "times"),
    [
        ("100:00:00,000 --> 123456:00:01,250", (360_000.0, 444_441_601.25)),
        ("00:00:05,000 --> 00:00:02,000", (5.0, 5.0)),  # runs backwards
        ("00:00:05,000 --> 00:00:05,000", (5.0, 5.0)),
        ("00:75:00,000 --> 00:76:00,000", (4500.0, 4560.0)),
        ("00:00:00,123456789 --> 00:00:01,1", (0.123456789, 1.1)),
    ],
)
def test_odd_times(timing: str, times: tuple[float, float]) -> None:
    assert read_cues(f"1\n{timing}\ntext\n".encode()) == [NewSegment(*times, "text")]


def test_times_may_overlap_and_stand_in_any_order() -> None:
    content = (
        b"1\n00:00:05,000 --> 00:00:09,000\nlater\n\n2\n00:00:01,000 --> 00:00:06,000\nsooner\n"
    )
    assert read_cues(content) == [NewSegment(5.0, 9.0, "later"), NewSegment(1.0, 6.0, "sooner")]


@pytest.mark.parametrize(
    "timing",
    [
        "00:00:aa,000 --> 00:00:02,000",
        "-00:00:01,000 --> 00:00:02,000",
        "00:00:01,000 -->",
        "-->",
        "00:00:01 --> 00:00:123",
        f"{'9' * 5000}:00:01,000 --> 00:00:02,000",
    ],
)
def test_a_broken_cue_is_left_out(timing: str) -> None:
    """Its text belongs to no time, and not to the cue before it."""
    assert read_cues(f"{SRT}\n3\n{timing}\nlost\n".encode()) == CUES
    with pytest.raises(SubtitleError):
        read_cues(f"1\n{timing}\nlost\n".encode())


def test_empty_cues_are_left_out() -> None:
    content = (
        f"1\n00:00:00,000 --> 00:00:01,000\n\n2\n00:00:00,100 --> 00:00:01,000\n<i> </i>\n\n{SRT}"
    )
    assert read_cues(content.encode()) == CUES
    assert read_cues(b"1\n00:00:00,000 --> 00:00:01,000\n") == []


@pytest.mark.parametrize(
    "content", [b"", b" \r\n\n", b"WEBVTT\n", b"\xef\xbb\xbfWEBVTT\n\nNOTE a\nb"]
)
def test_without_cues(content: bytes) -> None:
    assert read_cues(content) == []


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(256)),
        b"\x89PNG\r\n\x1a\n\0\0",
        b"\0" * 1000,
        b"caf\xe9 --> th\xe9",
        b"\xff\xfe\x00\xd8",  # UTF-16 that ends inside a pair
        b"Just a text about something.\n",
        b"WEBVTT\n\nthe time --> is missing\nlost\n",
        b"[Script Info]\nDialogue: 0,0:00:01.00,0:00:02.00,,text\n",
    ],
)
def test_what_holds_no_subtitles_says_so(content: bytes) -> None:
    with pytest.raises(SubtitleError, match="subtitle"):
        read_cues(content)


def test_nul_and_references_to_characters_become_text_that_can_be_stored() -> None:
    content = b"1\n00:00:00,000 --> 00:00:01,000\na\0b &#0; &#xD800; &#x110000; &nope; <3\n"
    (cue,) = read_cues(content)
    assert cue.text == "a\ufffdb \ufffd \ufffd \ufffd &nope; <3"
    cue.text.encode()


@pytest.mark.long
@pytest.mark.parametrize(
    "line",
    [
        "word " * 400_000,
        "<i" * 1_000_000,
        "<i " * 700_000,
        "<v a" * 500_000 + ">",
        "{\\" * 1_000_000,
        "&#" * 1_000_000,
        "1:" * 1_000_000,
        "0" * 2_000_000,
        "00:00:01,000" + " " * 2_000_000 + "-->",
        "--" * 1_000_000 + ">",
    ],
    ids=lambda line: line[:6],
)
def test_huge_lines_take_no_time(line: str) -> None:
    started = time.monotonic()
    cues = read_cues(f"{SRT}\n3\n00:00:05,000 --> 00:00:06,000\n{line}\n".encode())
    assert cues[:2] == CUES
    with pytest.raises(SubtitleError):
        read_cues((line + "\n" + line).encode())
    assert time.monotonic() - started < 10


def test_any_bytes_are_read_or_refused() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    pieces = [
        b"1\n", b"\n", b"\r", b"00:00:01,000", b" --> ", b"00:00:02.5", b"WEBVTT\n", b"text ", b"\xff",
        b"<i>", b"{\\", b"\0", b"\xef\xbb\xbf", b"NOTE ", "日本".encode(), b"99:99:99,999", b"-", b":", b"9",
    ]  # fmt: skip
    for _ in range(3000):
        content = b"".join(chance.choices(pieces, k=chance.randrange(30)))
        try:
            cues = read_cues(content)
        except SubtitleError:
            continue
        for cue in cues:
            assert 0 <= cue.start_time <= cue.end_time
            assert cue.text == " ".join(cue.text.split()) != ""


@pytest.mark.parametrize(
    ("name", "answer"),
    [("a.srt", True), ("A.SRT", True), ("a.en.vtt", True), ("a.ass", False), (".srt", False)],
)
def test_which_files_have_cues(name: str, answer: bool) -> None:
    assert has_cues(name) is answer
