"""Which of the nodes that may take a pod should: one file per score."""

from sampan.scheduler.scores import (
    balancedallocation,
    imagelocality,
    interpodaffinity,
    leastallocated,
    nodeaffinity,
    podtopologyspread,
    tainttoleration,
)
from sampan.scheduler.scores.score import Score

ALL: tuple[Score, ...] = (
    tainttoleration.SCORE,
    nodeaffinity.SCORE,
    podtopologyspread.SCORE,
    interpodaffinity.SCORE,
    leastallocated.SCORE,
    balancedallocation.SCORE,
    imagelocality.SCORE,
)
