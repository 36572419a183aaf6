"""Releases: recorded, failing without harm, going back."""

from __future__ import annotations

import pytest

from sampan.api import conditions
from sampan.api.extra import releases
from sampan.api.extra.releases import CAUSE, SUCCEEDED, Revision
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import meta_v1
from sampan.testing.cluster import Cluster
from tests.delivery.test_app_controller import HEAD, is_ready, step

SIMPLE = HEAD + "source: {image: web:1}\n  replicas: 2\n  port: 80"


async def history(cluster: Cluster) -> list[Revision]:
    return releases.history((await cluster.client.list(Revision, "default")).items)


async def release(cluster: Cluster, spec: dict[str, object], cause: str = "") -> App:
    body = {"spec": spec, "metadata": {"annotations": {CAUSE: cause}}} if cause else {"spec": spec}
    return await cluster.client.patch(App, "web", "default", body=body)


async def test_each_change_is_a_release_and_scaling_is_none(cluster: Cluster) -> None:
    await cluster.apply(SIMPLE)
    await cluster.wait_for(App, "web", is_ready)
    await release(cluster, {"source": {"image": "web:2"}}, "a better web")
    await cluster.wait_for(App, "web", lambda app: is_ready(app) and app.status.release == 2)
    await release(cluster, {"replicas": 3})
    await cluster.wait_for(App, "web", lambda app: is_ready(app) and app.status.ready == "3/3")
    known = await history(cluster)
    assert [(each.revision, releases.image(each)) for each in known] == [(1, "web:1"), (2, "web:2")]
    assert [each.metadata.annotations.get(CAUSE) for each in known] == [None, "a better web"]
    found = await cluster.wait_until(
        Revision, lambda found: all(SUCCEEDED in each.metadata.annotations for each in found)
    )
    assert len(found) == 2


async def test_the_oldest_releases_go(cluster: Cluster) -> None:
    await cluster.apply(SIMPLE)
    for number in range(1, releases.LIMIT + 3):
        await release(cluster, {"env": {"N": str(number)}})
        await cluster.wait_for(
            App, "web", lambda app: app.status.observedGeneration == app.metadata.generation, timeout=20
        )
    known = await cluster.wait_until(Revision, lambda found: len(found) == releases.LIMIT)
    assert sorted(each.revision or 0 for each in known)[0] > 1, [each.revision for each in known]


async def test_going_back_keeps_the_number_of_pods(cluster: Cluster) -> None:
    await cluster.apply(SIMPLE)
    await cluster.wait_for(App, "web", is_ready)
    await release(cluster, {"source": {"image": "web:2"}, "replicas": 3})
    app = await cluster.wait_for(App, "web", lambda app: is_ready(app) and app.status.release == 2)
    spec = releases.restored(app, releases.target(await history(cluster), 2, None))
    assert (spec["source"], spec["replicas"]) == ({"image": "web:1"}, 3)


async def test_where_to_go_back_to() -> None:
    def made(number: int, worked: bool) -> Revision:
        metadata = meta_v1.ObjectMeta(annotations={SUCCEEDED: "now"} if worked else {})
        return Revision(metadata=metadata, revision=number)

    known = [made(1, True), made(2, False), made(3, False)]
    assert releases.target(known, 3, None).revision == 1
    assert releases.target(known, 3, 2).revision == 2
    with pytest.raises(LookupError, match="there are 1, 2, 3"):
        releases.target(known, 3, 9)
    with pytest.raises(LookupError, match="no release before 1"):
        releases.target(known[:1], 1, None)


async def test_old_pods_say_nothing_about_a_new_release(cluster: Cluster) -> None:
    """Going back from a release that failed must not look as if it had failed itself."""
    await cluster.apply(SIMPLE)
    await cluster.wait_for(App, "web", is_ready)
    seen: list[str] = []
    informer = cluster.informers.get(App)

    def note(kind: str, old: App | None, new: App | None) -> None:
        if new is not None and new.status.observedGeneration == new.metadata.generation:
            found = conditions.find(new.status.conditions, "PodsReady")
            seen.append(found.reason if found else "")

    unsubscribe = informer.subscribe(note)
    try:
        await release(cluster, {"source": {"image": "web:2"}})
        await cluster.wait_for(App, "web", lambda app: is_ready(app) and app.status.release == 2)
    finally:
        unsubscribe()
    assert "ReleaseFailed" not in seen
    assert step(await cluster.client.get(App, "web", "default"), "PodsReady").reason == "Ready"
