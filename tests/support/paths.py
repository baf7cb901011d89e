"""Paths of the checkout, its tests, the installed commands and the real data."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
CASES = TESTS / "cases"
BIN = Path(sys.executable).parent
DATA = ROOT.parent / "shared" / "data"
"""Public data outside the checkout: a test that needs it is skipped if it is missing."""
