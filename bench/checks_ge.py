"""The checks of the table that bench/duckdb makes, by Great Expectations 1.x on pandas.

Usage: python checks_ge.py FILE.parquet. Prints one JSON object: the seconds from opening the
file to the last result, without the start of Python, and how many checks passed.
"""
import json
import logging
import sys
import time
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import great_expectations as gx  # noqa: E402
import great_expectations.expectations as e  # noqa: E402
import pandas as pd  # noqa: E402


def main(file):
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    checks = [
        e.ExpectTableRowCountToBeBetween(min_value=1),
        e.ExpectColumnValuesToNotBeNull(column="id"),
        e.ExpectColumnValuesToNotBeNull(column="taken_at"),
        e.ExpectColumnValuesToNotBeNull(column="humidity", mostly=0.99),
        e.ExpectColumnValuesToNotBeNull(column="sensor"),
        e.ExpectColumnValuesToBeUnique(column="id"),
        e.ExpectColumnValuesToBeInSet(column="unit", value_set=["K", "kPa", "pct", "n"]),
        e.ExpectColumnValuesToBeInSet(column="status", value_set=["OK", "WARN", "FAIL"]),
        e.ExpectColumnValuesToMatchRegex(column="part", regex="^[A-Z]{2}-[0-9]{4}$"),
        e.ExpectColumnValuesToMatchRegex(column="sensor", regex="^S-[0-9]{3}$"),
        e.ExpectColumnValuesToNotBeInSet(column="status", value_set=["", "N/A"]),
        e.ExpectColumnValuesToBeBetween(column="temperature", min_value=200, max_value=400, mostly=0.9999),
        e.ExpectColumnValuesToBeBetween(column="pressure", min_value=90, max_value=110, mostly=0.9999),
        e.ExpectColumnValuesToBeBetween(column="humidity", min_value=0, max_value=100),
        e.ExpectColumnValuesToBeBetween(column="pulses", min_value=0, max_value=999),
        e.ExpectColumnMeanToBeBetween(column="temperature", min_value=290, max_value=300),
        e.ExpectColumnMedianToBeBetween(column="humidity", min_value=45, max_value=55),
        e.ExpectColumnMaxToBeBetween(column="taken_at", min_value=pd.Timestamp("2026-01-01")),
        e.ExpectColumnQuantileValuesToBeBetween(column="temperature", quantile_ranges={"quantiles": [0.25, 0.75], "value_ranges": [[280, 300], [295, 310]]}),
        e.ExpectColumnValueZScoresToBeLessThan(column="pressure", threshold=6, double_sided=True, mostly=0.9999),
    ]
    begun = time.perf_counter()
    result = batch.get_batch({"dataframe": pd.read_parquet(file)}).validate(gx.ExpectationSuite(name="s", expectations=checks))
    took = time.perf_counter() - begun
    failed = [r.expectation_config.type for r in result.results if not r.success]
    print(json.dumps({"seconds": took, "checks": len(result.results), "failed": failed, "version": gx.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
