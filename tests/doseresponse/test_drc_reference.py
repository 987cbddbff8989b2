"""Fits against R's drc 3.0-1 and the exact optima that come with its results."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from immunotrace.doseresponse.batch import summarise
from immunotrace.doseresponse.calls import (
    DETERMINED,
    calls,
    lack_of_fit_p,
    relative_call,
    unidentified,
    unidentified_jointly,
)
from immunotrace.doseresponse.fit import curve_parameters, fit
from immunotrace.doseresponse.intervals import effective_dose, effective_dose_interval
from immunotrace.doseresponse.joint import f_test, fit_jointly, sharing_places
from immunotrace.doseresponse.models import (
    ABSOLUTE,
    BOTTOM,
    MIDPOINT,
    MODELS,
    RELATIVE,
    SLOPE,
    Level,
    evaluate,
    log_effective_dose,
)

MODEL_NAMES = {
    "LL.3": "three_parameter",
    "LL.4": "four_parameter",
    "LL.5": "five_parameter",
    "W1.4": "weibull1",
    "W2.4": "weibull2",
}
PARAMETERS = {"b": 0, "c": 1, "d": 2, "e": 3, "f": 4}


@pytest.fixture(scope="session")
def records(reference):
    return json.loads((reference / "doseresponse" / "drc_reference.json").read_text())


@pytest.fixture(scope="session")
def data_sets(reference):
    sets = {}
    for path in (reference / "doseresponse" / "data").glob("*.csv"):
        with open(path, newline="") as file:
            sets[f"data/{path.name}"] = list(csv.DictReader(file))
    return sets


def select(rows, record):
    """The rows that a record's `row_filter` names."""
    rule = record["row_filter"]
    rows = [row for row in rows if row["response"]]
    if rule is None:
        return rows
    if rule.startswith("curve in"):
        wanted = {name.strip() for name in rule.split("{")[1].rstrip("}").split(",")}
        return [row for row in rows if row["curve"] in wanted]
    if rule.startswith("HERBICIDE"):
        return [row for row in rows if row["HERBICIDE"] == rule.split()[2]]
    assert rule == "curve == 2, plus the dose == 0 rows of curve 1"
    return [row for row in rows if row["curve"] == "2" or float(row["dose"]) == 0]


@pytest.fixture(scope="session")
def single_fits(records, data_sets):
    """(record, fit, curves, place in the batch) of every single fit, one batch a model."""
    out = []
    for drc_name, name in MODEL_NAMES.items():
        wanted = [
            record
            for record in records
            if record["record_type"] == "single_fit" and record["model"] == drc_name
        ]
        rows = [select(data_sets[record["file"]], record) for record in wanted]
        curves = summarise(
            [[float(row["dose"]) for row in some] for some in rows],
            [[float(row["response"]) for row in some] for some in rows],
        )
        # The runaways among them creep towards a bound that no parameters reach.
        found = fit(MODELS[name], curves, iterations=4000)
        out += [(record, found, curves, i) for i, record in enumerate(wanted)]
    return out


def best_exact(record):
    """The best of the exact optima of a record."""
    blocks = [b for b in record["exact"].values() if isinstance(b, dict) and "rss" in b]
    return min(blocks, key=lambda block: block["rss"])


def natural(theta):
    """drc's parameters: midpoint and asymmetry not as logarithms."""
    return np.concatenate([theta[:MIDPOINT], np.exp(theta[MIDPOINT:])])


def comparable(record):
    """drc's solution is an optimum, and nothing better is known."""
    return (
        record["drc_status"] in ("ok", "imprecise", "stopped_early")
        and record["exact"]["at_drc_solution"]["well_posed"]
        # Singular (condition 5e13) at the same residual sum of squares: b and f trade off.
        and record["id"] != "M.bahia/-/LL.5"
    )


def test_never_a_higher_residual_sum_of_squares(single_fits):
    excess = {}
    for record, found, _, i in single_fits:
        relative = found.rss[i] / best_exact(record)["rss"] - 1
        # Ill-posed records have no optimum: their reference is one point on an endless ridge.
        if relative > (1e-9 if best_exact(record)["well_posed"] else 1e-4):
            excess[record["id"]] = relative
    assert excess == {}
    assert len(single_fits) > 150


