"""One writer at a time: a lock is exclusive, names its holder, ends with its process, and a stale one is taken over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from twm_core import locking
from twm_core.errors import BusyError, TwmError
from twm_core.locking import run_lock, store_lock, write_lock

HOLD = "import sys, time; from pathlib import Path; from twm_core.locking import write_lock\n"
HOLD += "with write_lock(Path(sys.argv[1]), 'store X.twm'):\n    print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process  # type: ignore[misc]
    process.kill()
    process.communicate()


def take(file: Path) -> None:
    with write_lock(file, "store X.twm"):
        pass


def test_the_lock_is_exclusive_names_its_holder_and_is_free_afterwards(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(BusyError) as caught:
        take(tmp_path / ".lock")
    assert caught.value.message == f"store X.twm is being written by process {holder.pid} on host {socket.gethostname()}"
    holder.communicate("")  # ends it, which is what the hint names
    take(tmp_path / ".lock")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, holder: subprocess.Popen[str], number: int) -> None:
    holder.send_signal(number)
    holder.wait()
    assert json.loads((tmp_path / ".lock").read_text())["process"] == holder.pid
    take(tmp_path / ".lock")
    assert not list(tmp_path.iterdir())


def test_a_stopped_process_keeps_its_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(BusyError):
        take(tmp_path / ".lock")


FORK = """
    import os
    ready, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(say, b"x")  # fork has returned in the child
        time.sleep(600)
    os.read(ready, 1)
    print(child, flush=True)
    os._exit(0)
"""


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """As the processes of a loader, which may live on for a while after a kill."""
    code = HOLD.replace("print('held', flush=True); sys.stdin.read()", FORK)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / ".lock")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.wait()
    try:
        os.kill(child, 0)
        take(tmp_path / ".lock")
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def other_host(file: Path, beats: int = 3) -> None:
    file.write_text(json.dumps({"host": "another-host", "process": 1, "token": "abc", "beats": beats}))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "BEAT", 0.05)


@pytest.mark.usefixtures("quick")
def test_the_lock_of_another_host_that_has_ended_is_taken_over(tmp_path: Path) -> None:
    other_host(tmp_path / ".lock")
    take(tmp_path / ".lock")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kernel", [True, False])
def test_the_lock_of_another_host_that_goes_on_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool) -> None:
    """As on a file system whose locks hold on each host separately, or that has none."""
    monkeypatch.setattr(locking, "_flock", lambda handle: kernel)
    file = tmp_path / ".lock"
    other_host(file)
    stop = threading.Event()

    def beat() -> None:
        beats = 3
        while not stop.wait(0.02):
            beats += 1
            other_host(file, beats)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(BusyError, match="process 1 on host another-host"):
            take(file)
    finally:
        stop.set()
        thread.join()


def test_without_locks_of_the_kernel_a_holder_on_this_host_is_respected_until_its_process_ends(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "_flock", lambda handle: False)
    with pytest.raises(BusyError, match=f"process {holder.pid}"):
        take(tmp_path / ".lock")
    holder.kill()
    holder.wait()
    take(tmp_path / ".lock")


def test_of_two_that_begin_together_without_locks_of_the_kernel_at_most_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "_flock", lambda handle: False)
    gate, ended, inside, refused = threading.Barrier(2), threading.Barrier(2), [], []

    def one(number: int) -> None:
        gate.wait()
        try:
            with write_lock(tmp_path / ".lock", "run R"):
                inside.append(number)
                ended.wait()
        except BusyError:
            refused.append(number)
            ended.wait()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) <= 1
    assert len(inside) + len(refused) == 2


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"host": 5, "process": "x"}', "[" * 3000])
def test_a_lock_file_that_names_nobody_is_taken_over(tmp_path: Path, text: str, quick: None) -> None:
    (tmp_path / ".lock").write_text(text)
    take(tmp_path / ".lock")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("of the user")
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TwmError, match="cannot lock store"):
        take(tmp_path / ".lock")
    assert (tmp_path / "elsewhere").read_text() == "of the user"


@pytest.mark.parametrize("path", [Path("X.twm"), Path("a") / "X.twm", Path("/a/X.twm")])
def test_the_lock_of_a_store_is_the_same_from_every_folder(path: Path) -> None:
    assert store_lock(path) == path.absolute().parent / ".X.twm.lock"
    assert run_lock(path) == path / ".lock"


def test_a_lock_is_freed_when_its_block_fails(tmp_path: Path) -> None:
    def work(fail: Callable[[], None]) -> None:
        with write_lock(tmp_path / ".lock", "run R"):
            fail()

    with pytest.raises(ZeroDivisionError):
        work(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    take(tmp_path / ".lock")
