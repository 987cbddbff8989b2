"""What counts as baseline, for every part of the analysis."""

LAST_DAY = 0
"""The first infusion is on day 0, and a sample of that day is taken before it."""

ENOUGH_DAYS = 7
"""Baseline days of a patient that need no control: with 6 degrees of freedom t is a quarter wider."""
