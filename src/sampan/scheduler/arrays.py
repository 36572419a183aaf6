"""numpy, loaded with one thread: its linear algebra is not used, and threads must not exist before a fork.

With OPENBLAS_NUM_THREADS=1 the import costs 35 ms and 4 MB; without it, 13 MB and a thread per further processor.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Floats", "Ints", "Rows", "np"]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

Rows = slice | Ints
"""Which nodes a computation is about: all of them as a slice, or a few row numbers."""
