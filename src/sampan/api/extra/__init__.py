"""What Sampan adds to the API of Kubernetes: the group sampan.dev, and metrics.k8s.io, which upstream has elsewhere.

Hand-written, and pure like the rest of `api`.

sampan_v1.py        the Structs of App
pipelinerun_v1.py   the Structs of PipelineRun
pipelineruns.py     what a PipelineRun may say and what it leaves open
metrics_v1beta1.py  what pods and nodes use
defaults.py         what an App leaves open
validation.py       what an App may say
expansion.py        an App as the plain Kubernetes objects that it stands for
releases.py         what an App was, one ControllerRevision a release
steps.py            how far an App has come: six conditions in words for newcomers
"""
