"""`sampan image build`: an image from a Dockerfile, or from a folder that has none."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sampan.cli.context import CommandError, Context
from sampan.cli.image.place import Place, short, size

if TYPE_CHECKING:
    from sampan.images.build.frontend import Recipe

NAME = "build"
ALIASES: tuple[str, ...] = ()
HELP = "make an image by a Dockerfile, or of a folder without one"
MAKES = True
EXAMPLES = """examples:
  sampan image build -t web:1 .
  sampan image build -t web:1 --build-arg VERSION=2 --target test .
  sampan image build -t web:1 --secret id=token,src=token.txt .
  sampan image build --show ."""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("directory", nargs="?", default=".", metavar="DIR", help="what COPY sees (default: .)")
    add("-t", "--tag", action="append", default=[], metavar="NAME", help="its name, such as web:1; may be given again")
    add(
        "-f", "--file", default="", metavar="FILE", help="the Dockerfile (default: DIR/Dockerfile); - is standard input"
    )
    add("--build-arg", action="append", default=[], metavar="K=V", help="a value for an ARG; may be given again")
    add("--target", default="", metavar="STAGE", help="build this stage instead of the last one")
    add("--secret", action="append", default=[], metavar="id=..,src=..", help="a secret for RUN --mount=type=secret")
    add("--label", action="append", default=[], metavar="K=V", help="a label of the image; may be given again")
    add("--allow", action="append", default=[], choices=["security.insecure"], help="let RUN --security=insecure be")
    add("--no-cache", action="store_true", help="do every step again")
    add("--pull", action="store_true", help="ask the registry for base images even when they are here")
    add("--show", action="store_true", help="print the Dockerfile that would be used, and build nothing")
    add("-v", "--verbose", action="store_true", help="show all that commands write")
    add("-q", "--quiet", action="store_true", help="print the image's ID alone")


def early(options: argparse.Namespace, context: Context) -> int | None:
    """--show needs no store."""
    if not options.show:
        return None
    context.out(_recipe(options, context).text.rstrip("\n"))
    return 0


def _recipe(options: argparse.Namespace, context: Context) -> Recipe:
    from sampan.images.build import frontend
    from sampan.images.build.errors import BuildError

    text = context.stdin.read() if options.file == "-" else None
    try:
        return frontend.recipe(Path(options.directory), options.file, text)
    except BuildError as error:
        raise CommandError(str(error)) from error


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure, RuntimeFailure
    from sampan.images import reference
    from sampan.images.build import frontend
    from sampan.images.build.builder import Builder
    from sampan.images.build.errors import BuildError, StepFailed
    from sampan.images.build.progress import Progress

    started = time.perf_counter()
    recipe = _recipe(options, context)
    progress = Progress(context.stderr, live=context.stderr.isatty(), verbose=options.verbose, quiet=options.quiet)
    if recipe.detected is not None:
        progress.note(f"no Dockerfile: {recipe.detected.kind}, because of {recipe.detected.why} (--show prints it)")
    try:
        names = [str(reference.parse(name)) for name in options.tag]
        given = frontend.arguments(options.build_arg, context.environ)
        request = frontend.request(
            recipe,
            Path(options.directory),
            names=names,
            target=options.target,
            given=given,
            secrets=frontend.secrets(options.secret, context.environ),
            labels=frontend.labels(options.label),
            environ=context.environ,
            no_cache=options.no_cache,
            pull=options.pull,
            allow=options.allow,
        )
        built = await Builder(place.store, workshop(place), request, progress).build()
    except StepFailed as error:
        progress.clear()
        if error.tail and not options.verbose:
            context.err("\n".join(f"  | {line}" for line in error.tail.splitlines()))
        raise CommandError(str(error)) from error
    except (BuildError, ImageFailure, RuntimeFailure) as error:
        progress.clear()
        raise CommandError(str(error)) from error
    for warning in built.warnings:
        context.err(f"warning: {warning}")
    if options.quiet:
        context.out(built.id)
        return 0
    record = place.store.find(built.id)
    took = f"{time.perf_counter() - started:.1f}s, {built.cached} of {built.steps} steps cached"
    name = ", ".join(options.tag) or "an image without a name"
    context.out(f"built {name}: {short(built.id)}, {size(record.size if record else 0)} ({took})")
    return 0


def workshop(place: Place):  # type: ignore[no-untyped-def]
    from sampan.images.build.workshop import Workshop

    cluster = place.cluster
    return Workshop(
        cluster.name,
        f"{place.store.root_directory}/build",
        str(cluster.run_dir / "build"),
        cluster.oci_runtime,
        str(cluster.data_dir / "runtime" / "oci-runtime.json"),
    )
