"""Ingresses and all that they name to the data plane's model. Pure: no files, no clock, no order but that of age."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sampan.api.types import core_v1, discovery_v1, networking_v1
from sampan.network.ingress import certificates, options, paths
from sampan.network.ingress.backends import Backends, Key
from sampan.network.ingress.model import Location, Match, Model, Options, Server
from sampan.network.ingress.options import CLOSED, Read

CONTROLLER = "sampan.dev/ingress"
"""spec.controller of the IngressClasses that are ours."""
CLASS = "sampan"
"""The IngressClass that every cluster has."""
OLD_CLASS = "kubernetes.io/ingress.class"

Rule = networking_v1.IngressRule
"""One rule of an Ingress."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What the API says. Secrets and ConfigMaps need to be only those of `references`."""

    ingresses: Collection[networking_v1.Ingress]
    classes: Collection[networking_v1.IngressClass] = ()
    services: Mapping[Key, core_v1.Service] = field(default_factory=dict)
    slices: Mapping[Key, Collection[discovery_v1.EndpointSlice]] = field(default_factory=dict)
    secrets: Mapping[Key, core_v1.Secret] = field(default_factory=dict)
    configs: Mapping[Key, core_v1.ConfigMap] = field(default_factory=dict)
    node: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Ingresses that nginx does not take, by `namespace/name`, with what it says."""


def name_of(ingress: networking_v1.Ingress) -> str:
    return f"{ingress.metadata.namespace}/{ingress.metadata.name}"


def class_of(ingress: networking_v1.Ingress) -> str:
    return ingress.spec.ingressClassName or ingress.metadata.annotations.get(OLD_CLASS, "")


def ours(
    ingresses: Iterable[networking_v1.Ingress], classes: Iterable[networking_v1.IngressClass]
) -> list[networking_v1.Ingress]:
    """Those of our classes that stay, the oldest first: of two that want the same path it has it."""
    mine = {each.metadata.name for each in classes if each.spec.controller == CONTROLLER}
    chosen = [each for each in ingresses if class_of(each) in mine and each.metadata.deletionTimestamp is None]
    return sorted(chosen, key=lambda each: (each.metadata.creationTimestamp or "", name_of(each)))


def services_of(ingress: networking_v1.Ingress) -> Iterator[Key]:
    """Services that it leads to, whether they exist or not."""
    for backend in _backends(ingress):
        if backend.service is not None:
            yield ingress.metadata.namespace or "", backend.service.name


def references(ingress: networking_v1.Ingress) -> Iterator[tuple[type, Key]]:
    """Secrets and ConfigMaps that it names."""
    namespace = ingress.metadata.namespace or ""
    for tls in ingress.spec.tls:
        if tls.secretName:
            yield core_v1.Secret, (namespace, tls.secretName)
    for kind, key in options.read(ingress.metadata.annotations, namespace, {}).references:
        space, _, name = key.partition("/")
        yield (core_v1.Secret if kind == "Secret" else core_v1.ConfigMap), (space, name)


def compute(objects: Objects) -> Model:
    return _Computation(objects).model()


def _backends(ingress: networking_v1.Ingress) -> Iterator[networking_v1.IngressBackend]:
    if ingress.spec.defaultBackend is not None:
        yield ingress.spec.defaultBackend
    for rule in ingress.spec.rules:
        for path in rule.http.paths if rule.http else ():
            yield path.backend


class _Computation:
    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.problems: list[tuple[str, str]] = []
        self.files: dict[str, bytes] = {}
        self.local: list[str] = []
        self.backends = Backends(objects.services, objects.slices, objects.node)
        self.read: dict[str, Read] = {}
        self._pairs: dict[Key, tuple[str, str]] = {}
        configs = {"/".join(key): each.data for key, each in objects.configs.items()}
        self.ingresses = ours(objects.ingresses, objects.classes)
        for ingress in self.ingresses:
            made = options.read(ingress.metadata.annotations, ingress.metadata.namespace or "", configs)
            self.read[name_of(ingress)] = made._replace(options=self.with_password(ingress, made.options))

    def model(self) -> Model:
        self.complain_about_classes()
        for ingress in self.ingresses:
            for text in self.read[name_of(ingress)].problems:
                self.problem(ingress, text)
        for name, text in self.objects.refused.items():
            self.problems.append((name, f"nginx does not take it: {text}"))
        servers = tuple(self.server(host) for host in self.hosts())
        return Model(
            servers,
            tuple(self.backends.found[name] for name in sorted(self.backends.found)),
            tuple(sorted(self.files.items())),
            tuple(self.local),
            tuple(dict.fromkeys(self.problems)),
            tuple(name_of(each) for each in self.ingresses),
        )

    def problem(self, ingress: networking_v1.Ingress, text: str) -> None:
        self.problems.append((name_of(ingress), text))

    def complain_about_classes(self) -> None:
        known = {each.metadata.name for each in self.objects.classes}
        for ingress in sorted(self.objects.ingresses, key=name_of):
            wanted = ingress.spec.ingressClassName
            if wanted and wanted not in known:
                text = f"there is no IngressClass {wanted}, so nobody serves this: set ingressClassName: {CLASS}"
                self.problem(ingress, text)

    def usable(self) -> list[networking_v1.Ingress]:
        return [each for each in self.ingresses if name_of(each) not in self.objects.refused]

    def hosts(self) -> list[str]:
        """ "" comes last; hosts of tls count when there is a default backend to serve them."""
        found = {""}
        for ingress in self.usable():
            found.update((rule.host or "").lower() for rule in ingress.spec.rules)
            if ingress.spec.defaultBackend is not None:
                found.update(host.lower() for tls in ingress.spec.tls for host in tls.hosts)
        return sorted(found, key=lambda host: (host == "", host.startswith("*"), host))

    def server(self, host: str) -> Server:
        locations: dict[tuple[str, str], Location] = {}
        concerned = [each for each in self.usable() if any((r.host or "").lower() == host for r in each.spec.rules)]
        for ingress in concerned:
            for rule in ingress.spec.rules:
                if (rule.host or "").lower() == host and rule.http is not None:
                    self.rule(ingress, host, rule, locations)
        if ("prefix", "") not in locations:
            chosen = next((each for each in (*concerned, *self.usable()) if each.spec.defaultBackend is not None), None)
            if chosen is not None and chosen.spec.defaultBackend is not None:
                made = self.location(chosen, host, "prefix", "", chosen.spec.defaultBackend)
                locations["prefix", ""] = made
        return Server(host, tuple(paths.ordered(locations.values())), self.certificate(host))

    def rule(
        self, ingress: networking_v1.Ingress, host: str, rule: Rule, locations: dict[tuple[str, str], Location]
    ) -> None:
        options = self.read[name_of(ingress)].options
        for path in rule.http.paths if rule.http else ():
            match, text = paths.kind(path, options)
            if why := paths.problem(match, text):
                self.problem(ingress, why)
                continue
            taken = locations.get((match, text))
            if taken is None:
                locations[match, text] = self.location(ingress, host, match, text, path.backend)
            elif taken.owner != name_of(ingress):
                shown = f"{host or '*'}{text or '/'}"
                self.problem(ingress, f"{shown} belongs to the older Ingress {taken.owner} already")

    def location(
        self,
        ingress: networking_v1.Ingress,
        host: str,
        match: Match,
        path: str,
        backend: networking_v1.IngressBackend,
    ) -> Location:
        options = self.read[name_of(ingress)].options
        upstream, why, authors = self.backends.upstream(ingress.metadata.namespace or "", backend, options)
        if authors:
            self.problem(ingress, why)
        tls = any(_covers(each, host) for each in ingress.spec.tls)
        return Location(match, path, name_of(ingress), upstream, options, tls, why)

    # --- certificates and passwords

    def certificate(self, host: str) -> str:
        """Name of the file, or `local/HOST`."""
        for ingress in self.usable():
            listed = any((rule.host or "").lower() == host for rule in ingress.spec.rules)
            for tls in ingress.spec.tls:
                named = any(_matches(each, host) for each in tls.hosts)
                if tls.secretName and host and (named or (listed and not tls.hosts)):
                    name = self.secret(ingress, tls.secretName)
                    if name:
                        return name
        self.local.append(host)
        return f"local/{host}"

    def secret(self, ingress: networking_v1.Ingress, name: str) -> str:
        """The file of a Secret's certificate, "" when there is none to use."""
        key = (ingress.metadata.namespace or "", name)
        if key not in self._pairs:
            self._pairs[key] = self._pair(key)
        file, why = self._pairs[key]
        if why:
            text = f"Secret {'/'.join(key)}: {why}; a certificate of the local authority is shown instead"
            self.problem(ingress, text)
        return file

    def _pair(self, key: Key) -> tuple[str, str]:
        secret = self.objects.secrets.get(key)
        if secret is None:
            return "", "it does not exist"
        try:
            data = certificates.pair(secret)
        except certificates.Unusable as error:
            return "", str(error)
        file = certificates.file_name(data)
        self.files[file] = data
        return file, ""

    def with_password(self, ingress: networking_v1.Ingress, options: Options) -> Options:
        """auth-secret as a file; CLOSED keeps everybody out."""
        if options.auth in ("", CLOSED):
            return options
        space, _, name = options.auth.partition("/")
        secret = self.objects.secrets.get((space, name))
        data = b""
        if secret is not None and "auth" in secret.data:
            try:
                data = base64.b64decode(secret.data["auth"], validate=True)
            except binascii.Error:
                self.problem(ingress, f"Secret {options.auth}: its auth is no base64")
        else:
            self.problem(ingress, f"Secret {options.auth} with the key auth is missing: nobody gets in")
        if not data:
            return dataclasses.replace(options, auth=CLOSED)
        file = certificates.file_name(data).replace(".pem", ".htpasswd")
        self.files[file] = data
        return dataclasses.replace(options, auth=file)


def _matches(pattern: str, host: str) -> bool:
    """`*.` stands for one label."""
    pattern = pattern.lower()
    if pattern == host:
        return True
    return pattern.startswith("*.") and not host.startswith("*") and host.partition(".")[2] == pattern[2:]


def _covers(tls: networking_v1.IngressTLS, host: str) -> bool:
    return not tls.hosts or any(_matches(each, host) for each in tls.hosts)
