"""How each mount of the lane is made, on the machine itself or inside user-mode Linux.

Every maker takes an empty folder, yields the folder that a database belongs into, and takes the mount
away whatever happened. Needs nothing but the standard library: it also runs as the first process of
another kernel.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

_START_SECONDS = 20.0

Maker = Callable[[Path], contextlib.AbstractContextManager[Path]]


class MissingError(RuntimeError):
    """The running kernel does not have what was asked for."""


class Kind(NamedTuple):
    """A mount of the lane, and what must be found out about it.

    point: the mount point relative to the maker's folder, where it is not the folder that is made.
    """

    type: str
    is_network: bool
    make: Maker
    needs: tuple[str, ...] = ()
    point: str | None = None


class Server(NamedTuple):
    """A process without which the mount does not answer."""

    process: subprocess.Popen[bytes]

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def run(*command: str | Path) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        kind = MissingError if "unknown filesystem type" in output else RuntimeError
        raise kind(f"{' '.join(map(str, command))}: {output}")


@contextlib.contextmanager
def mounted(point: Path, *command: str | Path) -> Iterator[Path]:
    """What `mount command… point` mounts."""
    point.mkdir(exist_ok=True)
    run("mount", *command, point)
    with unmounting(point):
        yield point


@contextlib.contextmanager
def unmounting(point: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", point], capture_output=True, check=False)


@contextlib.contextmanager
def serving(*command: str | Path, log: Path) -> Iterator[Server]:
    """A program in the foreground, for as long as it is needed."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Server(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(is_ready: Callable[[], bool], what: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_ready():
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace") if log is not None else ""
            raise RuntimeError(f"{what} is not ready after {_START_SECONDS:g} s; {said}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- Local filesystems ----------------------------------------------------------------------------


@contextlib.contextmanager
def in_memory(base: Path, *, type: str = "tmpfs", name: str = "mnt") -> Iterator[Path]:
    with mounted(base / name, "-t", type, "none") as point:
        yield point


_EXT4 = ("mkfs.ext4", "-q", "-F")


@contextlib.contextmanager
def disk_image(base: Path, *, make: tuple[str, ...] = _EXT4, megabytes: int = 64) -> Iterator[Path]:
    """A filesystem in a file, not mounted."""
    image = base / "image"
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    run(*make, image)
    try:
        yield image
    finally:
        image.unlink()


@contextlib.contextmanager
def on_loop(base: Path, *, type: str, make: tuple[str, ...], megabytes: int = 64) -> Iterator[Path]:
    with (
        disk_image(base, make=make, megabytes=megabytes) as image,
        mounted(base / "mnt", "-t", type, "-o", "loop", image) as point,
    ):
        yield point


ext4 = partial(on_loop, type="ext4", make=_EXT4)


@contextlib.contextmanager
def overlay(base: Path) -> Iterator[Path]:
    """As in a container: what is written goes to the upper layer."""
    with in_memory(base, name="layers") as layers:
        for name in ("lower", "upper", "work"):
            (layers / name).mkdir()
        options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
        with mounted(base / "mnt", "-t", "overlay", "-o", options, "none") as point:
            yield point


@contextlib.contextmanager
def bind(base: Path, *, of: Maker, inside: str = "inner") -> Iterator[Path]:
    """A folder of another mount, seen at a second place: docker -v folder:/config."""
    (base / "source").mkdir()
    with of(base / "source") as source:
        (source / inside).mkdir()
        with mounted(base / "bound", "--bind", source / inside) as point:
            yield point


@contextlib.contextmanager
def bound_file(source: Path, target: Path) -> Iterator[None]:
    """docker -v file:file. Both exist."""
    run("mount", "--bind", source, target)
    with unmounting(target):
        yield


# --- One mount in the way of another --------------------------------------------------------------


@contextlib.contextmanager
def over(base: Path, *, upper: Maker, lower: Maker) -> Iterator[Path]:
    """Two mounts on one point: the later hides the earlier."""
    with lower(base), upper(base) as point:
        yield point


@contextlib.contextmanager
def hidden(base: Path, *, by: Maker, below: Maker) -> Iterator[Path]:
    """A mount whose parent folder another one covers: the longest match would find the wrong one."""
    (base / "mnt" / "mnt").mkdir(parents=True)
    with below(base / "mnt"), by(base) as cover:
        (cover / "mnt").mkdir()
        yield cover / "mnt"


# --- FUSE -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def passthrough(base: Path, *, options: str, name: str = "mnt") -> Iterator[Path]:
    """A folder shown through FUSE; options: subtype=… makes it say fuse.…"""
    with passthrough_server(base, options=options, name=name) as (point, _):
        yield point


@contextlib.contextmanager
def passthrough_server(
    base: Path, *, options: str, name: str = "mnt"
) -> Iterator[tuple[Path, Server]]:
    source, point = base / "shown", base / name
    source.mkdir(exist_ok=True)
    point.mkdir(exist_ok=True)
    log = base / "passthrough.log"
    before = os.stat(point).st_dev
    # Locks stay with the kernel: bindfs would pass them on as those of one process.
    command = ("bindfs", "-f", "--multithreaded", "-o", f"nonempty,{options}")
    with unmounting(point), serving(*command, source, point, log=log) as server:
        wait_until(lambda: os.stat(point).st_dev != before, "bindfs", log)
        yield point, server


@contextlib.contextmanager
def mergerfs(base: Path, *, options: str) -> Iterator[Path]:
    """The union of two folders."""
    for name in ("one", "two", "mnt"):
        (base / name).mkdir()
    run("mergerfs", "-o", options, f"{base}/one:{base}/two", base / "mnt")
    with unmounting(base / "mnt"):
        yield base / "mnt"


@contextlib.contextmanager
def sshfs(base: Path, *, options: str = "") -> Iterator[Path]:
    """A folder of this machine by SFTP over the loopback."""
    with sshd(base) as connect, connect(base / "mnt", options) as (point, _):
        yield point


Connect = Callable[[Path, str], contextlib.AbstractContextManager[tuple[Path, Server]]]


@contextlib.contextmanager
def sshd(base: Path) -> Iterator[Connect]:
    """A server of its own key, port and configuration; gives what mounts its folder at a point."""
    shown, log, port = base / "shown", base / "sshd.log", free_port()
    shown.mkdir()
    key, config = base / "key", base / "sshd_config"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    shutil.copy(base / "key.pub", base / "authorized_keys")
    Path("/run/sshd").mkdir(exist_ok=True)
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {key}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {base}/authorized_keys\nStrictModes no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )

    @contextlib.contextmanager
    def connect(point: Path, options: str = "") -> Iterator[tuple[Path, Server]]:
        point.mkdir(exist_ok=True)
        before = os.stat(point).st_dev
        settings = (
            f"IdentityFile={key},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,port={port}"
        )
        command = ("sshfs", "-f", "-o", settings + options, f"127.0.0.1:{shown}", point)
        with unmounting(point), serving(*command, log=log) as server:
            wait_until(lambda: os.stat(point).st_dev != before, "sshfs", log)
            yield point, server

    with serving(shutil.which("sshd") or "sshd", "-D", "-e", "-f", config, log=log):
        wait_until(partial(listens, port), "sshd", log)
        yield connect


