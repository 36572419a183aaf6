"""One run from its commit to its end: fetch, check out, read the pipeline, interpret it, tell what came of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.pipelineruns import branch_of, commit_of
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.config import ClusterConfig
from sampan.delivery import branches, checks, groovy, keys, pipeline, repository, trees
from sampan.delivery.conditions import Facts
from sampan.delivery.errors import PipelineError
from sampan.delivery.git.paths import Place, Wrong
from sampan.delivery.git.repositories import Repositories
from sampan.delivery.keys import KeysError
from sampan.delivery.pipeline import Parameter, Pipeline, Stage
from sampan.delivery.places import Places
from sampan.delivery.repository import GitError
from sampan.delivery.runlog import RunLog
from sampan.delivery.runner import Job, Runner, Status
from sampan.delivery.running import commands, default, executor
from sampan.delivery.running.executor import PodExecutor
from sampan.delivery.running.interpreter import Interpreter
from sampan.delivery.running.outcomes import PHASES, RESULTS
from sampan.delivery.running.pods import WORKSPACE, Agents, Volumes
from sampan.delivery.running.scope import State
from sampan.delivery.schedule import key_of
from sampan.runtime.clock import Clock, RealClock, rfc3339

Tell = Callable[[Status], Awaitable[None]]


class Refused(Exception):
    """Why a run ends before its first stage."""


class Site(NamedTuple):
    """Where runs take place. `url_of` names the cluster's own repository of an app."""

    cluster: ClusterConfig
    node: str
    client: Client
    places: Places
    runner: Runner
    url_of: Callable[[str, str], str]
    clock: Clock = RealClock()


class Plan(NamedTuple):
    pipeline: Pipeline
    after: tuple[Stage, ...]
    left_out: Mapping[str, str]
    said: str


async def carry_out(job: Job, tell: Tell, site: Site) -> Status:
    """The last status."""
    try:
        return await _carry_out(job, tell, site)
    except (Refused, GitError, KeysError, PipelineError) as error:
        await job.log.write(str(error))
        return {"phase": "Failed", "message": str(error)}


async def _carry_out(job: Job, tell: Tell, site: Site) -> Status:
    run, say = job.run, job.log.write
    namespace = run.metadata.namespace or ""
    key = key_of(run)
    bare = await _repository(run, site)
    commit = await _commit(site, run, bare)
    await tell({"commit": commit})
    subject, author = await repository.about(bare, commit)
    await say(f"run {run.status.number} of {run.spec.app}: {branch_of(run.spec.source.ref)} at {commit[:12]}")
    await say(f"  {subject} ({author})")
    root = site.places.workspace(*key)
    made = executor.Job(
        run=run,
        cluster=site.cluster,
        bare=bare,
        commit=commit,
        subject=subject,
        url=run.spec.source.url or site.url_of(namespace, run.spec.app),
        branch=branch_of(run.spec.source.ref),
        root=root,
        artifacts=site.places.artifacts(*key),
        kubeconfig=site.places.kubeconfig,
    )
    await asyncio.to_thread(_prepare, made)
    await repository.check_out(bare, commit, made.workspace)
    plan = await _plan(made, await _app(site.client, namespace, run.spec.app))
    if plan.said:
        await say(plan.said)
    previous = site.runner.before(run)
    facts = await _facts(made, plan.pipeline, commit_of(previous) if previous else "")
    for parameter in plan.pipeline.parameters:
        if parameter.kind == "password":
            job.log.mask(str(facts.params[parameter.name]))
    agents = Agents(site.client, run, site.node, Volumes(made.workspace, made.steps), site.clock)

    async def told() -> None:
        await tell({"stages": [_stage(state, job.log) for state in interpreter.states]})

    interpreter = Interpreter(
        plan.pipeline,
        facts,
        PodExecutor(made, site.client, agents, job.log),
        site.clock,
        say=say,
        told=told,
        previous=RESULTS.get(previous.status.phase or "") if previous else None,
        after=plan.after,
        left_out=plan.left_out,
        closing=lambda: site.runner.closing,
    )
    try:
        await told()
        outcome = await interpreter.run(job.ends, lambda: job.why)
    finally:
        if not site.runner.closing:
            await _removed(agents)
    await told()
    phase = PHASES[outcome.result]
    await say(f"{phase.lower()}{f': {outcome.message}' if outcome.message else ''}")
    return {
        "phase": phase,
        "message": job.log.masked(outcome.message) or None,
        "image": outcome.image or None,
        "release": outcome.release or None,
    }


async def _removed(agents: Agents) -> None:
    try:
        await agents.remove_all()
    except FAILURES as error:
        raise Refused(f"its agents could not be removed: {error}; they go with the PipelineRun") from error


def _prepare(job: executor.Job) -> None:
    job.root.mkdir(parents=True)
    # Others on this machine have no business there: scripts hold what Secrets hold.
    job.root.chmod(0o700)
    job.steps.mkdir()
    commands.kubeconfig(job.cluster, job.kubeconfig)


async def _repository(run: PipelineRun, site: Site) -> Path:
    """The app's bare repository; of a repository elsewhere the copy is made when there is none. Raises Refused."""
    place = Place(run.metadata.namespace or "", run.spec.app)
    kept = Repositories(site.places.repositories, site.places.git)
    try:
        uid = (await site.client.get(core_v1.Namespace, place.namespace)).metadata.uid or ""
        found = kept.ensure(place, uid) if run.spec.source.url else kept.find(place, uid)
    except (StatusError, Wrong) as error:
        raise Refused(str(error)) from error
    if found is None:
        raise Refused(f"{place.app} has no repository here: sampan remote {place.app} tells where to push to")
    return found


