"""exec, attach and port-forward: sessions into what runs."""

from __future__ import annotations

import asyncio
import os

import pytest

from sampan.host.containers import RuntimeFailure
from tests.host.lab import DEADLINE, Lab, container, read

pytestmark = pytest.mark.kernel
SLEEP = "while :; do sleep 1000 & wait $!; done"


async def everything(session: object) -> dict[int, bytes]:
    found = {1: b"", 2: b""}
    async with asyncio.timeout(DEADLINE):
        async for number, chunk in session.output():  # type: ignore[attr-defined]
            found[number] += chunk
    return found


async def test_exec_with_pipes(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    session = await lab.runtime.exec(id, ["sh", "-c", "read a; echo $a; cat >&2; exit 9"], tty=False, stdin=True)
    await session.write_stdin(b"first\nsecond\n")
    await session.close_stdin()
    assert await everything(session) == {1: b"first\n", 2: b"second\n"}
    assert await session.wait() == 9
    await session.close()
    await session.close()


async def test_exec_without_stdin_reads_nothing(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    result = await lab.runtime.run(id, ["cat"], 20)
    assert (result.code, result.stdout) == (0, b"")


async def test_exec_moves_much(lab: Lab) -> None:
    """More than every pipe's buffer, both ways: back-pressure and no loss."""
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    session = await lab.runtime.exec(id, ["cat"], tty=False, stdin=True)
    data = os.urandom(3 << 20)

    async def feed() -> None:
        await session.write_stdin(data)
        await session.close_stdin()

    output, _ = await asyncio.gather(everything(session), feed())
    assert output[1] == data
    await session.close()


async def test_exec_with_terminal(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    session = await lab.runtime.exec(id, ["sh"], tty=True, stdin=True)
    await session.resize(101, 37)
    await session.write_stdin(
        b"until [ \"$(stty size)\" = '37 101' ]; do sleep 0.01; done; tty; stty size; echo $TERM\n"
    )
    text = await read(session, b"xterm\r\n")
    assert b"/dev/pts/" in text and b"37 101\r\n" in text
    await session.resize(80, 24)
    await session.write_stdin(b"until [ \"$(stty size)\" = '24 80' ]; do sleep 0.01; done; echo resiz''ed\n")
    await read(session, b"resized\r\n")
    await session.write_stdin(b"exit 5\n")
    assert await session.wait() == 5
    await session.close()


async def test_terminal_end_of_input(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    session = await lab.runtime.exec(id, ["sh", "-c", "echo up; cat; exit 4"], tty=True, stdin=True)
    await read(session, b"up")
    await session.close_stdin()
    assert await session.wait() == 4
    await session.close()


async def test_interrupt_on_the_terminal(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    session = await lab.runtime.exec(id, ["sh", "-c", "echo up; sleep 1000"], tty=True, stdin=True)
    await read(session, b"up")
    await session.write_stdin(b"\x03")
    assert await session.wait() == 130
    await session.close()


async def test_closing_kills_the_command(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    session = await lab.runtime.exec(id, ["sh", "-c", "sleep 987 & echo up; sleep 987"], tty=False, stdin=False)
    await read(session, b"up\n")
    await session.close()
    assert await session.wait() == 137
    listing = await lab.runtime.run(id, ["ps", "-o", "args"], 20)
    assert b"987" not in listing.stdout
    assert [name for name in os.listdir(lab.runtime.engine.layout.bundle(id)) if name.startswith("exec-")] == []


async def test_closing_while_somebody_reads(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    for tty in (False, True):
        session = await lab.runtime.exec(id, ["sleep", "1000"], tty=tty, stdin=True)
        reader = asyncio.create_task(everything(session))
        await asyncio.sleep(0)
        await session.close()
        assert (await reader)[2] == b""


async def test_timeout_kills_the_command(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    with pytest.raises(TimeoutError):
        await lab.runtime.run(id, ["sleep", "987"], 0.2)
    listing = await lab.runtime.run(id, ["ps", "-o", "args"], 20)
    assert b"987" not in listing.stdout


async def test_exec_that_cannot(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    with pytest.raises(RuntimeFailure, match=r"/absent.*no such file or directory") as raised:
        await lab.runtime.run(id, ["/absent"], 20)
    assert raised.value.reason == "ExecFailed"
    with pytest.raises(RuntimeFailure, match=r"/absent.*no such file or directory"):
        await lab.runtime.exec(id, ["/absent"], tty=True, stdin=True)
    session = await lab.runtime.exec(id, ["/absent"], tty=False, stdin=True)
    said = (await everything(session))[2]
    assert said.startswith(b"exec failed: ") and b'"/absent": stat /absent: no such file or directory' in said
    assert await session.wait() == 126
    await session.close()
    with pytest.raises(RuntimeFailure, match="no command"):
        await lab.runtime.run(id, [], 20)
    await lab.runtime.stop_container(id, 0)
    with pytest.raises(RuntimeFailure, match="is not running"):
        await lab.runtime.run(id, ["true"], 20)
    with pytest.raises(RuntimeFailure, match="not found"):
        await lab.runtime.exec("nowhere", ["true"], tty=False, stdin=False)


async def test_exec_is_like_the_container(lab: Lab) -> None:
    """User, groups, environment, directory and confinement are the container's."""
    from tests.host.lab import security

    pod = await lab.run_sandbox()
    id = await lab.start(
        pod, SLEEP, security=security(username="web", no_new_privileges=True), env=(("A", "b"),), working_dir="/data"
    )
    result = await lab.runtime.run(
        id, ["sh", "-c", "id -u; id -G; echo $A; pwd; grep -E 'Seccomp:|NoNewPrivs' /proc/self/status"], 20
    )
    assert result.stdout.split() == b"1000 1001 2000 b /data NoNewPrivs: 1 Seccomp: 2".split()


async def test_attach(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "while read a; do echo got $a; echo not $a >&2; done; echo end; exit 3", stdin=True)
    first, second = await lab.runtime.attach(id), await lab.runtime.attach(id)
    await first.write_stdin(b"one\n")
    await read(first, b"not one\n")
    await read(second, b"not one\n")
    await second.close()
    await first.write_stdin(b"two\n")
    await read(first, b"not two\n")
    await first.close()
    third = await lab.runtime.attach(id)
    await third.write_stdin(b"three\n")
    await read(third, b"not three\n")
    await lab.runtime.stop_container(id, 0)
    assert await third.wait() == 137
    await third.close()
    ended = await lab.runtime.container(id)
    log = lab.log(pod, ended.config)
    assert [word in log for word in ("got one", "got two", "not three")] == [True] * 3


async def test_attach_stdin_once(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "cat; echo end; exit 3", stdin=True, stdin_once=True)
    session = await lab.runtime.attach(id)
    await session.write_stdin(b"all\n")
    await session.close_stdin()
    output = await everything(session)
    assert output[1] == b"all\nend\n"
    assert await session.wait() == 3
    await session.close()


async def test_attach_to_a_terminal(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "", command=("/bin/sh",), stdin=True, tty=True)
    session = await lab.runtime.attach(id)
    await session.resize(90, 30)
    await session.write_stdin(b"until [ \"$(stty size)\" = '30 90' ]; do sleep 0.01; done; tty; echo o''k\n")
    text = await read(session, b"ok\r\n")
    assert b"/dev/pts/0" in text
    await session.write_stdin(b"exit 8\n")
    assert await session.wait() == 8
    await session.close()


async def test_closing_an_attachment_while_somebody_reads(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    session = await lab.runtime.attach(id)
    reader = asyncio.create_task(everything(session))
    await asyncio.sleep(0)
    await session.close()
    assert await reader == {1: b"", 2: b""}
    assert (await lab.runtime.container(id)).state == "running"


async def test_attach_to_what_has_ended(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "exit 0")
    await lab.exited(id)
    with pytest.raises(RuntimeFailure, match="is not running"):
        await lab.runtime.attach(id)


async def test_port_forward(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www")
    up = "until wget -q -O /dev/null http://127.0.0.1:8080/; do sleep 0.01; done"
    assert (await lab.runtime.run(id, ["sh", "-c", up], 20)).code == 0
    connection = await lab.runtime.connect(pod.id, 8080)
    await connection.write(b"GET / HTTP/1.0\r\n\r\n")
    text = b""
    while chunk := await connection.read():
        text += chunk
    connection.close()
    assert text.endswith(b"hello\n")
    with pytest.raises(RuntimeFailure, match="failed to connect to localhost:8081 inside the pod: connection refused"):
        await lab.runtime.connect(pod.id, 8081)
    with pytest.raises(RuntimeFailure, match="not found"):
        await lab.runtime.connect("nowhere", 8080)


async def test_log_is_reopened(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "echo one; while read a; do echo $a; done", stdin=True)
    path = lab.log_path(pod, container(""))
    session = await lab.runtime.attach(id)
    await session.write_stdin(b"two\n")
    await read(session, b"two\n")
    old = path.with_suffix(".old")
    path.rename(old)
    await lab.runtime.reopen_log(id)
    while not path.exists():
        await session.write_stdin(b"tick\n")
        await read(session, b"tick\n")
    await session.write_stdin(b"three\n")
    await read(session, b"three\n")
    await session.close()
    await lab.runtime.stop_container(id, 0)
    assert "two" in old.read_text() and "three" not in old.read_text()
    assert "three" in path.read_text() and "two" not in path.read_text()
