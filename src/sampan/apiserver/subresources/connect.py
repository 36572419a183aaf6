"""The ways through the API server to nodes and pods: log, exec, attach, portforward and proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode

from sampan.api.errors import bad_request, not_found_error, service_unavailable, status_error
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.kinds.kind import Document
from sampan.api.types import core_v1
from sampan.apiserver.backends import address_of
from sampan.apiserver.contracts import Attributes, NodeConnector, View
from sampan.apiserver.resource import Resources
from sampan.apiserver.routes import Route
from sampan.http.types import Connection, Request, Response
from sampan.streams import relay

KUBELET_PORT = 10250
_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "host")
)
_PRIVATE = frozenset(("authorization", "cookie"))
_OPTIONS = {
    "exec": "PodExecOptions",
    "attach": "PodAttachOptions",
    "portforward": "PodPortForwardOptions",
    "proxy": "{}ProxyOptions",
}
_STREAMS = {"exec": "exec", "attach": "attach", "portforward": "portForward"}


class Place(NamedTuple):
    """Where a node's server listens."""

    address: str
    port: int


def place_of(node: core_v1.Node) -> Place:
    addresses = {address.type: address.address for address in node.status.addresses}
    address = addresses.get("InternalIP") or addresses.get("Hostname") or node.metadata.name or ""
    endpoints = node.status.daemonEndpoints
    port = endpoints.kubeletEndpoint.Port if endpoints and endpoints.kubeletEndpoint else KUBELET_PORT
    return Place(address, port)


class Connections:
    """`connector` is None where there are no real nodes; connections are then refused."""

    def __init__(self, view: View, resources: Resources, connector: NodeConnector | None) -> None:
        self._view = view
        self._resources = resources
        self._connector = connector

    def _required(self) -> NodeConnector:
        if self._connector is None:
            raise service_unavailable("this API server has no way to nodes")
        return self._connector

    def _pod(self, route: Route) -> core_v1.Pod:
        pod = self._view.get(core_v1.Pod, route.name, route.namespace)
        if pod is None:
            raise not_found_error("pods", "", route.name)
        return pod

    def node(self, name: str) -> Place:
        node = self._view.get(core_v1.Node, name)
        if node is None:
            raise not_found_error("nodes", "", name)
        return place_of(node)

    def _node_of(self, pod: core_v1.Pod) -> Place:
        if not pod.spec.nodeName:
            raise bad_request(f"pod {pod.metadata.name} does not have a host assigned")
        return self.node(pod.spec.nodeName)

    # log

    async def log(self, request: Request, route: Route, attributes: Attributes) -> Response:
        pod = self._pod(route)
        container = _container(pod, request.param("container"))
        _check_log_options(request)
        if not pod.spec.nodeName:
            return Response(200, b"", (("Content-Type", "text/plain"),))
        place = self._node_of(pod)
        path = f"/containerLogs/{pod.metadata.namespace}/{pod.metadata.name}/{container}"
        query = {
            k: v[0]
            for k, v in request.query.items()
            if k not in ("container", "pretty", "insecureSkipTLSVerifyBackend")
        }
        target = f"{path}?{urlencode(query)}" if query else path
        response = await self._send(place, Request("GET", target), pod.spec.nodeName)
        if response.status >= 400:
            text = (await response.read()).decode(errors="replace").strip()
            if response.status == 404:
                raise status_error(
                    404, "NotFound", f"the server could not find the requested resource ( pods/log {route.name})"
                )
            raise status_error(response.status, "BadRequest" if response.status == 400 else "InternalError", text)
        return Response(200, response.body, (("Content-Type", "text/plain"),))

    # log and artifacts of a pipeline's run

    async def pipeline(self, request: Request, route: Route, attributes: Attributes) -> Response:
        run = self._view.get(PipelineRun, route.name, route.namespace)
        if run is None:
            raise not_found_error("pipelineruns", "sampan.dev", route.name)
        node = run.status.node
        if not node:
            why = run.status.message or "it has not begun"
            raise bad_request(f"run {route.name} has no {route.part} yet: {why}")
        asked = {name: values[0] for name, values in request.query.items() if name in ("follow", "path")}
        path = f"/delivery/{route.part}/{quote(route.namespace)}/{quote(route.name)}"
        target = f"{path}?{urlencode(asked)}" if asked else path
        response = await self._send(self.node(node), Request("GET", target), node)
        if response.status >= 400:
            text = (await response.read()).decode(errors="replace").strip()
            raise status_error(response.status, "NotFound" if response.status == 404 else "InternalError", text)
        return Response(200, response.body, (("Content-Type", response.header("content-type") or "text/plain"),))

    # exec, attach, portforward

    async def stream(self, request: Request, route: Route, attributes: Attributes) -> Response:
        pod = self._pod(route)
        await self._resources.admit_connect(attributes, route.kind, _options(request, route))
        part = route.part
        path = f"/{_STREAMS[part]}/{pod.metadata.namespace}/{pod.metadata.name}"
        if part != "portforward":
            container = _container(pod, request.param("container"))
            path = f"{path}/{container}"
            if part == "exec" and not request.query.get("command"):
                raise bad_request("you must specify at least 1 command for exec")
            if not any(request.param(name) in ("true", "1") for name in ("stdin", "stdout", "stderr")):
                raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
        place = self._node_of(pod)
        query = {name: values for name, values in request.query.items() if name != "container"}
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        connector = self._required()
        headers = {name: value for name, value in request.headers.items() if name not in _PRIVATE}
        onward = Request(request.method, target, headers, request.content)

        async def connect(asked: Request) -> tuple[Response, Connection]:
            try:
                return await connector.connect(place.address, place.port, asked, node=True)
            except OSError as error:
                raise service_unavailable(f"error dialing backend: {error}") from None

        return await relay(onward, connect)

    # proxy

    async def proxy(self, request: Request, route: Route, attributes: Attributes) -> Response:
        scheme, name, port = _split(route.name)
        await self._resources.admit_connect(attributes, route.kind, _options(request, route))
        connector = self._required()
        node = False
        if route.kind.plural == "nodes":
            place = self.node(name)
            node = not port or port == str(place.port)
            address, number = place.address, _port_number(port, {}) if port else place.port
            scheme = scheme or ("https" if node else "http")
        elif route.kind.plural == "pods":
            address, number = self._pod_address(route, name, port)
        else:
            address, number = address_of(self._view, route.namespace, name, port, shown=route.name)
        query = request.target.partition("?")[2]
        rest = quote(route.rest, safe="/%:@!$&'()*+,;=~") or "/"
        target = f"{rest}?{query}" if query else rest
        dropped = _HOP | _PRIVATE
        headers = {key: value for key, value in request.headers.items() if key not in dropped}
        headers["x-forwarded-uri"] = request.raw_path
        if "upgrade" in request.headers:
            headers |= {"connection": "Upgrade", "upgrade": request.headers["upgrade"]}
            onward = Request(request.method, target, headers, request.content)

            async def connect(asked: Request) -> tuple[Response, Connection]:
                return await connector.connect(address, number, asked, scheme=scheme or "http", node=node)

            return await relay(onward, connect)
        body = request.content if isinstance(request.content, bytes) else await request.content.read(64 << 20)
        try:
            onward = Request(request.method, target, headers, body)
            response = await connector.send(address, number, onward, scheme=scheme or "http", node=node)
        except OSError as error:
            raise service_unavailable(f"error trying to reach service: {error}") from None
        kept = [(key, value) for key, value in response.headers if key.lower() not in _HOP | {"content-length"}]
        return Response(response.status, response.body, kept)

    def _pod_address(self, route: Route, name: str, port: str) -> tuple[str, int]:
        pod = self._view.get(core_v1.Pod, name, route.namespace)
        if pod is None:
            raise not_found_error("pods", "", name)
        if not pod.status.podIP:
            raise bad_request(f"address not allowed: pod {name} has no address")
        if not port:
            first = next((p.containerPort for c in pod.spec.containers for p in c.ports), 80)
            return pod.status.podIP, first
        return pod.status.podIP, _port_number(
            port, {p.name: p.containerPort for c in pod.spec.containers for p in c.ports}
        )

    async def _send(self, place: Place, request: Request, node: str) -> Response:
        try:
            response: Response = await self._required().send(place.address, place.port, request, node=True)
        except OSError as error:
            text = f'Get "https://{place.address}:{place.port}{request.raw_path}": {error}'
            raise status_error(500, "InternalError", text) from None
        return response


