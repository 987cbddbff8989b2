"""What counts as baseline, for every part of the analysis."""

LAST_DAY = 0
"""The first infusion is on day 0, and a sample of that day is taken before it."""
