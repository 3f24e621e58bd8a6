"""The first process inside user-mode Linux: makes mounts, runs the checks, writes what came out.

The root filesystem is the machine's own, so interpreter, package and results are the same files.
Argument: a folder for everything; works.json in it names what to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from . import making, trouble

_MODULES = (
    "nfs nfsv4 nfsd cifs 9p 9pnet_fd loop f2fs nilfs2 veth"
    # What cifs asks for by name; there is nobody to load it then.
    " sha512_generic cmac hmac md4 md5 ecb ctr gcm ccm ghash-generic seqiv nls_utf8"
)
_POWER_OFF = 0x4321FEDC
_SUITE_SECONDS = 240


def main() -> None:
    base = sys.argv[1]  # the kernel adds words of its own behind it
    os.environ.update(
        PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        PYTHONDONTWRITEBYTECODE="1",
        HOME="/root",
        LANG="C.UTF-8",
    )
    results: dict[str, object] = {}
    try:
        prepare(Path(base))
        for number, name in enumerate(json.loads(Path(base, "works.json").read_text())):
            started = time.monotonic()
            place = Path(base, f"work-{number}")
            place.mkdir()
            try:
                result = WORKS[name].run(place)
            except Exception:
                result = {"failed": traceback.format_exc()}
            results[name] = {"result": result, "seconds": round(time.monotonic() - started, 1)}
            save(Path(base), results)
    except Exception:
        save(Path(base), {"boot": {"result": {"failed": traceback.format_exc()}, "seconds": 0}})
    finally:
        os.sync()
        ctypes.CDLL(None).reboot(_POWER_OFF)


def save(base: Path, results: dict[str, object]) -> None:
    # Complete or not at all: the machine may stop this kernel at any time.
    (base / "results.part").write_text(json.dumps(results))
    (base / "results.part").rename(base / "results.json")


def prepare(base: Path) -> None:
    """The machine's own /run and NFS state are hidden, so that nothing there is touched."""
    making.run("mount", "-t", "proc", "proc", "/proc")
    making.run("mount", "-t", "sysfs", "sysfs", "/sys")
    for folder in ("/run", "/var/lib/nfs"):
        making.run("mount", "-t", "tmpfs", "none", folder)
    for folder in ("sm", "v4recovery", "rpc_pipefs"):
        Path("/var/lib/nfs", folder).mkdir()
    for file in ("etab", "rmtab", "state"):
        Path("/var/lib/nfs", file).touch()
    socket.sethostname("guest")
    making.run("ip", "link", "set", "lo", "up")
    for module in _MODULES.split():
        # What is built in or left out is no error here; the mount that lacks it will say so.
        subprocess.run(["modprobe", "-q", "-d", base / "root", module], check=False)


def suite(kind: making.Kind, place: Path) -> object:
    with kind.make(place) as folder, making.in_memory(place, name="scratch") as scratch:
        network = "network" if kind.is_network else "local"
        return probe("suite", folder, folder, kind.type, network, scratch)


def probe(command: str, *arguments: str | Path) -> object:
    done = subprocess.run(
        [sys.executable, trouble.PROBE, command, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_SUITE_SECONDS,
    )
    with contextlib.suppress(ValueError, IndexError):
        return json.loads(done.stdout.splitlines()[-1])
    return {"failed": (done.stdout + done.stderr).decode(errors="replace")}


def two_hosts_by_nfs(place: Path) -> object:
    """The second client has a network and a host name of its own."""
    making.run("ip", "netns", "add", "other")
    making.run(
        "ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", "other"
    )
    making.run("ip", "address", "add", "10.99.0.1/24", "dev", "here")
    making.run("ip", "link", "set", "here", "up")
    inside = ("nsenter", "--net=/run/netns/other", "unshare", "--uts", "sh", "-ec")
    making.run(*inside, "ip address add 10.99.0.2/24 dev there; ip link set there up")
    other = place / "other"
    other.mkdir()
    mount = f"hostname other; mount -t nfs4 -o vers=4.2 10.99.0.1:/ {other}"
    with making.nfs_server(place), making.nfs_client(place / "mnt", "vers=4.2") as point:
        making.run(*inside, mount)
        with making.unmounting(other):
            return probe("hosts", point, other)


def two_hosts_by_9p(place: Path) -> object:
    with (
        making.plan9_server(place) as port,
        making.plan9_client(place / "mnt", port, "cache=none") as point,
        making.plan9_client(place / "other", port, "cache=none") as other,
    ):
        return probe("hosts", point, other)


def two_hosts_by_cifs(place: Path) -> object:
    with (
        making.smb_server(place),
        making.cifs_client(place / "mnt", "nobrl,nosharesock") as point,
        making.cifs_client(place / "other", "nobrl,nosharesock") as other,
    ):
        return probe("hosts", point, other)


def alone_on_cifs_with_locks(place: Path) -> object:
    with making.cifs(place, options="brl") as folder:
        return probe("alone", folder)


def cut_the_line() -> None:
    making.run("ip", "link", "set", "lo", "down")


def mend_the_line() -> None:
    making.run("ip", "link", "set", "lo", "up")


def nfs_hangs(place: Path) -> object:
    with making.nfs(place) as folder:
        return trouble.hang(folder / "media.db", pause=cut_the_line, resume=mend_the_line)


def soft_nfs_drops(place: Path) -> object:
    with making.nfs(place, options="vers=4.2,soft,timeo=5,retrans=1") as folder:
        return trouble.drop(folder / "media.db", gone=cut_the_line, back=mend_the_line)


class Work(NamedTuple):
    run: Callable[[Path], object]
    needs: tuple[str, ...]


WORKS = {name: Work(partial(suite, kind), kind.needs) for name, kind in making.GUEST.items()} | {
    "two hosts by nfs4": Work(two_hosts_by_nfs, making.NFS),
    "two hosts by 9p": Work(two_hosts_by_9p, making.PLAN9),
    "two hosts by cifs nobrl": Work(two_hosts_by_cifs, making.SMB),
    "alone on cifs with locks": Work(alone_on_cifs_with_locks, making.SMB),
    "nfs4 hangs": Work(nfs_hangs, making.NFS),
    "soft nfs4 drops": Work(soft_nfs_drops, making.NFS),
}

if __name__ == "__main__":
    main()
