"""P3: from the command to an application that answers by its name in the cluster's DNS, nothing of it running before.

The clock runs over `sampan up`, `sampan image load`, a Deployment and its Service, and a request from inside a pod to
the Service's name. The image's archive is written before: others' figures have it in a registry.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.lab import HELLO, IMAGE, SAMPAN, Lab, call
from sampan.api.types import apps_v1, core_v1, meta_v1

NAME, NAMESPACE, PORT = "web", "default", 8080
URL = f"http://{NAME}.{NAMESPACE}.svc.cluster.local:{PORT}/"


async def cold(_: Lab) -> float:
    place = Lab(Path(tempfile.mkdtemp(prefix="sampan-bench-", dir="/var/tmp")), name="bench-cold", number=3)
    archive = place.root / "hello.tar"
    try:
        await call(sys.executable, str(HELLO), "bench", str(archive))
        await place.up()
        await call(*SAMPAN, "image", "load", *place.where(), str(archive))
        await deployed(place)
        await answered(place)
        return time.perf_counter() - place.started
    finally:
        await place.down("--purge")
        shutil.rmtree(place.root)


async def deployed(place: Lab) -> None:
    """Return when the Deployment has its pod."""
    labels = {"app": NAME}
    metadata = meta_v1.ObjectMeta(name=NAME, namespace=NAMESPACE)
    container = core_v1.Container(name=NAME, image=IMAGE, imagePullPolicy="Never")
    template = core_v1.PodTemplateSpec(
        metadata=meta_v1.ObjectMeta(labels=labels), spec=core_v1.PodSpec(containers=(container,))
    )
    selector = meta_v1.LabelSelector(matchLabels=labels)
    port = core_v1.ServicePort(port=PORT)
    async with place.client() as client:
        await client.create(
            apps_v1.Deployment(
                metadata=metadata, spec=apps_v1.DeploymentSpec(replicas=1, selector=selector, template=template)
            )
        )
        await client.create(
            core_v1.Service(metadata=metadata, spec=core_v1.ServiceSpec(selector=labels, ports=(port,)))
        )
        async for event in client.watch(apps_v1.Deployment, NAMESPACE, fields=f"metadata.name={NAME}"):
            if event.object.status.availableReplicas:
                return


async def answered(place: Lab) -> None:
    """Ask from inside of the pod, by the service's name; what is not there yet is asked again."""
    ask = (*SAMPAN, "exec", *place.identity(), f"deployment/{NAME}", "--", "wget", "-q", "-O", "-", URL)
    out = ""
    for _ in range(50):
        try:
            out = await call(*ask)
        except RuntimeError as error:
            out = str(error)
            await asyncio.sleep(0.02)
            continue
        if "hello" in out:
            return
    raise RuntimeError(f"{URL} did not answer inside of the cluster: {out}")


FIGURES = (Figure("P3", "cluster, app and DNS answering, cold start", "s", 3.0, "lower", cold, runs=5),)
