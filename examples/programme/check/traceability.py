"""Checks of a production traceability matrix (CSV, one link a row).

Each check returns the rows it objects to, as sentences; an empty list is a pass. The
columns are Source_ID, Source_Type, Target_ID, Target_Type, Relationship, Rationale,
Status, Last_Verified (ISO date) and Verified_By.
"""

import csv
import datetime
import re
from collections import Counter, defaultdict
from pathlib import Path

# The relation codes of document 95-00-09-00-006.
RELATIONS = {"DRVF", "REFN", "IMPL", "VALD", "DEPO", "PRNT", "REFS", "SUPR"}

# A document id such as 95-00-09-01-001, or an id with a letter part such as 95-00-03-REQ-001.
IDENTIFIER = re.compile(r"\d{2}(-\d{2}){2}(-\d{2}-\d{3}|-[A-Z]{2,4}-\d{3})")

# Relations that say "comes after": following them must never lead back.
ORDERED = {"DRVF", "REFN", "IMPL", "DEPO", "PRNT"}


def read(path: Path) -> list[dict[str, str]]:
    """Read the matrix; a row is a dictionary by column name."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def malformed_ids(rows):
    """Ids that do not follow the programme's numbering."""
    return [
        f"row {number}: {row[column]!r} is not an id"
        for number, row in enumerate(rows, start=2)
        for column in ("Source_ID", "Target_ID")
        if not IDENTIFIER.fullmatch(row[column])
    ]


def unknown_relations(rows):
    """Relation codes that the programme does not define."""
    return [
        f"row {number}: relation {row['Relationship']!r} is not defined"
        for number, row in enumerate(rows, start=2)
        if row["Relationship"] not in RELATIONS
    ]


def duplicate_links(rows):
    """Links that are stated more than once."""
    count = Counter((row["Source_ID"], row["Target_ID"], row["Relationship"]) for row in rows)
    return [f"{link} is stated {n} times" for link, n in count.items() if n > 1]


def links_to_itself(rows):
    """Links whose two ends are one item."""
    return [
        f"row {number}: {row['Source_ID']} links to itself"
        for number, row in enumerate(rows, start=2)
        if row["Source_ID"] == row["Target_ID"]
    ]


def empty_fields(rows):
    """Fields left empty: a link without a rationale or a verifier traces nothing."""
    return [
        f"row {number}: {column} is empty"
        for number, row in enumerate(rows, start=2)
        for column, value in row.items()
        if value is None or not value.strip()
    ]


def bad_dates(rows):
    """Verification dates that are not calendar dates."""
    problems = []
    for number, row in enumerate(rows, start=2):
        try:
            datetime.date.fromisoformat(row["Last_Verified"])
        except ValueError:
            problems.append(f"row {number}: {row['Last_Verified']!r} is not a date")
    return problems


def circular_links(rows):
    """Items that come after themselves."""
    after = defaultdict(set)
    for row in rows:
        if row["Relationship"] in ORDERED:
            after[row["Source_ID"]].add(row["Target_ID"])
    problems = []
    for start in sorted(after):
        seen, waiting = set(), list(after[start])
        while waiting:
            item = waiting.pop()
            if item not in seen:
                seen.add(item)
                waiting.extend(after.get(item, ()))
        if start in seen:
            problems.append(f"{start} comes after itself")
    return problems


def implemented_by(rows, requirement):
    """Ids of the items that implement a requirement."""
    return sorted(row["Target_ID"] for row in rows if row["Source_ID"] == requirement and row["Relationship"] == "IMPL")
