"""The journal mode of a database, decided from its filesystem before the file is opened.

Trying WAL on the real file is no test: without shared memory SQLite still answers "wal", and then
locks all connections out (https://sqlite.org/wal.html, "noshm").
"""

import asyncio
import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from reelbase.engine.file.filesystem import folder_sync_refusal
from reelbase.engine.file.mounts import (
    PROC_MOUNTS,
    UNKNOWN,
    Filesystem,
    Located,
    UndetectedError,
    filesystem_of,
    locate,
)
from reelbase.engine.file.paths import file_path, real_path
from reelbase.engine.record import Record
from reelbase.engine.statements.arguments import invalid_argument

JournalMode = Literal["wal", "delete", "memory"]
JournalChoice = Literal["auto", "wal", "delete"]
Durability = Literal["balanced", "full", "normal"]
Synchronous = Literal["normal", "full", "extra"]

_MODE_NAMES: Final[dict[JournalMode, str]] = {"wal": "WAL", "delete": "a rollback journal"}

# These only serve the words of the reason: every type that is not on the local list counts as network.
_NETWORK_TYPES: Final = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre",
    "gpfs", "beegfs", "ocfs2", "gfs2", "davfs", "ncpfs",
})  # fmt: skip
_HYPERVISOR_TYPES: Final = frozenset({
    "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs", "fakeowner", "osxfs",
})  # fmt: skip
# The results of two hosts that write one database with a rollback journal, for the types where it was
# tried (smb3 is cifs under another name).
_SAFE: Final = "two hosts can share the file safely"
_CIFS: Final = (
    "two hosts cannot share the file when it is mounted with nobrl, and without nobrl SQLite"
    " answers BUSY even to a single host"
)
_KNOWN: Final = {
    "nfs4": _SAFE,
    "9p": _SAFE,
    "fuse.sshfs": "two hosts cannot share the file, because sshfs keeps locks to itself",
    "cifs": _CIFS,
    "smb3": _CIFS,
}


class JournalDecision(Record, frozen=True):
    """The journal mode and synchronous level of a database, and the reason in one sentence."""

    mode: JournalMode
    synchronous: Synchronous
    filesystem: Filesystem
    reason: str


def journal_mode_for(
    path: str | os.PathLike[str], *, mounts: str | os.PathLike[str] = PROC_MOUNTS
) -> Literal["wal", "delete"]:
    """The mode that journal="auto" gives a new file: "wal" only on a filesystem known to be local.

    Raises InvalidArgumentError for a path that names no file, and the errors of `filesystem_of`. It can
    hang as long as a dead file server does.
    """
    return "delete" if filesystem_of(file_path(path), mounts=mounts).is_network else "wal"


def decide(
    path: str | os.PathLike[str] | None,
    *,
    journal: JournalChoice = "auto",
    durability: Durability = "balanced",
    mounts: str | os.PathLike[str] = PROC_MOUNTS,
) -> JournalDecision:
    """The decision for a database at `path`.

    When the filesystem is unknown, `filesystem.is_known` is False, and the mode is the one for a new
    file: an existing file should keep its own.

    Args:
        path: the file; None: a database in memory.
        journal: "wal" or "delete" overrides the filesystem; the reason then warns on a network one.
        durability: as of connect().
        mounts: a table in the format of /proc/mounts.

    Raises:
        ValueError: an unknown `journal` or `durability`.
        OSError: the symbolic links of `path` run in a circle.
    """
    check_choices(journal, durability)
    if path is None:
        nowhere = Filesystem(mount_point="", type="memory", is_network=False)
        reason = "no journal file, because a database in memory has neither file nor mount point"
        return JournalDecision("memory", synchronous_for("memory", durability), nowhere, reason)
    try:
        found = locate(path, mounts=mounts)
    except UndetectedError as error:
        return _undetected(str(error), journal, durability)
    return _detected(found, journal, durability)


def kept(
    decision: JournalDecision, mode: Literal["wal", "delete"], durability: Durability
) -> JournalDecision:
    """The decision for a database that is opened read-only, which keeps its mode.

    Args:
        decision: the decision for a new file in its place.
        mode: the mode of the file.
        durability: as of connect().
    """
    filesystem = decision.filesystem
    place = f", {filesystem.type} at {filesystem.mount_point!r}" if filesystem.is_known else ""
    return JournalDecision(
        mode,
        synchronous_for(mode, durability),
        filesystem,
        f"{_MODE_NAMES[mode]}: the mode that it has, because it is opened read-only{place}",
    )


async def decide_off_loop(
    path: str | os.PathLike[str] | None,
    *,
    journal: JournalChoice = "auto",
    durability: Durability = "balanced",
    mounts: str | os.PathLike[str] = PROC_MOUNTS,
    timeout_seconds: float = 5.0,
) -> JournalDecision:
    """`decide`, without stalling the event loop and within `timeout_seconds`.

    A filesystem that does not answer in time counts as unknown.

    Args:
        path: as of `decide`.
        journal: as of `decide`.
        durability: as of `decide`.
        mounts: as of `decide`.
        timeout_seconds: how long to wait for the filesystem.
    """
    if path is None:
        return decide(path, journal=journal, durability=durability)
    outcome: Future[JournalDecision] = Future()
    # Running from the start: a timeout or a cancel must not cancel the side that sets the result.
    outcome.set_running_or_notify_cancel()

    def look() -> None:
        try:
            decision = decide(path, journal=journal, durability=durability, mounts=mounts)
        except BaseException as error:  # of any kind: the caller must see it
            outcome.set_exception(error)
        else:
            outcome.set_result(decision)

    # A daemon of its own: a dead file server can hold it for ever, and a thread of the loop's
    # executor would then hold up the interpreter's exit.
    threading.Thread(target=look, name="reelbase-journal", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.wrap_future(outcome), timeout_seconds)
    except TimeoutError:
        problem = f"that of {os.fspath(path)!r} did not answer within {timeout_seconds:g} s"
        return _undetected(problem, journal, durability)


