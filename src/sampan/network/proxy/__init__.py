"""Services in the kernel (kube-proxy): compute.py decides, apply.py writes, proxy.py follows the cluster."""
