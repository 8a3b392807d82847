// Command duckdb is a peer of the data layer: DuckDB alone, in a process of its own, without
// a sandbox, a contract or a record. It makes the table that checks are measured on, runs the
// SQL that an engineer would write by hand for them, and does the transformation of a
// pipeline. It prints one JSON object.
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the engine
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "duckdb:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: duckdb generate ROWS FILE | duckdb checks THREADS FILE | duckdb etl SOURCE FOLDER")
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("SET preserve_insertion_order = true"); err != nil {
		return err
	}
	begun := time.Now()
	answer := map[string]any{}
	switch args[0] {
	case "generate":
		_, err = db.Exec(generate(args[1], args[2]))
	case "checks":
		answer, err = checks(db, args[1], args[2])
	case "etl":
		err = etl(db, args[1], args[2])
	default:
		err = fmt.Errorf("%q is none of generate, checks, etl", args[0])
	}
	if err != nil {
		return err
	}
	answer["seconds"] = time.Since(begun).Seconds()
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// generate makes twelve columns without a random number, so that every run has the same rows.
// One value in a hundred thousand of temperature and pressure lies far out.
func generate(rows, file string) string {
	return `COPY (
 SELECT i AS id,
  TIMESTAMP '2026-01-01' + INTERVAL 1 SECOND * (i // 4) AS taken_at,
  'S-' || lpad(CAST(hash(i) % 200 AS VARCHAR), 3, '0') AS sensor,
  ['K', 'kPa', 'pct', 'n'][1 + CAST(hash(i + 1) % 4 AS INTEGER)] AS unit,
  280 + 30 * (hash(i + 2) % 100000) / 100000.0::DOUBLE + CASE WHEN i % 100000 = 17 THEN 900 ELSE 0 END AS temperature,
  95 + 12 * (hash(i + 3) % 100000) / 100000.0::DOUBLE + CASE WHEN i % 100000 = 71 THEN 500 ELSE 0 END AS pressure,
  CASE WHEN i % 250 = 0 THEN NULL ELSE (hash(i + 4) % 10001) / 100.0::DOUBLE END AS humidity,
  CAST(hash(i + 5) % 1000 AS INTEGER) AS pulses,
  ['OK', 'OK', 'OK', 'WARN', 'FAIL'][1 + CAST(hash(i + 6) % 5 AS INTEGER)] AS status,
  hash(i + 7) % 2 = 0 AS calibrated,
  chr(CAST(65 + hash(i + 8) % 26 AS INTEGER)) || chr(CAST(65 + hash(i + 9) % 26 AS INTEGER)) || '-' || lpad(CAST(hash(i + 10) % 10000 AS VARCHAR), 4, '0') AS part,
  CAST(i // 100000 AS INTEGER) AS batch
 FROM range(` + rows + `) t(i)) TO ` + quote(file) + ` (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)`
}

// checks is the hand-written SQL: everything that can be counted in one scan, then what
// needs the first scan's quartiles and deviations.
func checks(db *sql.DB, threads, file string) (map[string]any, error) {
	if _, err := db.Exec("SET threads = " + threads); err != nil {
		return nil, err
	}
	first := `CREATE TABLE one AS SELECT count(*) n,
 count(*) FILTER (WHERE id IS NULL) id_null, count(*) FILTER (WHERE taken_at IS NULL) taken_null,
 count(*) FILTER (WHERE humidity IS NULL) humidity_null, count(*) FILTER (WHERE sensor IS NULL) sensor_null,
 count(id) - count(DISTINCT id) id_twice,
 count(*) FILTER (WHERE unit NOT IN ('K', 'kPa', 'pct', 'n')) unit_bad, count(*) FILTER (WHERE status NOT IN ('OK', 'WARN', 'FAIL')) status_bad,
 count(*) FILTER (WHERE NOT regexp_matches(part, '^[A-Z]{2}-[0-9]{4}$')) part_bad, count(*) FILTER (WHERE NOT regexp_matches(sensor, '^S-[0-9]{3}$')) sensor_bad,
 count(*) FILTER (WHERE status IS NULL OR status IN ('', 'N/A')) status_missing,
 count(*) FILTER (WHERE NOT temperature BETWEEN 200 AND 400) temperature_off, count(*) FILTER (WHERE NOT pressure BETWEEN 90 AND 110) pressure_off,
 count(*) FILTER (WHERE NOT humidity BETWEEN 0 AND 100) humidity_off, count(*) FILTER (WHERE NOT pulses BETWEEN 0 AND 999) pulses_off,
 avg(temperature) temperature_mean, avg(pressure) pressure_mean, stddev_samp(pressure) pressure_deviation, max(taken_at) latest,
 quantile_cont(temperature, [0.25, 0.75]) temperature_quartiles, quantile_cont(humidity, [0.5]) humidity_median
 FROM read_parquet(` + quote(file) + `)`
	second := `SELECT count(DISTINCT temperature) FILTER (WHERE temperature < q[1] - 3 * (q[2] - q[1]) OR temperature > q[2] + 3 * (q[2] - q[1])),
 count(DISTINCT pressure) FILTER (WHERE abs(pressure - pressure_mean) > 6 * pressure_deviation)
 FROM read_parquet(` + quote(file) + `), (SELECT temperature_quartiles q, pressure_mean, pressure_deviation FROM one)`
	if _, err := db.Exec(first); err != nil {
		return nil, err
	}
	var temperature, pressure, rows int64
	if err := db.QueryRow(second).Scan(&temperature, &pressure); err != nil {
		return nil, err
	}
	err := db.QueryRow("SELECT n FROM one").Scan(&rows)
	return map[string]any{"rows": rows, "temperature_outliers": temperature, "pressure_outliers": pressure}, err
}

// etl is the transformation of the flights: windows of a month, and the table of the first
// two months, sorted.
func etl(db *sql.DB, source, folder string) error {
	for _, q := range []string{
		`CREATE VIEW flights AS SELECT * FROM read_parquet(` + quote(source) + `)`,
		`COPY (SELECT *, strftime(date, '%Y-%m') AS month FROM flights) TO ` + quote(folder+"/windows") + ` (FORMAT parquet, PARTITION_BY (month))`,
		`COPY (SELECT strftime(date, '%Y-%m-%dT%H:%M') AS date, delay, distance, origin, destination FROM flights
  WHERE delay >= -120 AND date >= TIMESTAMP '2001-01-01' AND date < TIMESTAMP '2001-03-01'
  ORDER BY date, origin, destination, distance, delay) TO ` + quote(folder+"/training.csv") + ` (FORMAT csv, HEADER false)`,
		`COPY (SELECT strftime(date, '%Y-%m-%dT%H:%M') AS date, delay, distance, origin, destination FROM flights
  WHERE delay >= -120 AND date >= TIMESTAMP '2001-03-01' AND date < TIMESTAMP '2001-04-01'
  ORDER BY date, origin, destination, distance, delay) TO ` + quote(folder+"/evaluation.csv") + ` (FORMAT csv, HEADER false)`,
	} {
		if _, err := db.Exec(q); err != nil {
			return err
		}
	}
	return nil
}
