"""The schemas name what the code knows, neither more nor less."""

import yaml

from immunotrace.cytometry.acquisition_qc import QC_DEFAULTS
from immunotrace.doseresponse.models import MODELS
from immunotrace.plates.readers import READERS
from immunotrace.plates.units import _AMOUNT, _MASS
from immunotrace.validation import load_schema


def test_models():
    known = load_schema("config")["properties"]["dose_response"]["properties"]["model"]["enum"]
    assert sorted(known) == sorted(MODELS)


def test_quality_control_defaults():
    part = load_schema("config")["properties"]["cytometry"]["properties"]["qc"]["properties"]
    assert {key: value["default"] for key, value in part.items()} == QC_DEFAULTS


def test_plate_formats_and_units():
    columns = load_schema("plates")["properties"]
    assert sorted(columns["format"]["enum"]) == sorted([*READERS, "auto"])
    assert columns["dose_unit"]["enum"] == [*_MASS, *_AMOUNT]


def test_the_bundled_configuration_spells_out_the_defaults(repository):
    # config.yaml shows every analysis setting at its default, so that a copy of it is a reference.
    config = yaml.safe_load((repository / "config.yaml").read_text(encoding="utf-8"))
    sections = load_schema("config")["properties"]

    def check(given, schema):
        for key, part in schema["properties"].items():
            if "default" in part and part["default"] != {}:
                assert given[key] == part["default"], key
            if part.get("default") == {}:
                check(given[key], part)

    for name in ("cytometry", "dose_response", "longitudinal"):
        check(config[name], sections[name])
