"""From source to a published application.

guess.py       what an application seems to need, from what its image declares
webhook.py     push events of GitHub, GitLab and Gitea: signatures and content
groovy.py      the part of Groovy that declarative Jenkinsfiles are written in
pipeline.py    what a declarative Jenkinsfile says
conditions.py  whether a stage runs, and what texts with references come to
expressions.py regular expressions of others
checks.py      what is wrong with a commit before anything runs
places.py      where things are kept on the node's disk
repository.py  git, as runs use it
keys.py        what opens a repository elsewhere
trees.py       files that somebody else writes into at the same time
schedule.py    which runs begin, wait, give way and end
runlog.py      the log of a run
runner.py      follows PipelineRuns
work.py        one run from its commit to its end
running/       a pipeline at work: interpreter, steps, agents
answers.py     logs and artifacts, over the node's server
room.py        all of it, put together
"""
