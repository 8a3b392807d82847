//go:build cgo

package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"caos/internal/worker"
)

// withTable is an engine that has read a file, with another beside it.
func withTable(t testing.TB) *engine {
	t.Helper()
	e := inFolder(t)
	for name, text := range map[string]string{"a.csv": "id,name,t\n1,x,2001-01-01 00:00:00\n2,y,2001-02-01 10:00:00\n", "secret.csv": "k\nv\n"} {
		if err := os.WriteFile("in/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.input(context.Background(), worker.Input{Name: "a", Files: []string{"a.csv"}, Format: "csv"}); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestStatementsThatEscape tries each way out of a statement that the engine has. None
// gets an answer, and none gets as far as the engine's own refusal.
func TestStatementsThatEscape(t *testing.T) {
	e := withTable(t)
	for _, sql := range []string{
		"ATTACH '/job/out/x.db' AS x", "ATTACH ':memory:' AS x", "LOAD httpfs", "INSTALL httpfs", "FORCE INSTALL httpfs", "LOAD '/job/in/x.duckdb_extension'",
		"COPY a TO '/tmp/x.csv'", "COPY (SELECT 1) TO '/job/out/x.csv'", "COPY a FROM '/etc/passwd'", "EXPORT DATABASE '/job/out/x'", "IMPORT DATABASE '/job/in'",
		"SET memory_limit='10GB'", "SET GLOBAL threads=64", "RESET memory_limit", "PRAGMA threads=64", "PRAGMA database_list", "CALL pragma_version()", "CALL enable_logging()",
		"CREATE TABLE x AS SELECT 1", "CREATE VIEW x AS SELECT 1", "CREATE MACRO m() AS TABLE FROM read_text('/etc/passwd')", "CREATE SECRET s (TYPE s3)", "CREATE SEQUENCE s",
		"INSERT INTO a VALUES (2,'y')", "DELETE FROM a", "UPDATE a SET id=2", "DROP TABLE a", "ALTER TABLE a RENAME TO b", "TRUNCATE a", "VACUUM", "CHECKPOINT", "BEGIN", "USE x",
		"EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1", "DESCRIBE a", "SHOW TABLES", "SUMMARIZE a", "FROM (DESCRIBE a)", "FROM (SHOW TABLES)", "FROM (SUMMARIZE a)", "PREPARE p AS SELECT 1", "EXECUTE p",
		"SELECT 1; SELECT 2", "SELECT 1; ATTACH ':memory:' AS y", "", ";",
		"SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_blob('/proc/1/environ')", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM read_csv_auto('/job/in/secret.csv')",
		"SELECT * FROM read_parquet('/x')", "SELECT * FROM parquet_scan('/x')", "SELECT * FROM parquet_metadata('/x')", "SELECT * FROM parquet_schema('/x')", "SELECT * FROM parquet_kv_metadata('/x')",
		"SELECT * FROM read_json('/x')", "SELECT * FROM read_ndjson('/x')", "SELECT * FROM read_json_objects('/x')", "SELECT * FROM read_duckdb('/x')", "SELECT * FROM sniff_csv('/etc/passwd')", "SELECT * FROM glob('/*')",
		"SELECT * FROM '/etc/passwd'", "SELECT * FROM 'in/secret.csv'", "SELECT * FROM \"in/secret.csv\"", "SELECT * FROM '/job/in/secret.csv'", "FROM 'https://example.org/x.csv'", "FROM 's3://b/x.parquet'",
		"SELECT * FROM '/proc/1/environ'", "SELECT (SELECT count(*) FROM '/etc/passwd')", "SELECT * FROM a WHERE id IN (FROM 'in/secret.csv')", "SELECT * FROM a, LATERAL (SELECT * FROM read_text(name))",
		"WITH x AS (FROM 'in/secret.csv') SELECT * FROM x", "WITH x AS MATERIALIZED (SELECT * FROM read_text('in/secret.csv')) SELECT * FROM x",
		"SELECT * FROM \"/job/in/secret.csv\", (WITH \"/job/in/secret.csv\" AS (SELECT 1) FROM \"/job/in/secret.csv\")",
		"WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i+1 FROM r, 'in/secret.csv') FROM r",
		"SELECT * FROM a UNION ALL FROM 'in/secret.csv'", "SELECT * FROM a ORDER BY (SELECT max(k) FROM 'in/secret.csv')", "SELECT max(id) OVER (ORDER BY (SELECT 1 FROM 'in/secret.csv')) FROM a",
		"SELECT id FROM a GROUP BY id HAVING count(*) > (SELECT 1 FROM 'in/secret.csv')", "SELECT * FROM a QUALIFY 1 = (SELECT 1 FROM 'in/secret.csv')", "SELECT * FROM a LIMIT (SELECT count(*) FROM 'in/secret.csv')",
		"SELECT list_transform([1], lambda x: (SELECT count(*) FROM 'in/secret.csv'))", "SELECT * FROM (VALUES ((SELECT count(*) FROM 'in/secret.csv')))", "SELECT * FROM a JOIN 'in/secret.csv' ON true",
		"PIVOT a ON name USING count(*)", "SELECT * FROM (PIVOT 'in/secret.csv' ON k IN ('v') USING count(*))", "UNPIVOT 'in/secret.csv' ON k", "SELECT * FROM a AT (VERSION => 1)", "SELECT * FROM a TABLESAMPLE 1 ROWS, 'in/secret.csv'",
		"SELECT CASE WHEN true THEN (SELECT k FROM 'in/secret.csv') END", "SELECT COLUMNS(c -> (SELECT true FROM 'in/secret.csv')) FROM a", "SELECT * REPLACE ((SELECT k FROM 'in/secret.csv') AS name) FROM a",
		"SELECT sum(id) FILTER (WHERE (SELECT true FROM 'in/secret.csv')) FROM a", "SELECT string_agg(name ORDER BY (SELECT k FROM 'in/secret.csv')) FROM a", "SELECT * FROM range((SELECT count(*) FROM 'in/secret.csv'))",
		"SELECT getenv('PATH')", "SELECT current_setting('temp_directory')", "SELECT * FROM duckdb_settings()", "SELECT * FROM duckdb_secrets()", "SELECT * FROM duckdb_tables()", "SELECT * FROM duckdb_variables()",
		"SELECT * FROM information_schema.tables", "SELECT * FROM pg_catalog.pg_tables", "SELECT * FROM pg_tables", "SELECT * FROM sqlite_master", "SELECT * FROM duckdb_columns", "SELECT * FROM main.a", "SELECT * FROM memory.main.a", "SELECT * FROM temp.a",
		"SELECT * FROM query('SELECT 1')", "SELECT * FROM query_table('a')", "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "SELECT json_serialize_plan('FROM read_text(''/etc/passwd'')')",
		"SELECT * FROM pragma_table_info('a')", "SELECT * FROM pragma_version()", "SELECT * FROM test_all_types()", "SELECT * FROM repeat(1, 1000000000000)", "SELECT * FROM seq_scan('a')", "SELECT * FROM arrow_scan(1,2,3)", "SELECT * FROM which_secret('x','s3')", "SELECT * FROM summary(TABLE a)",
		"SELECT write_log('x')", "SELECT nextval('s')", "SELECT sleep_ms(100000)", "SELECT pg_sleep(100000)", "SELECT version()", "SELECT current_database()", "SELECT pg_catalog.pg_size_pretty(1)", "SELECT temp.main.upper('x')", "SELECT nosuch(1)",
		"SELECT (WITH pg_settings AS (SELECT 1) FROM pg_settings), setting FROM pg_settings", "WITH pg_settings AS (FROM pg_settings) FROM pg_settings", "SELECT (WITH Duckdb_Views AS (SELECT 1) FROM duckdb_views), sql FROM duckdb_views",
		"SELECT (WITH duckdb_logs AS (SELECT 1) FROM duckdb_logs LIMIT 1), * FROM duckdb_logs", "WITH sqlite_master AS (FROM sqlite_master) FROM sqlite_master",
		"SELECT ?", "SELECT $1", "SELECT * FROM caos_rejects", "SELECT * FROM later", "SELECT * FROM b",
	} {
		rows, err := e.query(context.Background(), worker.Query{Name: "q", SQL: sql})
		var f *worker.Failure
		switch {
		case err == nil:
			t.Errorf("%q was answered: %v", sql, rows.Rows)
		case !errors.As(err, &f):
			t.Errorf("%q: the engine had to refuse it: %v", sql, err)
		case f.Kind != worker.KindRefused && !(f.Kind == worker.KindSQL && strings.Contains(f.Message, "syntax error")):
			t.Errorf("%q: %s: %v", sql, f.Kind, f)
		}
	}
	if entries, _ := os.ReadDir("out"); len(entries) > 0 {
		t.Errorf("something was written: %v", entries)
	}
}

// TestStatementsThatServe are what pipelines are made of: none is refused.
func TestStatementsThatServe(t *testing.T) {
	e := withTable(t)
	for _, sql := range []string{
		"SELECT * FROM a", "FROM a", "TABLE a", "VALUES (1), (2)", "SELECT * FROM A", `SELECT * FROM "a" -- the end`, "SELECT 1;", "(SELECT 1)",
		"WITH x AS (SELECT id FROM a), y AS (SELECT * FROM x) SELECT * FROM y", "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i < 5) SELECT * FROM r",
		"SELECT id, lag(id) OVER (ORDER BY id) FROM a", "SELECT count(*), count(DISTINCT name), quantile_cont(id, 0.5), median(id), stddev_samp(id), mode(name) FROM a", "SELECT name, sum(id) FROM a GROUP BY ALL ORDER BY ALL",
		"SELECT * FROM range(5)", "SELECT * FROM generate_series(1, 5)", "SELECT unnest([1,2,3])", "SELECT * FROM unnest([1,2,3])", "SELECT * FROM a, LATERAL (SELECT id + 1 AS n)", "SELECT * FROM a CROSS JOIN range(2) r(i)",
		"SELECT strftime(t, '%Y'), date_trunc('month', t), t + INTERVAL 1 DAY, extract(year FROM t), t::DATE, epoch(t), date_diff('day', t, TIMESTAMP '2002-01-01') FROM a",
		"SELECT CASE WHEN id = 1 THEN 'one' ELSE 'more' END, coalesce(name, ''), nullif(id, 1), id BETWEEN 1 AND 2, id IN (1, 2), name LIKE 'x%', name ILIKE 'X', regexp_matches(name, 'x'), name SIMILAR TO 'x' FROM a",
		"SELECT * EXCLUDE (t), * REPLACE (id * 2 AS id), COLUMNS('i.*') FROM a", "SELECT id::DECIMAL(10,2), CAST(name AS VARCHAR), TRY_CAST(name AS INTEGER), id // 2, id % 2, id ^ 2, -id, abs(id), round(id / 3, 2) FROM a",
		"SELECT list_transform([1,2], lambda x: x + 1), [x * 2 FOR x IN [1,2] IF x > 1], {'k': 1}.k, struct_pack(a := 1), map {'k': 1}['k'], [1,2,3][2], [1,2,3][1:2]", "SELECT row_number() OVER () AS n, * FROM a QUALIFY n = 1",
		"SELECT * FROM a ASOF JOIN a AS b ON a.t >= b.t", "SELECT * FROM a SEMI JOIN a AS b USING (id)", "SELECT * FROM a POSITIONAL JOIN a AS b", "SELECT id FROM a EXCEPT SELECT 1", "SELECT * FROM a UNION BY NAME SELECT 1 AS z", "SELECT * FROM a USING SAMPLE 1 ROWS",
		"SELECT * FROM (PIVOT a ON name IN ('x', 'y') USING sum(id))", "UNPIVOT (SELECT 1 AS p, 2 AS q) ON p, q INTO NAME n VALUE v", "SELECT DISTINCT ON (name) * FROM a", "SELECT getvariable('interval_start')", "SELECT EXISTS (FROM a), id = ANY (SELECT id FROM a), (SELECT max(id) FROM a) FROM a",
		"SELECT '{\"k\": [1]}'::JSON -> 'k', json_extract('{\"k\": 1}', '$.k')", "SELECT * FROM json_each('[1,2]')", "SELECT name COLLATE NOCASE FROM a", "SELECT 'NaN'::DOUBLE, isnan('nan'::DOUBLE), isinf(1e308 * 10), 1 IS DISTINCT FROM NULL", "SELECT sum(id) FILTER (WHERE id > 1), string_agg(name, ',' ORDER BY id) FROM a",
		"SELECT grouping(name), count(*) FROM a GROUP BY ROLLUP (name)", "SELECT md5(name), sha256(name), hash(name), substring(name, 1, 1), name[1], split_part(name, ',', 1), trim(name), concat_ws('-', name, id), printf('%d', id), format('{}', id) FROM a", "SELECT now(), current_date, current_timestamp", "SELECT a.id FROM a GROUP BY 1 ORDER BY #1",
		"SELECT INTERVAL '1' MONTH, DATE '2001-01-01', TIME '10:00', TIMESTAMPTZ '2001-01-01 00:00:00+00', '\\x00'::BLOB, uuid()::VARCHAR IS NOT NULL, TRUE, 1e10, 0x10, 123456789012345678901234567890", "SELECT t AT TIME ZONE 'Europe/Berlin' FROM a", "SELECT approx_count_distinct(id), arg_max(name, id), histogram(id), list(id), first(id ORDER BY id) FROM a", "SELECT try(CAST('x' AS INTEGER))", "SELECT if(true, 1, 2), ifnull(NULL, 1), greatest(1, 2)",
	} {
		if _, err := e.query(context.Background(), worker.Query{Name: "q", SQL: sql}); err != nil {
			t.Errorf("%q: %v", sql, err)
		}
	}
}
