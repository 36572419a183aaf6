"""One process with several threads a pod: more pods are the autoscaler's business."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers, threads, worker_class = 1, 8, "gthread"
worker_tmp_dir = "/dev/shm"  # noqa: S108  memory: a slow disk does not make it look hung
graceful_timeout = 10
keepalive = 65  # seconds, longer than whoever stands in front keeps a connection


def post_worker_init(worker):
    """Look for the database as soon as the application is loaded, not at the first visit."""
    worker.app.callable.extensions["entries"].begin()
