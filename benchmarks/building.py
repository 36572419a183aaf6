"""P20: `sampan image build` of a folder where nothing has changed, as a person types it: a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.lab import IMAGE, SAMPAN, Lab, call

FILES = 200
DOCKERFILE = f"""
FROM {IMAGE} AS build
USER root
COPY src /src
RUN mkdir /out && cp /src/*/* /out/
FROM {IMAGE}
USER root
ARG VERSION=1
ENV VERSION=$VERSION
WORKDIR /app
COPY requirements.txt ./
RUN cp requirements.txt installed.txt
COPY --from=build /out ./
COPY . .
EXPOSE 8000
CMD ["/start"]
"""


async def unchanged(place: Lab) -> float:
    folder = place.root / "source"
    command = (*SAMPAN, "image", "build", *place.where(), "-t", "bench:1", str(folder))
    if not folder.exists():
        fill(folder)
        await call(*command)
    started = time.perf_counter()
    out = await call(*command)
    took = time.perf_counter() - started
    if "15 of 15 steps cached" not in out:
        raise RuntimeError(f"something was done again: {out}")
    return took


def fill(folder: Path) -> None:
    """Files as a small application has them."""
    for number in range(FILES):
        path = folder / "src" / f"package{number % 10}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NUMBER = {number}\n" * 200)
    (folder / "requirements.txt").write_text("flask\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)


FIGURES = (Figure("P20", "image build, nothing changed", "s", 0.3, "lower", unchanged, runs=9),)
