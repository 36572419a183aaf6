"""What a cluster has from the beginning."""
