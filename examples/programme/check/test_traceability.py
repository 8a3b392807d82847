"""The checks on the programme's matrix, and each check on a matrix with one mistake."""

from pathlib import Path

import pytest

import traceability as check

MATRIX = Path(__file__).parent.parent / "95-00-09-00-004_Production_Traceability_Matrix.csv"
REQUIREMENTS = ["95-00-03-REQ-001", "95-00-03-REQ-002", "95-00-03-REQ-003"]
CHECKS = [
    check.malformed_ids,
    check.unknown_relations,
    check.duplicate_links,
    check.links_to_itself,
    check.empty_fields,
    check.bad_dates,
    check.circular_links,
]


@pytest.fixture(scope="module")
def rows():
    """The matrix as it is; an empty one would pass every check and prove nothing."""
    rows = check.read(MATRIX)
    assert len(rows) == 65
    return rows


@pytest.mark.parametrize("rule", CHECKS, ids=lambda rule: rule.__name__)
def test_matrix(rows, rule, record_property):
    record_property("document", "95-00-09-00-004")
    assert rule(rows) == []


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_requirement_is_implemented(rows, requirement, record_property):
    record_property("requirement", requirement)
    assert check.implemented_by(rows, requirement)


GOOD = {
    "Source_ID": "95-00-03-REQ-001", "Source_Type": "Requirement", "Target_ID": "95-00-09-01-001", "Target_Type": "Process",
    "Relationship": "IMPL", "Rationale": "why", "Status": "ACTIVE", "Last_Verified": "2025-11-17", "Verified_By": "Board",
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (check.malformed_ids, [GOOD | {"Target_ID": "95-9-1"}]),
        (check.unknown_relations, [GOOD | {"Relationship": "LIKE"}]),
        (check.duplicate_links, [GOOD, GOOD]),
        (check.links_to_itself, [GOOD | {"Target_ID": "95-00-03-REQ-001"}]),
        (check.empty_fields, [GOOD | {"Rationale": " "}]),
        (check.bad_dates, [GOOD | {"Last_Verified": "2025-02-30"}]),
        (check.circular_links, [GOOD, GOOD | {"Source_ID": "95-00-09-01-001", "Target_ID": "95-00-03-REQ-001"}]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_check_can_fail(rule, rows):
    assert rule([GOOD]) == []
    assert rule(rows)