def test_optima_and_standard_errors(single_fits):
    checked = 0
    for record, found, _, i in single_fits:
        if not comparable(record):
            continue
        checked += 1
        exact = record["exact"]["at_drc_solution"]
        theta, errors = found.theta[:, i], np.sqrt(np.einsum("iin->in", found.covariance()))[:, i]
        scale = np.concatenate([np.ones(MIDPOINT), np.exp(theta[MIDPOINT:])])
        for name, value in exact["params"].items():
            k = PARAMETERS[name]
            # 1e-6 as asked; a plateau near 0 is judged on the scale of its standard error
            tolerance = max(1e-6 * abs(value), 1e-6 * exact["se_jtj"][name])
            assert abs(natural(theta)[k] - value) <= tolerance, record["id"]
            assert errors[k] * scale[k] == pytest.approx(exact["se_jtj"][name], rel=1e-4)
            if record["drc_status"] == "ok":
                drc = record["params"][name]
                assert abs(natural(theta)[k] - drc) < 0.01 * record["se"][name], record["id"]
        assert found.rss[i] == pytest.approx(exact["rss"], rel=1e-9)
        assert found.df[i] == record["df_residual"]
        assert found.converged[i]
    assert checked > 130


def test_effective_doses(single_fits):
    """ED10, ED50 and ED90 with J'J errors, and the absolute ED50 at drc's response level."""
    checked = 0
    for record, found, _, i in single_fits:
        if not comparable(record):
            continue
        one = found.take([i])
        for entry in record["exact"]["at_drc_solution"]["ED"]:
            # drc counts from the zero-dose end, which is the top of a falling curve
            share = entry["level"] / 100 if one.theta[SLOPE, 0] < 0 else 1 - entry["level"] / 100
            if record["model"] == "W2.4":
                share = 1 - share
            estimate, error = effective_dose(one, Level(of_top=share, of_bottom=1 - share))
            assert np.exp(estimate[0]) == pytest.approx(entry["estimate"], rel=1e-6), record["id"]
            assert np.exp(estimate[0]) * error[0] == pytest.approx(entry["se_jtj"], rel=1e-4)
            checked += 1
        absolute = record["ED50_absolute"]
        if record["drc_status"] == "ok" and absolute.get("full_delta"):
            estimate, error = effective_dose(one, Level(response=absolute["response_level"]))
            drc = absolute["full_delta"]
            # drc's parameters are within 0.01 SE of their optima, this follows from four of them
            assert abs(np.exp(estimate[0]) - drc["estimate"]) < 0.02 * drc["se"], record["id"]
    assert checked > 390


def test_ill_posed_fits_have_no_ic50_and_a_reason(single_fits):
    checked = 0
    for record, found, curves, i in single_fits:
        if not best_exact(record)["well_posed"]:
            one, own = curves.take([i]), found.take([i])
            reason = unidentified(one, own, 0.95)[0]
            assert reason, record["id"]
            bounds = {
                kind: tuple(bound[0] for bound in effective_dose_interval(own, one, at))
                for kind, at in (("relative", RELATIVE), ("absolute", ABSOLUTE))
            }
            for call in calls(one, own, 0, "", reason, bounds).values():
                assert call.call != DETERMINED, record["id"]
                assert call.reason, record["id"]
            checked += 1
    assert checked >= 17


def test_well_posed_fits_are_seldom_refused(single_fits):
    """Of the four-parameter logistic fits that drc found well no more than the steep ones."""
    refused = {
        record["id"]
        for record, found, curves, i in single_fits
        if record["model"] == "LL.4"
        and record["drc_status"] == "ok"
        and unidentified(curves.take([i]), found.take([i]), 0.95)[0]
    }
    assert refused == set()


