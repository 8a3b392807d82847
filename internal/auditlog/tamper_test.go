package auditlog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"golang.org/x/mod/sumdb/tlog"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/verify"
)

// hand opens the fixture's database behind the log's back.
func (f *fixture) hand(t testing.TB) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", f.url
	if path, ok := strings.CutPrefix(f.url, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	h, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func exec(t testing.TB, h interface {
	Exec(string, ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	res, err := h.Exec(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		t.Fatalf("%s: no row", query)
	}
}

// TestThousandEditsAreNamed edits 1,000 rows, each in one random column, and expects
// exactly them to be named.
func TestThousandEditsAreNamed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := newFixture(t, dialect, fixtureOptions{})
		f.add(t, 5000, 250)
		if err := f.Publish(context.Background()); err != nil {
			t.Fatal(err)
		}
		f.add(t, 1100, 100)
		h := f.hand(t)
		tx, err := h.Begin()
		if err != nil {
			t.Fatal(err)
		}
		size, _, _ := f.Root(context.Background())
		edited := map[int64]string{}
		for _, i := range mrand.Perm(int(size))[:1000] {
			edited[int64(i)] = edit(t, tx, position(1, int64(i)))
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		problems, _ := f.check(t)
		named := map[int64]bool{}
		for _, p := range problems {
			if p.Index < 0 {
				// An edited KEY record is no key any more.
				if p.Kind != BadKey || edited[0]+edited[1]+edited[2] == "" {
					t.Errorf("beside the records: %v", p)
				}
				continue
			}
			if _, ok := edited[p.Index]; !ok {
				t.Errorf("falsely accused: %v", p)
			}
			if named[p.Index] {
				t.Errorf("twice: %v", p)
			}
			named[p.Index] = true
		}
		for i, how := range edited {
			if !named[i] {
				t.Errorf("leaf %d was not named: %s", i, how)
			}
		}
	})
}

// edit changes a row in one random column and returns what it did.
func edit(t *testing.T, tx *sql.Tx, seq int64) string {
	t.Helper()
	column := []string{"id", "time_us", "type", "actor", "recorded_by", "execution", "project", "classification", "leaf", "record", "salt"}[mrand.IntN(11)]
	var value any
	switch column {
	case "time_us":
		exec(t, tx, `UPDATE audit_records SET time_us = time_us + 1 WHERE seq = $1`, seq)
		return column
	case "salt":
		salt := make([]byte, 32)
		_, _ = rand.Read(salt)
		value = salt
	case "leaf", "record":
		var text string
		if err := tx.QueryRow(`SELECT `+column+` FROM audit_records WHERE seq = $1`, seq).Scan(&text); err != nil {
			t.Fatal(err)
		}
		b := []byte(text)
		i := mrand.IntN(len(b))
		for {
			if c := byte(' ' + mrand.IntN(95)); c != b[i] && b[i] < 0x80 {
				b[i] = c
				break
			}
			i = mrand.IntN(len(b))
		}
		value = string(b)
	default:
		value = fmt.Sprintf("EDITED-%d", seq)
	}
	exec(t, tx, `UPDATE audit_records SET `+column+` = $1 WHERE seq = $2`, value, seq)
	return fmt.Sprintf("%s = %v", column, value)
}

// TestRenamedLog gives a log another name, under which nothing of it was ever published.
func TestRenamedLog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := newFixture(t, dialect, fixtureOptions{})
		f.add(t, 300, 50)
		if err := f.Publish(context.Background()); err != nil {
			t.Fatal(err)
		}
		trust, err := f.Trust(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		exec(t, f.hand(t), `UPDATE log_head SET origin = 'elsewhere/log'`)
		for name, opt := range map[string]VerifyOptions{
			"published": {Published: []Sink{f.sink}}, "configured": {Origin: trust.Origin}, "trusted": {Trust: []verify.Trust{trust}},
		} {
			opt.DB = f.d
			var all []Problem
			opt.OnProblem = func(p Problem) { all = append(all, p) }
			if _, err := Verify(context.Background(), opt); err != nil || len(all) == 0 || !strings.Contains(all[0].What, trust.Origin) {
				t.Errorf("%s: %v %v", name, all, err)
			}
		}
	})
}

