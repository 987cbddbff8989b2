"""The simulator of the bundled case: invented truth in, raw files as instruments export them out.

Everything is simulated and says so; no number is the paper's. The package shares no code with the
analysis (`immunotrace`): not its readers, gates, thresholds or models. It needs numpy, and pyyaml to
read its settings (`resources/case/simulation.yaml`).
"""