@pytest.fixture(scope="session")
def joint_fits(records, data_sets):
    out = {}
    for record in records:
        if record["record_type"] != "joint_fit":
            continue
        model = MODELS[MODEL_NAMES[record["model"]]]
        by_curve = {}
        for row in data_sets[record["file"]]:
            curve = row["curve"]
            if curve == record["control_label"]:
                curve = record["first_curve_holding_the_controls"]
            if row["response"]:
                by_curve.setdefault(curve, []).append(row)
        groups = {
            curve: summarise(
                [[float(row["dose"]) for row in rows]], [[float(row["response"]) for row in rows]]
            )
            for curve, rows in by_curve.items()
        }
        shared = {PARAMETERS[name] for name, how in record["sharing"].items() if how == "shared"}
        found = fit_jointly(model, list(groups.values()), shared, iterations=60)
        key = (record["dataset"], record["model"], record["variant"])
        places = sharing_places(model, len(groups), shared)
        reason = unidentified_jointly(list(groups.values()), found, places)[0]
        out[key] = record, found, groups, places, reason
    return out


def same_optimum(record, found):
    """Whether drc's solution is good and ours is not a better one."""
    exact = record["exact"]["at_drc_solution"]["rss"]
    return record["drc_status"] == "ok" and found.rss[0] > exact * (1 - 1e-9)


def test_joint_fits(joint_fits):
    excess, checked = {}, 0
    for record, found, curves, places, _ in joint_fits.values():
        exact = record["exact"]
        relative = found.rss[0] / best_exact(record)["rss"] - 1
        if relative > 1e-9 and best_exact(record)["well_posed"]:
            excess[record["id"]] = relative
        if not same_optimum(record, found):
            continue
        checked += 1
        assert found.df[0] == record["df_residual"]
        errors = np.sqrt(np.diag(found.covariance()[:, :, 0]))
        expected = dict(
            zip(exact["at_drc_solution"]["coefficient_names"],
                zip(exact["at_drc_solution"]["coefficients"], exact["at_drc_solution"]["se_jtj"],
                    strict=True), strict=True)
        )  # fmt: skip
        for curve, place in zip(curves, places, strict=True):
            for name, i in PARAMETERS.items():
                if name not in record["sharing"]:
                    continue
                coefficient = next(
                    expected[k] for k in (f"{name}:{curve}", f"{name}:(Intercept)") if k in expected
                )
                (j,) = place[i]
                log = i >= MIDPOINT
                value = np.exp(found.theta[j, 0]) if log else found.theta[j, 0]
                error = errors[j] * (value if log else 1)
                assert abs(value - coefficient[0]) < 1e-5 * coefficient[1], (record["id"], name)
                assert error == pytest.approx(coefficient[1], rel=1e-4), (record["id"], name)
    assert excess == {}
    assert checked > 110


def test_ill_posed_joint_fits_are_refused_and_good_ones_are_not(joint_fits):
    """But for `NOT_ILL_POSED`, which the next test is of."""
    checked = 0
    for record, found, _, _, reason in joint_fits.values():
        if record["drc_status"] == "ill_posed" and record["id"] != NOT_ILL_POSED:
            assert reason, record["id"]
            checked += 1
        elif record["drc_status"] == "ok" and same_optimum(record, found):
            assert not reason, record["id"]
    assert checked >= 28


# The reference calls it ill-posed for drc's solution, a runaway (slope of curve 10821: -1069).
NOT_ILL_POSED = "vinclozolin/joint/common_d_common_e/W2.4"


