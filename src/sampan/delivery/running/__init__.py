"""A pipeline at work.

    Pipeline -> Interpreter -> steps -> Executor (pods, files, images, the App)

contracts.py    what the interpreter asks of the world, and how steps fail
outcomes.py     pure: what a stage and a run come to, and which parts of `post` run
scope.py        pure: what holds where a step stands: environment, directory, agent
interpreter.py  stages, parallel, when, post, retry, timeout
blocks.py       steps around steps
steps.py        single steps
junit.py        pure: test reports
default.py      pure: the pipeline of a repository without a Jenkinsfile, and what follows one
credentials.py  Secrets as environment variables
executor.py     steps for real
pods.py         agents
commands.py     `sampan deploy` as a process of its own
"""