# --- Network filesystems, inside user-mode Linux --------------------------------------------------
# Servers and clients share its loopback. /run and /var/lib/nfs are in memory there.


@contextlib.contextmanager
def nfs_server(base: Path) -> Iterator[Path]:
    """An NFS server, version 4 only; yields the folder that it shows."""
    shown = base / "export"
    with mounted(shown, "-t", "tmpfs", "none"):
        settings = Path("/proc/fs/nfsd")
        if not (settings / "threads").exists():
            run("mount", "-t", "nfsd", "nfsd", settings)
        # No client of another life has locks to reclaim.
        for name in ("nfsv4gracetime", "nfsv4leasetime"):
            (settings / name).write_text("10")
        run("exportfs", "-o", "rw,fsid=0,no_root_squash,no_subtree_check,insecure", f"*:{shown}")
        with serving("rpc.mountd", "-F", "-N", "3", log=base / "mountd.log"):
            run("rpc.nfsd", "-N", "3", "4")
            wait_until(partial(listens, 2049), "nfsd")
            try:
                yield shown
            finally:
                run("rpc.nfsd", "0")
                run("exportfs", "-ua")


@contextlib.contextmanager
def nfs(base: Path, *, options: str = "vers=4.2") -> Iterator[Path]:
    with nfs_server(base), nfs_client(base / "mnt", options) as point:
        yield point


