"""The RO-Crate community's validator, without a network: what we did not make judges the crate."""

import io
import json
import os
from pathlib import Path

import pytest

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def _context() -> bytes:
    """The context that the package rocrate carries, which is that of RO-Crate 1.3, with the terms of workflows
    as 1.1 has them."""
    import rocrate

    text = (Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text(encoding="utf-8")
    terms = "https://bioschemas.org/terms/"
    for name in ("input", "output"):
        text = text.replace(
            f"{terms}{name}", f"https://bioschemas.org/ComputationalWorkflow#{name}"
        )
    return json.dumps(json.loads(text.replace(terms, "https://bioschemas.org/"))).encode()


def required_faults(crate: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """What of a folder breaks a requirement of Provenance Run Crate or of a profile that it builds on."""
    if not os.environ.get("EVERY_TOOL"):
        pytest.importorskip("rocrate_validator", reason="roc-validator is not installed")
        pytest.importorskip("rocrate", reason="rocrate is not installed")
    import requests
    from requests.adapters import HTTPAdapter
    from rocrate_validator import models, services

    content = _context()

    def send(self, request, **_):
        if request.url != CONTEXT:
            raise requests.ConnectionError(f"asked for {request.url}")
        answer = requests.Response()
        answer.request, answer.url, answer.status_code = request, request.url, 200
        answer._content, answer.raw = content, io.BytesIO(content)
        answer.headers["Content-Type"] = "application/ld+json"
        return answer

    patch.setattr(HTTPAdapter, "send", send)
    result = services.validate(
        services.ValidationSettings(
            rocrate_uri=str(crate),
            profile_identifier="provenance-run-crate",
            requirement_severity=models.Severity.REQUIRED,
            no_cache=True,
        )
    )
    assert len(result.executed_checks) > 50  # all profiles were looked at
    return [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()]
