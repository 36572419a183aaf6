"""How the tour speaks: each step with its time; commands of Sampan as a person types them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

Say = Callable[[str], None]


def sampan(*arguments: str, given: str | None = None) -> str:
    """What the command printed; the tour ends with its words when it fails."""
    done = subprocess.run(["sampan", *arguments], check=False, input=given, capture_output=True, text=True)
    if done.returncode:
        stop(arguments, f"{done.stdout}{done.stderr}")
    return done.stdout.strip()


def attempt(*arguments: str) -> str:
    """What the command printed; "" when it failed."""
    done = subprocess.run(["sampan", *arguments], check=False, capture_output=True, text=True)
    return "" if done.returncode else done.stdout


def stream(say: Say, *arguments: str, keep: Callable[[str], bool] = bool, cwd: Path | None = None) -> None:
    """Run `sampan ARGUMENTS` and say those of its lines that `keep` wants as they come."""
    lines: list[str] = []
    with subprocess.Popen(
        ["sampan", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd
    ) as command:
        assert command.stdout
        for line in command.stdout:
            lines.append(line)
            if keep(line.rstrip()):
                say(line.rstrip())
    if command.returncode:
        stop(arguments, "".join(lines))


def stop(arguments: tuple[str, ...], said: str) -> None:
    sys.exit(f"\nsampan {' '.join(arguments)}\n{said}the tour stops here; see `sampan status`, `sampan why NAME`")


@contextlib.contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Print the step, how long it took, and what was appended."""
    if sys.stdout.isatty():
        print(f"{title} ...\r", end="", flush=True)
    said: list[str] = []
    started = time.monotonic()
    yield said
    print(f"{title:<66} {time.monotonic() - started:6.2f} s", flush=True)
    for line in said:
        print(f"    {line}")


@contextlib.contextmanager
def live(title: str) -> Iterator[Say]:
    """The same for steps that have something to say while they last."""
    print(title, flush=True)
    started = time.monotonic()
    yield lambda line: print(f"    {line}", flush=True)
    print(f"    {'':<62} {time.monotonic() - started:6.2f} s", flush=True)


def eventually(probe: Callable[[], bool], why: str, deadline: float = 30.0, pause: float = 0.1) -> None:
    """Ask again until it is so. The tour ends with `why` when the time is up."""
    until = time.monotonic() + deadline
    while not probe():
        if time.monotonic() > until:
            sys.exit(f"\n{why}: not within {deadline:.0f} s; see `sampan status`")
        time.sleep(pause)