def nfs_client(point: Path, options: str) -> contextlib.AbstractContextManager[Path]:
    return mounted(point, "-t", "nfs4", "-o", options, "127.0.0.1:/")


_SMB_CONF = """
[global]
server role = standalone server
map to guest = bad user
guest account = root
smb ports = 445
disable spoolss = yes
load printers = no
log file = {base}/smbd.log
private dir = {base}/samba
lock directory = {base}/samba
state directory = {base}/samba
cache directory = {base}/samba
pid directory = {base}/samba
ncalrpc dir = {base}/samba/ncalrpc
[films]
path = {base}/export
read only = no
guest ok = yes
force user = root
"""


@contextlib.contextmanager
def smb_server(base: Path) -> Iterator[Path]:
    for name in ("export", "samba"):
        (base / name).mkdir()
    with (
        mounted(base / "samba", "-t", "tmpfs", "none"),
        mounted(base / "export", "-t", "tmpfs", "none") as shown,
    ):
        (base / "smb.conf").write_text(_SMB_CONF.format(base=base))
        command = ("smbd", "-F", "--no-process-group", "-s", base / "smb.conf")
        with serving(*command, log=base / "smbd.out"):
            wait_until(partial(listens, 445), "smbd", base / "smbd.out")
            yield shown


@contextlib.contextmanager
def cifs(base: Path, *, options: str = "nobrl", type: str = "cifs") -> Iterator[Path]:
    with smb_server(base), cifs_client(base / "mnt", options, type) as point:
        yield point


def cifs_client(
    point: Path, options: str, type: str = "cifs"
) -> contextlib.AbstractContextManager[Path]:
    settings = f"ip=127.0.0.1,user=nobody,pass=,sec=none,vers=3.1.1,{options}"
    return mounted(point, "-i", "-t", type, "-o", settings, "//127.0.0.1/films")


@contextlib.contextmanager
def plan9_server(base: Path) -> Iterator[int]:
    """Yields its port."""
    port, log = free_port(), base / "diod.log"
    with mounted(base / "export", "-t", "tmpfs", "none") as shown:
        command = ("diod", "-f", "-n", "-l", f"127.0.0.1:{port}", "-e", shown, "-c", "/dev/null")
        with serving(*command, log=log):
            wait_until(partial(listens, port), "diod", log)
            yield port


@contextlib.contextmanager
def plan9(base: Path, *, options: str = "cache=none") -> Iterator[Path]:
    with plan9_server(base) as port, plan9_client(base / "mnt", port, options) as point:
        yield point


def plan9_client(point: Path, port: int, options: str) -> contextlib.AbstractContextManager[Path]:
    name = point.parent / "export"
    settings = (
        f"trans=tcp,port={port},version=9p2000.L,uname=root,access=any,aname={name},{options}"
    )
    return mounted(point, "-i", "-t", "9p", "-o", settings, "127.0.0.1")


@contextlib.contextmanager
def of_the_host(base: Path) -> Iterator[Path]:
    """A folder of the machine that runs the kernel."""
    (base / "shown").mkdir()
    with mounted(base / "mnt", "-t", "hostfs", "-o", str(base / "shown"), "none") as point:
        yield point


# --- The tables -----------------------------------------------------------------------------------

NFS = ("rpc.nfsd", "mount.nfs4")
SMB = ("smbd",)
PLAN9 = ("diod",)
_SSH = ("sshfs", "sshd", "ssh-keygen")
_FUSE = partial(passthrough, options="subtype=mergerfs")


