"""The cluster's DNS (CoreDNS): zone.py answers for the cluster, forward.py asks others, server.py listens."""
