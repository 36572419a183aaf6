"""RUN in real containers: what it sees, what of it stays, and what becomes of failures."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.images.build.errors import BuildError, DockerfileError, StepFailed
from sampan.images.build.request import Secret
from tests.images_build.lab import BASE, FROM, Lab

pytestmark = pytest.mark.kernel


async def test_what_a_command_changes_becomes_a_layer(lab: Lab) -> None:
    made = await lab.build(FROM + "RUN echo hello > /data/file && mkdir /new && rm /bin/wget && chmod 4755 /bin/env\n")
    assert made.read("data/file") == "hello\n"
    assert made.status("new").st_mode == stat.S_IFDIR | 0o755
    gone = made.status("bin/wget")
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    names = {str(path.relative_to(made.top)) for path in made.top.rglob("*")}
    assert names == {"data", "data/file", "new", "bin", "bin/wget", "bin/busybox"}, "chmod follows the link"


async def test_nothing_of_the_container_s_own_stays(lab: Lab) -> None:
    made = await lab.build(FROM + "RUN ls /proc/self /sys /dev /etc/resolv.conf /etc/hosts > /dev/null\n")
    assert len(made.layers) == 1
    made = await lab.build("FROM scratch\nCOPY --from=sampan.test/busybox:1 /bin /bin\nRUN echo > /x\n")
    assert sorted(os.listdir(made.top)) == ["x"]


async def test_deleted_and_replaced_directories(lab: Lab) -> None:
    made = await lab.build(
        FROM
        + "RUN mkdir -p /d/a /d/b && echo 1 > /d/a/x && echo 2 > /d/b/y\nRUN rm -r /d && mkdir /d && echo 3 > /d/z\n"
    )
    assert os.getxattr(made.top / "d", "trusted.overlay.opaque") == b"y"
    assert sorted(os.listdir(made.top / "d")) == ["z"]


async def test_links_and_attributes(lab: Lab) -> None:
    made = await lab.build(
        FROM + "RUN cd /data && echo 1 > a && ln a b && ln -s a c && mknod p p && chown web:web a && chmod 640 a\n"
    )
    top = made.top / "data"
    assert (top / "a").stat().st_ino == (top / "b").stat().st_ino
    assert os.readlink(top / "c") == "a" and stat.S_ISFIFO((top / "p").stat().st_mode)
    status = (top / "a").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1001, 0o640)


async def test_its_surroundings(lab: Lab) -> None:
    made = await lab.build(
        FROM
        + "ARG A=1 B\nENV C=$A-x A=2\nWORKDIR /srv/app\nUSER web\nRUN pwd > /tmp/o; id -u >> /tmp/o; "
        + "echo $A,$B,$C,$HOME,$SOURCE_DATE_EPOCH,$HOSTNAME >> /tmp/o\n",
        args={"B": "given"},
    )
    assert made.read("tmp/o").splitlines() == ["/srv/app", "1000", "2,given,1-x,/tmp,315619200,build"]
    assert made.config["WorkingDir"] == "/srv/app" and made.config["User"] == "web"


async def test_the_network_is_the_host_s_unless_it_shall_not_be(lab: Lab) -> None:
    made = await lab.build(FROM + "RUN ls /sys/class/net > /data/n\nRUN --network=none ls /sys/class/net > /data/m\n")
    assert set(made.read("data/n").split()) == set(os.listdir("/sys/class/net"))
    assert made.read("data/m").split() == ["lo"]


async def test_in_the_host_s_network_it_cannot_listen_to_others(lab: Lab) -> None:
    """A pushed Dockerfile would hear what all pods of the node say."""
    for option, heard in (("", False), ("--network=none ", True)):
        made = await lab.build(FROM + f"RUN {option}cat /proc/self/status > /data/status\n")
        line = next(line for line in made.read("data/status").splitlines() if line.startswith("CapEff:"))
        caps = int(line.split()[1], 16)
        assert caps & 1, "CAP_CHOWN"
        assert bool(caps >> 13 & 1) is heard, "CAP_NET_RAW"


async def test_other_shells_and_no_shell(lab: Lab) -> None:
    made = await lab.build(
        FROM
        + 'RUN ["/bin/sh", "-c", "echo exec > /data/a"]\nSHELL ["/bin/busybox", "sh", "-ec"]\nRUN echo $0 > /data/b\n'
    )
    assert made.read("data/a") == "exec\n" and made.read("data/b") == "sh\n"


async def test_here_documents(lab: Lab) -> None:
    made = await lab.build(
        FROM
        + """RUN <<EOF