def synchronous_for(mode: JournalMode, durability: Durability) -> Synchronous:
    """The strongest `PRAGMA synchronous` that commits need under this journal and durability.

    A rollback journal always takes "extra": its unlink is the commit, and with less the folder is
    not synced, so that a power cut takes back the last acknowledged transaction.
    """
    if mode == "delete":
        return "extra"
    return "normal" if durability == "normal" else "full"


def relaxed_synchronous_for(decision: JournalDecision, durability: Durability) -> Synchronous:
    """The level for commits of relaxed statements only, which a power cut may take back."""
    is_balanced = durability == "balanced" and decision.mode != "delete"
    return "normal" if is_balanced else decision.synchronous


def without_shared_memory(decision: JournalDecision, path: Path) -> JournalDecision:
    """The decision for a local filesystem that turned out to have no shared memory."""
    place = _placed(decision.filesystem)
    reason = f"{_MODE_NAMES['delete']}: {place}, but offers no shared memory, which WAL needs"
    mode: JournalMode = "delete"
    fallen_back = JournalDecision(mode, "extra", decision.filesystem, reason)
    return as_far_as_folder_syncs(fallen_back, path)


def as_far_as_folder_syncs(decision: JournalDecision, path: Path) -> JournalDecision:
    """The decision, with synchronous "full" instead of "extra" if the database's folder cannot be synced.

    With "extra" every commit would fail there with SQLITE_IOERR_DIR_FSYNC, and be stored all the same:
    vboxsf, and some FUSE programs. Asks the filesystem.
    """
    if decision.synchronous != "extra":
        return decision
    refusal = folder_sync_refusal(real_path(path).parent)
    if refusal is None:
        return decision
    reason = (
        f"{decision.reason}; its folder cannot be synced ({refusal}), so that a power cut may take back"
        " the last commit"
    )
    return msgspec.structs.replace(decision, synchronous="full", reason=reason)


def check_choices(journal: str, durability: str) -> None:
    """Raises InvalidArgumentError for an option of connect() that is none of its values."""
    for name, value, choices in (
        ("journal", journal, get_args(JournalChoice)),
        ("durability", durability, get_args(Durability)),
    ):
        if value not in choices:
            raise invalid_argument(name, f"must be one of {', '.join(choices)}, not {value!r}")


def _detected(found: Located, journal: JournalChoice, durability: Durability) -> JournalDecision:
    filesystem = found.filesystem
    mode: Literal["wal", "delete"]
    if journal == "auto":
        mode = "delete" if filesystem.is_network else "wal"
        asked = ""
    else:
        mode = journal
        asked = f" as asked for by journal={journal!r}"
    reason = f"{_MODE_NAMES[mode]}{asked}: {_placed(filesystem)} (says {found.source})"
    if filesystem.is_network and mode == "wal":
        reason += (
            "; WARNING: WAL needs shared memory that hosts and guests do not share, so a second one"
            " can corrupt the database"
        )
    elif filesystem.type in _KNOWN:
        reason += f"; {_KNOWN[filesystem.type]}"
    return JournalDecision(mode, synchronous_for(mode, durability), filesystem, reason)


def _undetected(problem: str, journal: JournalChoice, durability: Durability) -> JournalDecision:
    if journal == "auto":
        mode: Literal["wal", "delete"] = "delete"
        what = "a rollback journal for a new file, the mode it has for an existing one"
    else:
        mode = journal
        what = f"{_MODE_NAMES[mode]} as asked for by journal={journal!r}"
    reason = f"{what}: type and mount point of the filesystem are unknown, because {problem}"
    return JournalDecision(mode, synchronous_for(mode, durability), UNKNOWN, reason)


def described(filesystem: Filesystem) -> str:
    """The filesystem's type, mount point and kind, and the known facts about its locks."""
    known = f"; {_KNOWN[filesystem.type]}" if filesystem.type in _KNOWN else ""
    return _placed(filesystem) + known


def _placed(filesystem: Filesystem) -> str:
    # repr, because a mount point may hold line breaks and bytes that no log can print.
    return f"{filesystem.type} at {filesystem.mount_point!r} {_kind(filesystem)}"


def _kind(filesystem: Filesystem) -> str:
    name = filesystem.type
    if not filesystem.is_network:
        return "is a local filesystem"
    if name in _NETWORK_TYPES:
        return "is a network or cluster filesystem"
    if name in _HYPERVISOR_TYPES:
        return "is shared by a hypervisor with its host"
    if name in {"fuse", "fuseblk"} or name.startswith("fuse."):
        return "is served by a FUSE program"
    return "is not on the list of local filesystems and counts as network"
