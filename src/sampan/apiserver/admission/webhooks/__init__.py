"""Admission by webhooks: servers of the cluster's own that change or refuse what is written.

hooks.py     the configurations, read once for each of their changes
matching.py  which webhook is asked about a write, and about which version of it
review.py    the question (AdmissionReview) and what the answer means
caller.py    the way to a webhook: URL or Service, TLS, time
plugins.py   MutatingAdmissionWebhook and ValidatingAdmissionWebhook
"""
