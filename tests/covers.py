"""`@covers("[sig-...] ...")` names a conformance behaviour that a test covers; see scripts/test --covered."""

import pytest

covers = pytest.mark.covers
