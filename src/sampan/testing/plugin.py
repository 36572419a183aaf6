"""The pytest plugin: a real cluster for each test that asks for one. pytest finds it where Sampan is installed.

    async def test_scaling(cluster):
        await cluster.apply(open("web.yaml").read())
        await cluster.wait_for(Deployment, "web", lambda d: d.status.readyReplicas == 3)

`cluster`          in the test's own event loop (needs pytest-asyncio)
`cluster_factory`  makes clusters as the test wants them: `await cluster_factory(nodes=3)`
`served_cluster`   in a thread of its own, for tests and clients that block

`@pytest.mark.cluster(nodes=3, capacity={...})` sets what `cluster` and `served_cluster` are made of.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sampan.testing.cluster import Cluster
    from sampan.testing.thread import ServedCluster

Factory = Callable[..., Awaitable["Cluster"]]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster(**settings): what the fixtures cluster and served_cluster are made of")


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("cluster")
    return dict(marker.kwargs) if marker is not None else {}


@pytest.fixture
def served_cluster(request: pytest.FixtureRequest) -> Iterator[ServedCluster]:
    """A cluster that runs beside the test, in its own thread."""
    from sampan.testing.thread import ServedCluster

    with ServedCluster(**_settings(request)) as made:
        yield made


if importlib.util.find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
        """A cluster in the test's event loop."""
        from sampan.testing.cluster import Cluster

        async with Cluster(**_settings(request)) as made:
            yield made

    @pytest_asyncio.fixture
    async def cluster_factory() -> AsyncIterator[Factory]:
        """Makes clusters; all of them end with the test."""
        from sampan.testing.cluster import Cluster

        async with contextlib.AsyncExitStack() as stack:

            async def make(**settings: Any) -> Cluster:
                return await stack.enter_async_context(Cluster(**settings))

            yield make

else:

    @pytest.fixture
    def cluster() -> None:
        pytest.fail("the fixture cluster needs pytest-asyncio: pip install pytest-asyncio, or use served_cluster")

    @pytest.fixture
    def cluster_factory() -> None:
        pytest.fail("the fixture cluster_factory needs pytest-asyncio: pip install pytest-asyncio")