def _options(request: Request, route: Route) -> Document:
    """What the client asks for, as an object of the kind that admission knows."""
    made: Document = {"kind": _OPTIONS[route.part].format(route.kind.name), "apiVersion": "v1"}
    if route.part == "proxy":
        return {**made, "path": route.rest}
    if route.part == "portforward":
        return made | {"ports": [int(each) for each in request.query.get("ports") or () if each.isdigit()]}
    for name in ("stdin", "stdout", "stderr", "tty"):
        if request.param(name) in ("true", "1"):
            made[name] = True
    if container := request.param("container"):
        made["container"] = container
    if command := request.query.get("command"):
        made["command"] = command
    return made


def _split(name: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` of a proxy's path."""
    parts = name.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return parts[0], parts[1], parts[2]
    raise bad_request(f'invalid request "{name}": use [scheme:]name[:port]')


def _port_number(port: str, names: Mapping[str | None, int]) -> int:
    if port.isdigit() and 0 < int(port) < 65536:
        return int(port)
    number = names.get(port)
    if number is None:
        raise bad_request(f'port "{port}" is neither a number nor the name of a port')
    return number


def _container(pod: core_v1.Pod, asked: str) -> str:
    """The container meant; the only one when none is named. Raises BadRequest."""
    names = [c.name for c in pod.spec.containers]
    init = [c.name for c in pod.spec.initContainers]
    extra = [c.name for c in pod.spec.ephemeralContainers]
    name = pod.metadata.name
    if asked:
        if asked in names or asked in init or asked in extra:
            return asked
        raise bad_request(f"container {asked} is not valid for pod {name}")
    if len(names) == 1:
        return names[0]
    default = pod.metadata.annotations.get("kubectl.kubernetes.io/default-container")
    if default in names:
        return str(default)
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(text)


def _check_log_options(request: Request) -> None:
    from sampan.api.errors import FieldError, invalid, invalid_error

    errors: list[FieldError] = []
    for name, low in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        text = request.param(name)
        if not text:
            continue
        try:
            number = int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text[:40]}": invalid syntax') from None
        if number < low:
            word = "must be greater than or equal to 0" if not low else "must be greater than 0"
            errors.append(invalid(name, number, word))
    if errors:
        raise invalid_error("PodLogOptions", "", "", errors)
