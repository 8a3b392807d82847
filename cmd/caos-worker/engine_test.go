//go:build cgo

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"caos/internal/worker"
)

// inFolder opens an engine in a folder of its own.
func inFolder(t testing.TB) *engine {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range []string{worker.InFolder, worker.OutFolder, worker.TempFolder} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	e, err := open(context.Background(), &worker.Job{MemoryBytes: 256 << 20, Threads: 1, TempBytes: 1 << 20}, newEvents(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.conn.Close(); _ = e.db.Close() })
	return e
}

// TestTheEngineIsLocked: what the check of statements would have let through, the engine
// refuses by itself. These are run as they are.
func TestTheEngineIsLocked(t *testing.T) {
	e := inFolder(t)
	outside := t.TempDir() + "/outside.csv"
	if err := os.WriteFile(outside, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"SET memory_limit='100GB'", "SET threads=64", "SET enable_external_access=true", "SET lock_configuration=false", "SET allowed_directories=['/']", "SET temp_directory='/tmp'",
		"SET allow_community_extensions=true", "SET autoinstall_known_extensions=true", "RESET memory_limit", "PRAGMA memory_limit='100GB'", "SET VARIABLE x = 1; SET threads=64",
		"ATTACH '/tmp/caos-h.db'", "ATTACH 'out/../../x.db'", "INSTALL httpfs", "LOAD httpfs", "LOAD '/tmp/x.duckdb_extension'", "COPY (SELECT 1) TO '" + outside + "'", "COPY (SELECT 1) TO 'out/../../x.csv'",
		"SELECT * FROM read_csv('" + outside + "')", "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_text('in/../../../../../../etc/passwd')", "SELECT * FROM '" + outside + "'", "SELECT * FROM glob('/etc/*')", "SELECT * FROM read_blob('/proc/self/environ')",
		"SELECT getenv('PATH')", "EXPORT DATABASE '/tmp/x'", "CREATE SECRET s (TYPE s3, KEY_ID 'x')", "SELECT * FROM 'https://example.org/x.csv'",
	} {
		if _, err := e.conn.ExecContext(context.Background(), sql); err == nil {
			rows, err := e.conn.QueryContext(context.Background(), sql)
			if err == nil && rows.Next() {
				t.Errorf("%s: done", sql)
			}
			if rows != nil {
				_ = rows.Close()
			}
		}
	}
}

// TestFunctionsAreJudged: a new version of the engine may bring functions. Each is put on
// functions.txt, or on the list of those that were refused.
func TestFunctionsAreJudged(t *testing.T) {
	e := inFolder(t)
	refused := strings.Fields(refusedFunctions)
	rows, err := e.conn.QueryContext(context.Background(), "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'macro') ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		listed, not := e.allow[strings.ToLower(name)], slices.Contains(refused, name) || strings.HasPrefix(name, "__internal") || name == "!__postfix"
		if listed == not {
			t.Errorf("%s: allowed %t, refused %t", name, listed, not)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// refusedFunctions tell of the engine, of its settings, its sessions and catalogues, wait,
// write logs, plan statements, or change what is not their argument.
const refusedFunctions = `
can_cast_implicitly cast_to_type col_description combine constant_or_null create_sort_key current_catalog current_connection_id current_database
current_query current_query_id current_role current_schema current_schemas current_setting current_transaction_id current_user currval finalize
format_pg_type format_type get_block_size get_type has_any_column_privilege has_column_privilege has_database_privilege
has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege has_schema_privilege has_sequence_privilege has_server_privilege
has_table_privilege has_tablespace_privilege icu_sort_key in_search_path inet_client_addr inet_client_port inet_server_addr inet_server_port
json_deserialize_sql json_serialize_plan json_serialize_sql make_type map_to_pg_oid nextval obj_description parse_duckdb_log_message
pg_collation_is_visible pg_conf_load_time pg_conversion_is_visible pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_viewdef pg_has_role
pg_is_other_temp_schema pg_my_temp_schema pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible pg_postmaster_start_time pg_size_pretty
pg_sleep pg_table_is_visible pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible
remap_struct replace_type session_user shobj_description sleep_ms st_asbinary st_astext st_aswkb st_aswkt st_crs st_geomfromwkb st_intersects_extent
st_setcrs stats timetz_byte_comparable txid_current user variant_bytes_to_variant variant_to_parquet_variant vector_type version write_log`

func TestProgressCanBeHad(t *testing.T) {
	if e := inFolder(t); e.raw.Ptr == nil {
		t.Error("the driver's connection has no handle where it was: progress has no percentage")
	}
}

func FuzzCheck(f *testing.F) {
	for _, sql := range []string{"SELECT 1", "WITH x AS (SELECT 1) FROM x", "SELECT * FROM '/etc/passwd'", "PIVOT a ON b", "SELECT [1, {'a': 2}], map {1: 2}", "\x00", "SELECT * FROM a AT (VERSION => 1)"} {
		f.Add(sql)
	}
	e := inFolder(f)
	f.Fuzz(func(t *testing.T, sql string) {
		if strings.ContainsRune(sql, 0) {
			t.Skip("refused by worker.ParseJob")
		}
		if e.check(context.Background(), sql) != nil {
			return
		}
		// What is let through makes a view or fails as SQL; it opens nothing.
		_, err := e.conn.ExecContext(context.Background(), "CREATE OR REPLACE TEMP VIEW v AS\n"+sql)
		if err != nil && strings.Contains(err.Error(), "Permission Error") {
			t.Errorf("%q got as far as the engine's own lock: %v", sql, err)
		}
	})
}

func TestServeSpeaksOfBadJobs(t *testing.T) {
	for _, job := range []string{"", "x", "{}", `{"memory_bytes":1}`, `{"unknown":1}`, `[]`, strings.Repeat("[", 100_000)} {
		var out strings.Builder
		if code := serve(bufio.NewReader(strings.NewReader(job)), newEvents(&out)); code != 1 || !strings.Contains(out.String(), `{"failure":{"kind":"refused"`) {
			t.Errorf("%.20q: %d %.300s", job, code, out.String())
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}, {"/nowhere"}} {
		if run(args) == 0 {
			t.Errorf("%q", args)
		}
	}
	if run([]string{"--help"}) != 0 || run([]string{"--version"}) != 0 {
		t.Error("help or version")
	}
}