async def _commit(site: Site, run: PipelineRun, bare: Path) -> str:
    """The commit that runs, in the bare repository. Raises GitError and Refused."""
    source = run.spec.source
    commit = source.commit or ""
    if source.url:
        return await _fetched(site, run, source.url, bare)
    commit = commit or await repository.resolve(bare, source.ref)
    if not await repository.has(bare, commit):
        raise Refused(f"the repository of {run.spec.app} has no commit {commit}; push it again")
    return commit


async def _fetched(site: Site, run: PipelineRun, url: str, bare: Path) -> str:
    """The commit of a repository elsewhere, opened with the app's keys."""
    source, secret = run.spec.source, keys.name_of(run.spec.app)
    try:
        fields = await keys.read(site.client, run.metadata.namespace or "", secret) or {}
    except FAILURES as error:
        raise Refused(f"secret {secret}: {error}") from error
    site.places.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=site.places.secrets) as directory:
        opened = await asyncio.to_thread(keys.environment, url, secret, fields, Path(directory))
        try:
            commit = source.commit or await repository.resolve_there(url, source.ref, opened)
            await repository.fetch(bare, url, source.ref, commit, opened)
            # Of a run that is forgotten nothing has to stay.
            await repository.give_up(bare, {commit, *site.runner.commits(run)})
        except GitError as error:
            hint = "" if fields else f"; for a private repository make Secret {secret} (docs/deploy.md)"
            raise Refused(f"{error}{hint}") from error
    return commit


async def _app(client: Client, namespace: str, name: str) -> App | None:
    try:
        return await client.get(App, name, namespace)
    except StatusError as error:
        if error.code == 404:
            return None
        raise Refused(str(error)) from error


async def _plan(job: executor.Job, app: App | None) -> Plan:
    text = await repository.show(job.bare, job.commit, checks.FILE, groovy.SIZE)
    ref = job.run.spec.source.ref
    wanted = await _wanted(job, app)
    if text is not None:
        read = await asyncio.to_thread(pipeline.read, text)
        after, why = default.following(read, ref, wanted)
        return Plan(read, after, {}, why)
    found = await asyncio.to_thread(trees.files, job.workspace)
    texts = {}
    for name in default.READ:
        content = await repository.show(job.bare, job.commit, name, 1 << 20)
        texts[name] = content or ""
    made = default.pipeline([file.path for file in found], texts)
    if ref in wanted:
        return Plan(made.pipeline, default.DEPLOYING, made.left_out, made.said)
    said = f"{made.said}\nnothing is deployed: {ref} is not {' or '.join(wanted)}"
    return Plan(made.pipeline, (), made.left_out, said)


async def _wanted(job: executor.Job, app: App | None) -> list[str]:
    """The refs that are deployed: the App's own, else the repository's main branch."""
    spec = job.run.spec
    if not spec.source.url:
        return [branches.deploys(app, await repository.head(job.bare))]
    if named := branches.deploys(app, ""):
        return [named]
    # A webhook has told which branch is the repository's own.
    return [spec.source.ref] if spec.trigger.kind == "webhook" else [f"refs/heads/{name}" for name in default.MAIN]


async def _facts(job: executor.Job, read: Pipeline, before: str) -> Facts:
    run, ref = job.run, job.run.spec.source.ref
    tag = job.branch if ref.startswith("refs/tags/") else ""
    branch = "" if tag else job.branch
    params = _parameters(read.parameters, run.spec.parameters)
    number = str(run.status.number or 0)
    environment = {
        **{name: _text(value) for name, value in params.items()},
        "CI": "true",
        "BUILD_NUMBER": number,
        "BUILD_ID": number,
        "BUILD_DISPLAY_NAME": f"#{number}",
        "BUILD_TAG": f"sampan-{job.app}-{number}",
        "JOB_NAME": job.app,
        "JOB_BASE_NAME": job.app,
        "BRANCH_NAME": job.branch,
        "GIT_BRANCH": job.branch,
        "GIT_COMMIT": job.commit,
        "GIT_URL": job.url,
        "WORKSPACE": WORKSPACE,
        **({"TAG_NAME": tag} if tag else {}),
        **({"GIT_PREVIOUS_COMMIT": before} if before else {}),
    }
    return Facts(
        branch=branch,
        tag=tag,
        env=environment,
        params=params,
        files=await repository.changed(job.bare, before, job.commit),
        message=await repository.message(job.bare, job.commit),
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parameters(known: tuple[Parameter, ...], given: Mapping[str, str]) -> dict[str, Any]:
    """The values of all parameters. Raises Refused for what the Jenkinsfile does not know."""
    found: dict[str, Any] = {each.name: each.default for each in known}
    by_name = {each.name: each for each in known}
    for name, text in given.items():
        parameter = by_name.get(name)
        if parameter is None:
            there = f"there are {', '.join(by_name)}" if by_name else "the Jenkinsfile has none"
            raise Refused(f"there is no parameter {name}; {there}")
        if parameter.kind == "booleanParam":
            if text not in ("true", "false"):
                raise Refused(f"parameter {name} is true or false, not {text}")
            found[name] = text == "true"
        elif parameter.kind == "choice" and text not in parameter.choices:
            raise Refused(f"parameter {name} is one of {', '.join(parameter.choices)}, not {text}")
        else:
            found[name] = text
    return found


def _stage(state: State, log: RunLog) -> Status:
    """A message may quote a script, and so a secret in it."""
    made: Status = {"name": state.name, "phase": state.phase}
    for key, value in (("message", log.masked(state.message)), ("pod", state.pod)):
        if value:
            made[key] = value
    for key, moment in (("startedAt", state.started), ("finishedAt", state.finished)):
        if moment:
            made[key] = rfc3339(moment)
    return made
