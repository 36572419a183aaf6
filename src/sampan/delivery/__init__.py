"""From source to a published application.

guess.py     what an application seems to need, from its image and folder
webhook.py   push events of GitHub, GitLab and Gitea: signatures and content
pipeline.py  what a declarative Jenkinsfile says
"""
