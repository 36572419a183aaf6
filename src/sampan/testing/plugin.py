"""The pytest plugin: fixture `cluster`."""