X=inside
echo $X > /data/a
EOF
RUN cat <<A <<"B" > /data/b; cat /proc/self/fd/0 < /dev/null
first $HOME
A
second $HOME
B
RUN <<EOF
#!/bin/awk -f
BEGIN { print "program" > "/data/c" }
EOF
"""
    )
    assert made.read("data/a") == "inside\n" and made.read("data/c") == "program\n"
    assert made.read("data/b") == "second $HOME\n"
    assert not (made.top / "dev").exists()


async def test_caches_stay_between_builds_and_out_of_the_image(lab: Lab) -> None:
    text = (
        FROM + "ARG N\nRUN --mount=type=cache,target=/cache,mode=0700 echo $N >> /cache/seen; cp /cache/seen /data/\n"
    )
    await lab.build(text, args={"N": "1"})
    made = await lab.build(text, args={"N": "2"})
    assert made.read("data/seen") == "1\n2\n"
    assert not any((layer / "cache").exists() for layer in made.layers)
    assert lab.workshop.forget_mounts() > 0


async def test_secrets_are_seen_and_not_kept(lab: Lab) -> None:
    text = (
        FROM
        + "RUN --mount=type=secret,id=token,mode=0440,gid=1001 cat /run/secrets/token > /data/len; "
        + "wc -c < /data/len > /data/n; rm /data/len; ls -l /run/secrets/token | cut -c1-10 > /data/mode\n"
        + "RUN --mount=type=secret,id=token,env=T --mount=type=secret,id=absent printf %s $T | wc -c > /data/e\n"
    )
    made = await lab.build(text, secrets=lab.secret("token", "s3cret-value"))
    assert made.read("data/n").strip() == "12" and made.read("data/e").strip() == "12"
    assert made.read("data/mode").strip() == "-r--r-----"
    for path in Path(lab.store.root_directory).rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"s3cret-value" not in path.read_bytes(), path
    with pytest.raises(DockerfileError, match=r"Dockerfile:2: the secret x is missing; give it with --secret id=x"):
        await lab.build(FROM + "RUN --mount=type=secret,id=x,required=true true\n")
    with pytest.raises(DockerfileError, match="no such file"):
        await lab.build(
            FROM + "RUN --mount=type=secret,id=y true\n", secrets={"y": Secret(path=str(lab.root / "nothing"))}
        )


async def test_the_context_and_stages_are_lent(lab: Lab) -> None:
    lab.write({"src/a": "from context", "hidden": "no", ".dockerignore": "hidden"})
    (lab.context / "Dockerfile").write_text(
        f"FROM {BASE} AS one\n"
        "RUN echo staged > /data/s\nFROM one AS two\nRUN --mount=target=/c --mount=from=one,source=/data,target=/s "
        "cat /c/src/a /s/s > /data/o; ls /c >> /data/o; touch /c/x 2>/dev/null || echo readonly >> /data/o\n"
        "RUN --mount=source=src,target=/c,rw echo changed > /c/a && cat /c/a > /data/p\n"
        "RUN --mount=from=one,source=/data,target=/s,rw echo changed > /s/s && cat /s/s > /data/q\n"
    )
    layers = (await lab.build(None)).layers
    shown = (layers[-3] / "data/o").read_text()
    assert shown == "from contextstaged\nDockerfile\nsrc\nreadonly\n"
    assert (layers[-2] / "data/p").read_text() == "changed\n"
    assert (layers[-1] / "data/q").read_text() == "changed\n" and not (layers[-1] / "data/s").exists()
    assert (lab.context / "src/a").read_text() == "from context" and not (lab.context / "x").exists()


async def test_memory_as_a_directory(lab: Lab) -> None:
    made = await lab.build(
        FROM + "RUN --mount=type=tmpfs,target=/t,size=8m df -k /t | tail -1 > /data/o; echo > /t/x\n"
    )
    assert made.read("data/o").split()[1] == "8192"


async def test_a_failure_shows_the_step_its_output_and_its_code(lab: Lab) -> None:
    with pytest.raises(StepFailed) as caught:
        await lab.build(FROM + "RUN seq 1 100; echo 'last words' >&2; exit 7\n")
    assert str(caught.value) == "Dockerfile:2: RUN seq 1 100; echo 'last words' >&2; exit 7: exit code 7"
    assert caught.value.code == 7
    lines = caught.value.tail.splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("72", "last words", 30)
    with pytest.raises(StepFailed, match="exit code 127 .a program was not found"):
        await lab.build(FROM + "RUN no-such-program\n")


async def test_when_who_waits_for_it_is_killed_the_command_is_ended(lab: Lab) -> None:
    build = asyncio.create_task(lab.build(FROM + "RUN echo begun; sleep 1000\n"))
    await asyncio.sleep(0)
    await lab.said.heard("| begun")
    found = subprocess.run(["pgrep", "-f", f"foreground.py {lab.workshop.run}/"], capture_output=True, check=True)
    os.kill(int(found.stdout), signal.SIGKILL)
    with pytest.raises(StepFailed, match="exit code 137"):
        await build


async def test_both_outputs_keep_their_order(lab: Lab) -> None:
    script = "for i in $(seq 200); do echo out $i; echo err $i >&2; done"
    await lab.build(FROM + f"RUN {script}\n")
    shown = re.findall(r"(?:out|err) \d+$", lab.said.getvalue(), re.MULTILINE)
    assert shown == [f"{kind} {number}" for number in range(1, 201) for kind in ("out", "err")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("FROM scratch\nRUN true\n", "Dockerfile:2: the image has no /bin/sh; its shell runs a RUN: build on an image"),
        (FROM + 'RUN ["/bin/absent"]\n', "Dockerfile:2: the image has no /bin/absent; is its name right?"),
        (FROM + 'RUN ["absent"]\n', "Dockerfile:2: the image has no absent; is its name right?"),
    ],
)
async def test_a_program_that_is_not_there(lab: Lab, text: str, wanted: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        await lab.build(text)
    assert str(caught.value).startswith(wanted)


async def test_programs_by_path_and_by_directory(lab: Lab) -> None:
    lab.write({"tool": "#!/bin/sh\necho ran > /data/$1\n"})
    os.chmod(lab.context / "tool", 0o755)
    made = await lab.build(
        FROM + 'RUN ["touch", "/data/a"]\nRUN --mount=target=/t ["/t/tool", "b"]\nCOPY tool /w/\nWORKDIR /w\n'
        'RUN ["./tool", "c"]\n'
    )
    assert made.read("data/a") == "" and made.read("data/b") == made.read("data/c") == "ran\n"


async def test_a_user_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(BuildError, match="Dockerfile:3: .*nobody-here"):
        await lab.build(FROM + "USER nobody-here\nRUN true\n")


async def test_a_build_that_is_cut_off_leaves_nothing(lab: Lab) -> None:
    build = asyncio.create_task(lab.build(FROM + "RUN --mount=type=cache,target=/c echo has begun; sleep 1000\n"))
    await asyncio.sleep(0)
    await lab.said.heard("has begun\n")
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build


KILLED = """
import os, sys
from sampan.host import mounts
from sampan.images.build.workshop import Workshop

