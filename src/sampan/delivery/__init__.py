"""From source to a published application.

guess.py       what an application seems to need, from what its image declares
webhook.py     push events of GitHub, GitLab and Gitea: signatures and content
groovy.py      the part of Groovy that declarative Jenkinsfiles are written in
pipeline.py    what a declarative Jenkinsfile says
conditions.py  whether a stage runs, and what texts with references come to
"""