def _disk(type: str, *make: str, megabytes: int = 64) -> Kind:
    maker = partial(on_loop, type=type, make=make, megabytes=megabytes)
    return Kind(type, False, maker, (make[0],))


HERE: dict[str, Kind] = {
    "ext4": _disk("ext4", "mkfs.ext4", "-q", "-F"),
    "ext2": _disk("ext2", "mkfs.ext2", "-q", "-F"),
    "xfs": _disk("xfs", "mkfs.xfs", "-q", megabytes=320),
    "btrfs": _disk("btrfs", "mkfs.btrfs", "-q", megabytes=128),
    "tmpfs": Kind("tmpfs", False, in_memory),
    "ramfs": Kind("ramfs", False, partial(in_memory, type="ramfs")),
    "overlay": Kind("overlay", False, overlay),
    "bind of ext4": Kind("ext4", False, partial(bind, of=ext4)),
    "bind of fuse": Kind("fuse.mergerfs", True, partial(bind, of=_FUSE), ("bindfs",)),
    "odd name": Kind("tmpfs", False, partial(in_memory, name="my \\040 nas\n#1 \t'é\u3000")),
    "odd name of fuse": Kind(
        "fuse.x",
        True,
        partial(passthrough, options="subtype=x", name="my \\040 nas\n#1 é"),
        ("bindfs",),
    ),
    "tmpfs over fuse": Kind(
        "tmpfs", False, partial(over, upper=in_memory, lower=_FUSE), ("bindfs",)
    ),
    "fuse over tmpfs": Kind(
        "fuse.mergerfs", True, partial(over, upper=_FUSE, lower=in_memory), ("bindfs",)
    ),
    "tmpfs hides fuse": Kind(
        "tmpfs", False, partial(hidden, by=in_memory, below=_FUSE), ("bindfs",), "mnt"
    ),
    "fuse hides tmpfs": Kind(
        "fuse.mergerfs", True, partial(hidden, by=_FUSE, below=in_memory), ("bindfs",), "mnt"
    ),
    "fuse.rclone": Kind(
        "fuse.rclone", True, partial(passthrough, options="subtype=rclone"), ("bindfs",)
    ),
    "fuse without shared memory": Kind(
        "fuse.x", True, partial(passthrough, options="subtype=x,direct_io"), ("bindfs",)
    ),
    "mergerfs": Kind(
        "fuse.mergerfs", True, partial(mergerfs, options="cache.files=partial"), ("mergerfs",)
    ),
    "mergerfs without cache": Kind(
        "fuse.mergerfs", True, partial(mergerfs, options="cache.files=off"), ("mergerfs",)
    ),
    "ntfs-3g": Kind(
        "fuseblk",
        True,
        partial(on_loop, type="ntfs-3g", make=("mkfs.ntfs", "-q", "-F")),
        ("mkfs.ntfs",),
    ),
    "sshfs": Kind("fuse.sshfs", True, sshfs, _SSH),
    "sshfs without shared memory": Kind(
        "fuse.sshfs", True, partial(sshfs, options=",direct_io"), _SSH
    ),
}

# What the running kernel need not offer, but that of user-mode Linux does.
GUEST: dict[str, Kind] = {
    "nfs4": Kind("nfs4", True, nfs, NFS),
    "cifs nobrl": Kind("cifs", True, cifs, SMB),
    "smb3 nobrl": Kind("smb3", True, partial(cifs, type="smb3"), SMB),
    "9p": Kind("9p", True, plan9, PLAN9),
    "9p with mmap": Kind("9p", True, partial(plan9, options="cache=mmap"), PLAN9),
    "hostfs": Kind("hostfs", True, of_the_host),
    "f2fs": _disk("f2fs", "mkfs.f2fs", "-q", megabytes=128),
    "nilfs2": _disk("nilfs2", "mkfs.nilfs2", "-q", megabytes=160),
    "jfs": _disk("jfs", "mkfs.jfs", "-q"),
}