// tampering is one thing that somebody changes by hand.
type tampering struct {
	name, sql string
	args      []any
	kinds     []string // all that may be reported, each at least once
	index     int64    // of the only leaf that may be named, -1 for none
}

// still makes a log whose server is down.
func still(t *testing.T, fill func(f *fixture)) (dir string, sink *FileSink) {
	t.Helper()
	dir = t.TempDir()
	opt := fixtureOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), keyDir: dir + "/keys", sink: dir + "/published.txt"}
	f := newFixture(t, db.SQLite, opt)
	f.add(t, 1000, 500)
	if err := f.Publish(context.Background()); err != nil {
		t.Fatal(err)
	}
	fill(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.d.Close()
	return dir, f.sink
}

func (c tampering) run(t *testing.T, dir string, sink Sink) {
	t.Run(c.name, func(t *testing.T) {
		path := copyDatabase(t, dir)
		h, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, h, c.sql, c.args...)
		h.Close()
		expect(t, path, sink, c.kinds, c.index)
	})
}

// TestTamperingHighTiles is TestTampering where a log has tiles of level 2.
func TestTamperingHighTiles(t *testing.T) {
	dir, sink := still(t, func(f *fixture) {
		for range 18 {
			err := f.d.Update(context.Background(), func(tx *db.Tx) error {
				for range 4000 {
					if _, err := f.Append(tx, Record{Type: Data, Actor: "a"}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, c := range []tampering{
		{"nothing", `UPDATE log_head SET one = 1`, nil, nil, -1},
		{"tile 0", `UPDATE log_tiles SET hashes = zeroblob(8192) WHERE level = 0 AND tile_index = 200`, nil, []string{BadTile}, -1},
		{"tile 1", `UPDATE log_tiles SET hashes = zeroblob(8192) WHERE level = 1 AND tile_index = 0`, nil, []string{BadTile}, -1},
		{"tile 1 deleted", `DELETE FROM log_tiles WHERE level = 1 AND tile_index = 0`, nil, []string{BadTile}, -1},
		{"last tile 1", `UPDATE log_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 1 AND tile_index = 1`, nil, []string{BadTile}, -1},
		{"tile 2", `UPDATE log_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 2`, nil, []string{BadTile}, -1},
		{"row", `UPDATE audit_records SET record = '{}' WHERE seq = $1`, []any{position(1, 66_000)}, []string{BadRecord}, 66_000},
	} {
		c.run(t, dir, sink)
	}
}

// TestTampering changes one thing at a time and expects it to be found for what it is.
func TestTampering(t *testing.T) {
	const size = 1700 + genesis
	dir, sink := still(t, func(f *fixture) { f.add(t, 700, 350) })
	again := `INSERT INTO audit_records SELECT $1, 'AUDIT-new', time_us, type, actor, recorded_by, execution, project, classification, leaf, record, salt FROM audit_records WHERE seq = $2`
	for _, c := range []tampering{
		{"nothing", `UPDATE log_head SET one = 1`, nil, nil, -1},
		{"row deleted", `DELETE FROM audit_records WHERE seq = $1`, []any{position(1, 777)}, []string{BadMissing}, 777},
		{"last row deleted", `DELETE FROM audit_records WHERE seq = $1`, []any{position(1, size-1)}, []string{BadMissing}, size - 1},
		{"row added", again, []any{position(1, size), position(1, 5)}, []string{BadExtra}, size},
		{"row added before", again, []any{5, position(1, 5)}, []string{BadExtra}, 5},
		{"tile 0", `UPDATE log_tiles SET hashes = zeroblob(8192) WHERE level = 0 AND tile_index = 3`, nil, []string{BadTile}, -1},
		{"tile 0 deleted", `DELETE FROM log_tiles WHERE level = 0 AND tile_index = 3`, nil, []string{BadTile}, -1},
		{"tile 0 short", `UPDATE log_tiles SET hashes = substr(hashes, 1, 100) WHERE level = 0 AND tile_index = 3`, nil, []string{BadTile}, -1},
		{"last tile 0", `UPDATE log_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 0 AND tile_index = 6`, nil, []string{BadTile}, -1},
		{"last tile 0 deleted", `DELETE FROM log_tiles WHERE level = 0 AND tile_index = 6`, nil, []string{BadTile}, -1},
		{"tile 1", `UPDATE log_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 1`, nil, []string{BadTile}, -1},
		{"head root", `UPDATE log_head SET root = zeroblob(32)`, nil, []string{BadHead}, -1},
		{"head time", `UPDATE log_head SET last_time = 5`, nil, []string{BadHead}, -1},
		{"count", `UPDATE audit_counts SET n = n + 1 WHERE type = 'KEY'`, nil, []string{BadCount}, -1},
		{"count added", `INSERT INTO audit_counts VALUES (1, 'KEY', 'x', 4)`, nil, []string{BadCount}, -1},
		{"resource added", `INSERT INTO audit_resources SELECT 'NN-X-001', time_us, seq FROM audit_records WHERE seq = $1`, []any{position(1, 1400)}, []string{BadResource}, 1400},
		{"resource deleted", `DELETE FROM audit_resources WHERE seq = $1 AND resource = 'DOC-1'`, []any{position(1, 1401)}, []string{BadResource}, 1401},
		{"resource changed", `UPDATE audit_resources SET time_us = 7 WHERE seq = $1 AND resource = 'DOC-1'`, []any{position(1, 1401)}, []string{BadResource}, 1401},
		{"resource of nothing", `INSERT INTO audit_resources VALUES ('x', 1, 2)`, nil, []string{BadResource}, 2},
		{"not a number", `UPDATE audit_records SET time_us = 'soon' WHERE seq = $1`, []any{position(1, 99)}, []string{BadRecord}, 99},
		{"a key forgotten", `UPDATE audit_records SET type = 'DATA' WHERE seq = $1`, []any{position(1, 0)}, []string{BadKey, BadRecord}, 0},
		{"a closed log invented", `INSERT INTO log_closed VALUES (0, 'x', 5, zeroblob(32), 0, '')`, nil, []string{BadSuccession}, -1},
		{"another closed log invented", `INSERT INTO log_closed VALUES (1, 'x', 5, zeroblob(32), 0, '')`, nil, []string{BadSuccession}, -1},
		{"head too short", `UPDATE log_head SET root = zeroblob(31)`, nil, []string{BadHead}, -1},
		{"head without", `DELETE FROM log_head`, nil, []string{BadHead}, -1},
		{"head size smaller", `UPDATE log_head SET size = size - 1`, nil, []string{BadCheckpoint, BadCount, BadExtra, BadHead, BadResource}, size - 1},
	} {
		c.run(t, dir, sink)
	}
	t.Run("two rows swapped", func(t *testing.T) {
		path := copyDatabase(t, dir)
		h, _ := sql.Open("sqlite", "file:"+path)
		exec(t, h, `UPDATE audit_records SET seq = -1 WHERE seq = $1`, position(1, 10))
		exec(t, h, `UPDATE audit_records SET seq = $1 WHERE seq = $2`, position(1, 10), position(1, 20))
		exec(t, h, `UPDATE audit_records SET seq = $1 WHERE seq = -1`, position(1, 20))
		h.Close()
		var got []int64
		for _, p := range problemsOf(t, path, sink) {
			if p.Kind == BadRecord {
				got = append(got, p.Index)
			} else if p.Kind != BadResource {
				t.Error(p)
			}
		}
		if slices.Sort(got); !slices.Equal(got, []int64{10, 20}) {
			t.Errorf("named: %v", got)
		}
	})
	t.Run("record forged with its tile", func(t *testing.T) {
		path := copyDatabase(t, dir)
		h, _ := sql.Open("sqlite", "file:"+path)
		forge(t, h, 600)
		h.Close()
		kinds := kindsOf(problemsOf(t, path, sink))
		if !slices.Equal(kinds, []string{BadLeaves}) {
			t.Errorf("found %v", kinds)
		}
	})
	t.Run("whole tree rewritten", func(t *testing.T) {
		path := copyDatabase(t, dir)
		h, _ := sql.Open("sqlite", "file:"+path)
		forge(t, h, 600)
		rewrite(t, h)
		h.Close()
		kinds := kindsOf(problemsOf(t, path, sink))
		if !slices.Equal(kinds, []string{BadCheckpoint}) {
			t.Errorf("found %v", kinds)
		}
	})
	t.Run("cut", func(t *testing.T) {
		path := copyDatabase(t, dir)
		h, _ := sql.Open("sqlite", "file:"+path)
		exec(t, h, `DELETE FROM audit_records WHERE seq >= $1`, position(1, 1500))
		exec(t, h, `DELETE FROM audit_resources WHERE seq >= $1`, position(1, 1500))
		exec(t, h, `DELETE FROM audit_counts`)
		exec(t, h, `INSERT INTO audit_counts SELECT time_us / 86400000000, type, project, count(*) FROM audit_records GROUP BY 1, 2, 3`)
		exec(t, h, `UPDATE log_head SET size = 1500`)
		rewrite(t, h)
		h.Close()
		problems := problemsOf(t, path, sink)
		if kinds := kindsOf(problems); !slices.Equal(kinds, []string{BadCheckpoint}) || !strings.Contains(problems[0].What, "lost") {
			t.Errorf("found %v", problems)
		}
	})
}

// forge replaces a record and everything at level 0 that tells of it.
func forge(t *testing.T, h *sql.DB, index int64) {
	t.Helper()
	var r row
	rows, err := h.Query(`SELECT `+recordColumns+` FROM audit_records WHERE seq = $1`, position(1, index))
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	if err := rows.Scan(r.into()...); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(r.record), `"effect":"permit"`, `"effect":"forbid"`, 1)
	id, stamp, typ := string(r.id), parseMicros(r.stamp), string(r.typ)
	rows.Close()
	var salt [32]byte
	leaf := leafOf(id, stamp, typ, salt, text)
	exec(t, h, `UPDATE audit_records SET record = $1, leaf = $2, salt = $3 WHERE seq = $4`, text, string(leaf), salt[:], position(1, index))
	var data []byte
	if err := h.QueryRow(`SELECT hashes FROM log_tiles WHERE level = 0 AND tile_index = $1`, index/256).Scan(&data); err != nil {
		t.Fatal(err)
	}
	hash := tlog.RecordHash(leaf)
	copy(data[index%256*32:], hash[:])
	exec(t, h, `UPDATE log_tiles SET hashes = $1 WHERE level = 0 AND tile_index = $2`, data, index/256)
}

// rewrite makes tiles and head anew from the leaves.
func rewrite(t *testing.T, h *sql.DB) {
	t.Helper()
	rows, err := h.Query(`SELECT leaf FROM audit_records ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	var hashes []tlog.Hash
	for rows.Next() {
		var leaf []byte
		if err := rows.Scan(&leaf); err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, tlog.RecordHash(leaf))
	}
	rows.Close()
	e, tiles := (&edge{}).grow(hashes)
	exec(t, h, `DELETE FROM log_tiles`)
	for _, tl := range tiles {
		exec(t, h, `INSERT INTO log_tiles VALUES (1, $1, $2, $3)`, tl.level, tl.index, tl.data)
	}
	root := e.root()
	exec(t, h, `UPDATE log_head SET size = $1, root = $2`, e.size, root[:])
}

// copyDatabase copies the database of a server that is down.
func copyDatabase(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "caos.db")
	in, err := os.Open(filepath.Join(dir, "caos.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	return to
}

func problemsOf(t *testing.T, path string, sink Sink) []Problem {
	t.Helper()
	var all []Problem
	_, err := Verify(context.Background(), VerifyOptions{Path: path, Published: []Sink{sink}, OnProblem: func(p Problem) { all = append(all, p) }})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func kindsOf(problems []Problem) []string {
	var kinds []string
	for _, p := range problems {
		kinds = append(kinds, p.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

func expect(t *testing.T, path string, sink Sink, kinds []string, index int64) {
	t.Helper()
	problems := problemsOf(t, path, sink)
	if got := kindsOf(problems); !slices.Equal(got, kinds) {
		t.Errorf("found %v, want %v", problems, kinds)
	}
	for _, p := range problems {
		if p.Index >= 0 && p.Index != index {
			t.Errorf("falsely accused: %v", p)
		}
	}
	if index >= 0 && !slices.ContainsFunc(problems, func(p Problem) bool { return p.Index == index }) {
		t.Errorf("leaf %d was not named: %v", index, problems)
	}
}