def test_the_joint_fit_that_is_not_ill_posed_after_all(joint_fits):
    """By the definition of the reference's README: ill-posed is without a finite, well-determined optimum,
    and there is one, of 14 % less residual sum of squares. SciPy stays there too. Of its six curves
    five have no plateau and so no relative IC50, by name; the sixth has both."""
    record, found, curves, places, reason = joint_fits["vinclozolin", "W2.4", "common_d_common_e"]
    assert record["id"] == NOT_ILL_POSED
    assert record["exact"]["at_drc_solution"]["runaway_flags"] == ["10821: b_beyond_50"]
    assert found.rss[0] < 0.86 * best_exact(record)["rss"]
    assert reason == ""
    # What the README asks of a well-posed fit: J'J not singular, b within 50, e near the doses.
    assert found.condition()[0] < 100
    own = [curve_parameters(found.theta, place)[:, 0] for place in places]
    assert max(abs(theta[SLOPE]) for theta in own) < 50
    assert 0.025 / 20 < np.exp(own[0][MIDPOINT]) < 3.13 * 20

    def residuals(theta):
        return np.concatenate([
            group.mean[:, 0]
            - evaluate(found.model, curve_parameters(theta[:, None], place), group.log_dose)[0][:, 0]
            for group, place in zip(curves.values(), places, strict=True)
        ])  # fmt: skip

    again = least_squares(residuals, found.theta[:, 0], x_scale="jac", xtol=1e-14, ftol=1e-14)
    np.testing.assert_allclose(again.x, found.theta[:, 0], rtol=1e-4)
    calls_of = {
        name: relative_call(group, replace(found, theta=curve_parameters(found.theta, place)), 0)
        for (name, group), place in zip(curves.items(), places, strict=True)
    }
    assert [name for name, call in calls_of.items() if call.call == DETERMINED] == ["10828"]
    assert all("no plateau" in calls_of[name].reason for name in calls_of if name != "10828")


def test_f_tests_between_joint_fits(joint_fits, records):
    checked = 0
    for record in records:
        if record["record_type"] != "f_test":
            continue
        pair = [
            joint_fits.get((record["dataset"], record["model"], record[k]))
            for k in ("reduced", "full")
        ]
        if any(p is None or not same_optimum(p[0], p[1]) for p in pair) or "exact" not in record:
            continue
        reduced, full = pair[0][1], pair[1][1]
        f, p = f_test(reduced, full)
        assert f[0] == pytest.approx(record["exact"]["F"], rel=1e-4), record["id"]
        assert p[0] == pytest.approx(record["exact"]["p_value"], rel=1e-3, abs=1e-14)
        assert reduced.df[0] - full.df[0] == record["df_num"]
        checked += 1
    assert checked > 60


def test_ed50_ratios_of_joint_fits(joint_fits):
    checked = 0
    for record, found, curves, places, _ in joint_fits.values():
        if not same_optimum(record, found) or "ED50_ratio" not in record:
            continue
        exact = record["exact"]["at_drc_solution"]
        known = dict(zip(exact["coefficient_names"], exact["coefficients"], strict=True))
        doses, exact_doses = {}, {}
        for curve, place in zip(curves, places, strict=True):
            theta = curve_parameters(found.theta, place)
            doses[curve] = np.exp(log_effective_dose(found.model, theta, RELATIVE)[0][0])
            theta[BOTTOM] = 0.0  # of a model without the coefficient c
            for name, k in PARAMETERS.items():
                for coefficient in (f"{name}:{curve}", f"{name}:(Intercept)"):
                    if coefficient in known:
                        value = known[coefficient]
                        theta[k] = np.log(value) if k >= MIDPOINT else value
            exact_doses[curve] = np.exp(log_effective_dose(found.model, theta, RELATIVE)[0][0])
        for entry in record["ED50_ratio"]:
            first, second = entry["pair"].split("/")
            error = entry.get("se") or entry["ratio"]
            ratio = doses[first] / doses[second]
            assert ratio == pytest.approx(exact_doses[first] / exact_doses[second], rel=1e-4)
            difference = ratio - entry["ratio"]
            # drc is within 0.01 SE of its optimum, and so is its ratio
            assert abs(difference) < max(0.015 * error, 1e-4 * entry["ratio"]), record["id"]
            checked += 1
    assert checked > 50


def test_lack_of_fit(single_fits):
    """drc's sum of squares is a hair above the optimum, which shows where F is near 0."""
    checked = 0
    for record, found, curves, i in single_fits:
        p = lack_of_fit_p(curves.take([i]), found.take([i]))[0]
        drc = record.get("lack_of_fit")
        if drc is None:
            assert np.isnan(p), record["id"]
        elif comparable(record) and record["drc_status"] == "ok":
            assert p == pytest.approx(drc["p_value"], rel=1e-3, abs=2e-3), record["id"]
            checked += 1
    assert checked > 60
