"""Declarative Jenkinsfiles: what they say, and what is told when they cannot be understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.delivery import expressions
from sampan.delivery.conditions import Facts, holds, text
from sampan.delivery.errors import PipelineError
from sampan.delivery.pipeline import Agent, Credentials, Options, Pipeline, read

FULL = r"""
#!/usr/bin/env groovy
/* What Jenkins' documentation calls
   a declarative pipeline. */
pipeline {
    agent { docker { image 'python:3.12'
                     args '-v /tmp:/tmp' } }
    environment {
        APP = 'guestbook'          // a plain text
        IMAGE = "registry/${APP}:${env.BUILD}"
        TOKEN = credentials('registry-token')
        COUNT = 3
    }
    options {
        timestamps()
        timeout(time: 1, unit: 'HOURS')
        retry(2)
    }
    parameters {
        string(name: 'TARGET', defaultValue: 'staging', description: 'where to')
        booleanParam(name: 'FORCE', defaultValue: false)
        choice(name: 'SIZE', choices: ['small', 'large'])
    }
    stages {
        stage('Build') {
            steps {
                checkout scm
                sh 'make $TARGETS'
                sh(script: "docker tag ${IMAGE}", label: 'tag')
            }
        }
        stage('Checks') {
            failFast true
            parallel {
                stage('Unit') {
                    agent { label 'big' }
                    steps {
                        dir('src') {
                            withEnv(['A=1', "B=${APP}"]) {
                                timeout(5) { sh '''
                                    pytest \
                                      -q
                                ''' }
                            }
                        }
                        junit testResults: '**/*.xml', allowEmptyResults: true
                    }
                    post { always { echo 'done' } }
                }
                stage('Lint') { steps { retry(3) { sh 'ruff check' } } }
            }
        }
        stage('Deploy') {
            agent none
            when {
                beforeAgent true
                anyOf { branch 'main'; expression { return params.FORCE == true } }
                not { environment name: 'FROZEN', value: 'yes' }
            }
            options { timeout(time: 30, unit: 'SECONDS') }
            stages { stage('Roll out') { steps { sh 'sampan deploy'; archiveArtifacts 'out/*' } } }
        }
    }
    post {
        failure { echo "it failed: ${env.BUILD}" }
        always { deleteDir() }
    }
}
"""


@pytest.fixture(scope="module")
def full() -> Pipeline:
    return read(FULL)


def test_the_head(full: Pipeline) -> None:
    assert full.agent == Agent(image="python:3.12")
    assert full.options == Options(3600.0, 2)
    assert full.environment["TOKEN"] == Credentials("registry-token")
    assert full.environment["COUNT"] == "3"
    facts = Facts(env={"APP": "guestbook", "BUILD": "7"})
    assert text(full.environment["IMAGE"], facts) == "registry/guestbook:7"
    assert [(each.kind, each.name, each.default) for each in full.parameters] == [
        ("string", "TARGET", "staging"),
        ("booleanParam", "FORCE", False),
        ("choice", "SIZE", "small"),
    ]


def test_stages_and_steps(full: Pipeline) -> None:
    build, checks, deploy = full.stages
    assert [(step.name, step.arguments.get("script")) for step in build.steps[:2]] == [
        ("checkout", None),
        ("sh", "make $TARGETS"),
    ]
    assert build.steps[2].arguments["label"] == "tag"
    unit, lint = checks.parallel
    assert checks.fail_fast
    assert unit.agent == Agent(label="big")
    inner = unit.steps[0].inner[0].inner[0]
    assert (inner.name, inner.arguments["time"]) == ("timeout", 5)
    assert inner.inner[0].arguments["script"].split() == ["pytest", "-q"]
    assert unit.steps[1].arguments == {"testResults": "**/*.xml", "allowEmptyResults": True}
    assert list(unit.post) == ["always"]
    assert lint.steps[0].arguments == {"count": 3}
    assert deploy.agent == Agent(none=True)
    assert [step.name for step in deploy.stages[0].steps] == ["sh", "archiveArtifacts"]
    assert deploy.options.timeout == 30


def test_what_happens_afterwards_has_an_order(full: Pipeline) -> None:
    assert list(full.post) == ["always", "failure"]


@pytest.mark.parametrize(
    ("facts", "met"),
    [
        (Facts(branch="main"), True),
        (Facts(branch="feature"), False),
        (Facts(branch="feature", params={"FORCE": True}), True),
        (Facts(branch="main", env={"FROZEN": "yes"}), False),
    ],
)
def test_when(full: Pipeline, facts: Facts, met: bool) -> None:
    assert holds(full.stages[2].when, facts) is met


def only(when: str):
    stage = f"stage('a') {{ when {{ {when} }}\n steps {{ sh 'x' }} }}"
    return read(f"pipeline {{ agent any\n stages {{ {stage} }} }}").stages[0].when


@pytest.mark.parametrize(
    ("when", "facts", "met"),
    [
        ("branch pattern: 'release-.*', comparator: 'REGEXP'", Facts(branch="release-1"), True),
        ("branch 'release/*'", Facts(branch="release/1"), True),
        ("buildingTag()", Facts(tag="v1"), True),
        ("tag 'v*'", Facts(branch="v1"), False),
        ("changeset '**/*.py'", Facts(files=("a/b.py",)), True),
        ("changelog 'fix.*'", Facts(message="a fix of it"), True),
        ("changelog 'fix$'", Facts(message="a fix of it"), False),
        ("changeset pattern: 'a/.\\\\.py', comparator: 'REGEXP'", Facts(files=("b.py", "a/b.py")), True),
        ("equals expected: 2, actual: 2", Facts(), True),
        ("expression { env.X != 'a' && !(params.Y) }", Facts(env={"X": "b"}), True),
        ("allOf { branch 'a'\n branch 'b' }", Facts(branch="a"), False),
    ],
)
def test_conditions(when: str, facts: Facts, met: bool) -> None:
    assert holds(only(when), facts) is met


@pytest.mark.parametrize(
    ("expression", "words"), [("(a+)+$", "takes longer than 0.3 s"), ("(a", "is no expression: .*unterminated")]
)
def test_expressions_of_others_do_not_hold_up_the_node(
    expression: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expressions, "TIME", 0.3)
    facts = Facts(message="a" * 200 + "b")
    with pytest.raises(PipelineError, match=words):
        holds(only(f"changelog '{expression}'"), facts)


def wrapped(stage: str) -> str:
    return f"pipeline {{\n agent any\n stages {{\n stage('a') {{\n{stage}\n}} }} }}"


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("node { sh 'x' }", 1, "pipeline { ... } and nothing else"),
        ("", 1, "pipeline { ... } and nothing else"),
        ("1", 1, "pipeline { ... } and nothing else"),
        ("pipeline {\n stages { stage('a') { steps { sh 'x' } } } }", 1, "has no agent"),
        ("pipeline {\n agent any\n stagess { }\n}", 3, "did you mean stages?"),
        ("pipeline {\n agent any\n agent none\n stages {} }", 3, "given twice (the first in line 2)"),
        ("pipeline {\n agent any\n stages { stage('a') { steps { sh 'x' } }", 3, "} is missing (opened in line 3)"),
        (wrapped("steps { shh 'x' }"), 5, "did you mean sh?"),
        (wrapped("steps { sh 'x }"), 5, "a text is not closed"),
        (wrapped("steps { sh }"), 5, "sh needs a script"),
        (wrapped("steps { script { x() } }"), 5, "runs Groovy"),
        (wrapped("steps {\n if (x) { }\n }"), 6, "scripted Groovy"),
        (wrapped("steps { }"), 5, "steps is empty"),
        (wrapped("when { branch 'x' }"), 4, "needs one of steps, stages and parallel"),
        (wrapped("steps { sh 'x' }\nparallel { stage('b') { steps { sh 'x' } } }"), 4, "not steps and parallel"),
        (wrapped("when { brunch 'x' }\nsteps { sh 'x' }"), 5, "brunch is no condition"),
        (wrapped("options { timeout(time: 1, unit: 'WEEKS') }\nsteps { sh 'x' }"), 5, "unit is one of SECONDS"),
        (wrapped("steps { retry(0) { sh 'x' } }"), 5, "a number from 1"),
        (wrapped("steps { withEnv('A=b') { sh 'x' } }"), 5, "needs a list"),
        (wrapped("agent { kubernetes { yaml 'x' } }\nsteps { sh 'x' }"), 5, "kubernetes is no agent"),
        (wrapped("environment { A = shell('x') }\nsteps { sh 'x' }"), 5, "only credentials('ID')"),
        (wrapped('steps { sh "echo $1" }'), 5, "begins a name"),
        (wrapped('steps { sh "${a.b()}" }'), 5, "is an expression"),
        (wrapped("steps { sh 'x' }") + "}", 6, "not expected|a value is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(source: str, line: int, words: str) -> None:
    with pytest.raises(PipelineError) as refused:
        read(source)
    assert any(word in str(refused.value) for word in words.split("|"))
    assert refused.value.line == line
    assert str(refused.value).startswith(f"Jenkinsfile, line {line}: ")


def test_two_stages_of_one_name() -> None:
    twice = "stage('a') { steps { sh 'x' } }\n"
    with pytest.raises(PipelineError, match="several stages 'a'"):
        read(f"pipeline {{ agent any\n stages {{ {twice}{twice} }} }}")


@given(st.data())
def test_whatever_is_written_is_read_or_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(FULL)))
    length = data.draw(st.integers(0, 40))
    put = data.draw(st.text(alphabet="{}()[]'\"$\\,:= \nab1.#/*", max_size=6))
    try:
        read(FULL[:at] + put + FULL[at + length :])
    except PipelineError as error:
        assert error.line >= 1


@pytest.mark.parametrize("text", ["'a'", "1", "pipeline", "[1]", "true"])
def test_a_bare_value_is_no_pipeline(text: str) -> None:
    with pytest.raises(PipelineError, match="one block pipeline"):
        read(text)


def test_names_in_the_environment_are_those_of_variables() -> None:
    text = "pipeline { agent any\nenvironment { a.b = 'x' }\nstages { stage('A') { steps { sh 'x' } } } }"
    with pytest.raises(PipelineError, match=r"line 2: a\.b is no name of a variable"):
        read(text)
