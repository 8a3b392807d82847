//go:build cgo

package main

import (
	"context"
	"testing"
)

// TestPlainStatements: a view is looked at again and again only if it is the same each time.
func TestPlainStatements(t *testing.T) {
	e := withTable(t)
	e.know("b", false)
	if _, err := e.conn.ExecContext(context.Background(), "CREATE VIEW b AS SELECT * FROM a"); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]bool{
		"SELECT *, strftime(t, '%Y-%m') AS month FROM a":              true,
		"SELECT name, id % 12 AS m FROM A WHERE id >= 1 OR t IS NULL": true,
		"SELECT * EXCLUDE (name) FROM a WHERE id BETWEEN 1 AND 2":     true,
		"SELECT *, CASE WHEN id > 1 THEN year(t) END AS y FROM a":     true,
		"SELECT * FROM b": false, "SELECT 1 AS x": false, "SELECT * FROM a, a AS c": false, "SELECT * FROM (SELECT * FROM a)": false,
		"SELECT *, random() AS r FROM a": false, "SELECT *, now() AS r FROM a": false, "SELECT *, current_date AS r FROM a": false,
		"SELECT *, current_timestamp AS r FROM a": false, "SELECT *, localtimestamp AS r FROM a": false, "SELECT *, uuid() AS r FROM a": false,
		"SELECT max(id) AS m FROM a": false, "SELECT name FROM a GROUP BY name": false, "SELECT DISTINCT name FROM a": false, "SELECT * FROM a LIMIT 1": false,
		"SELECT *, row_number() OVER () AS n FROM a": false, "SELECT * FROM a TABLESAMPLE 10%": false, "SELECT * FROM a USING SAMPLE 1": false,
		"SELECT * FROM a QUALIFY row_number() OVER () = 1": false, "SELECT * FROM a ORDER BY id": false, "SELECT * FROM a UNION ALL FROM a": false,
		"WITH a AS (SELECT 1 AS id) SELECT * FROM a": false, "SELECT *, (SELECT 1) AS x FROM a": false, "SELECT unnest([1, 2]) AS x FROM a": false,
		"SELECT CAST(name AS INTEGER) AS n FROM a": false, "SELECT * REPLACE (random() AS id) FROM a": false, "SELECT COLUMNS(c -> c = 'id') FROM a": false,
		"SELECT * FROM a WHERE regexp_matches(name, 'x+')": false, "SELECT *, first(id) AS f FROM a GROUP BY ALL": false, "SELECT year(now()) AS y FROM a": false,
	} {
		tree, err := e.tree(context.Background(), sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		} else if e.isPlain(tree) != want {
			t.Errorf("%s: plain %t", sql, !want)
		}
	}
}