with Workshop(*sys.argv[1:]).bench() as bench:
    os.mkdir(f"{bench.data}/view")
    mounts.tmpfs(f"{bench.data}/view", size=4096, mode=0o700)
    print(bench.data, bench.run, flush=True)
    sys.stdin.read()
"""


async def test_what_a_killed_build_left_is_swept(lab: Lab) -> None:
    command = (sys.executable, "-c", KILLED, lab.workshop.name, lab.workshop.data, lab.workshop.run)
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert other.stdout is not None
    data, run = (await other.stdout.readline()).decode().split()
    assert lab.workshop.sweep() == 0, "somebody works there"
    other.kill()
    await other.wait()
    assert os.path.ismount(f"{data}/view") and os.path.isdir(run)
    assert lab.workshop.sweep() == 1
    assert not os.path.exists(data) and not os.path.exists(run)


INSECURE = FROM + "RUN --security=insecure mkdir /m && mount -t tmpfs none /m && umount /m && rmdir /m\n"


async def test_the_machine_s_powers_are_given_by_name_only(lab: Lab) -> None:
    with pytest.raises(BuildError, match=r"Dockerfile:2: RUN --security=insecure .*--allow security\.insecure"):
        await lab.build(INSECURE)
    assert (await lab.build(INSECURE, allow=("security.insecure",))).built.steps == 2


async def test_it_trusts_what_this_machine_trusts(lab: Lab) -> None:
    bundle = lab.root / "bundle.crt"
    bundle.write_text("an authority\n")
    made = await lab.build(
        FROM + 'RUN test "$(cat "$PIP_CERT")" = "an authority" && env\n', environ={"SSL_CERT_FILE": str(bundle)}
    )
    assert "SSL_CERT_FILE=/dev/certificates.crt" in lab.said.getvalue()
    assert not any("CERT" in each for each in made.record.config.env)
