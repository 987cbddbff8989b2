"""How the noise of real thymidine counts grows with the count: why weights are relative by default."""

import numpy as np
import pandas as pd
import pytest


@pytest.mark.parametrize(
    ("name", "power"), [("npem_p711", 0.75), ("npem_p713.2", 0.67), ("npem_p713", 0.83)]
)
def test_the_standard_deviation_of_replicates_grows_nearly_as_their_mean(reference, name, power):
    """Power of the standard deviation in the mean, over 40 to 48 sets of 22 to 24 wells that count 100 to
    15,000 a minute: 0 is constant noise, 0.5 that of counting alone, 1 is relative."""
    counts = pd.read_csv(reference / "proliferation" / f"{name}.csv")
    sets = counts[counts["cpm"] > 0].groupby(["plate", "group"])["cpm"].agg(["mean", "std", "size"])
    logs = np.log(sets.loc[sets["size"] >= 6, ["mean", "std"]])
    found, _ = np.polyfit(logs["mean"], logs["std"], 1)
    assert found == pytest.approx(power, abs=0.01)
    assert abs(found - 1) < min(
        found, 0.5
    )  # nearer to relative than to constant or to counting alone
