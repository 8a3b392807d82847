package auditlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/sign"
	"caos/internal/verify"
)

// grown makes a log of n records with a published checkpoint at every 100 and copies its
// database when it had at.
func grown(t *testing.T, dir string, n, at int) (fixtureOptions, []Receipt) {
	t.Helper()
	opt := fixtureOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), keyDir: dir + "/keys", sink: dir + "/published.txt"}
	f := newFixture(t, db.SQLite, opt)
	var all []Receipt
	for len(all) < n {
		all = append(all, f.add(t, 100, 50)...)
		if err := f.Publish(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(all) == at {
			all = append(all, f.add(t, 30, 10)...) // not published
			snapshot(t, f, filepath.Join(dir, "backup.db"))
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.d.Close()
	return opt, all
}

func snapshot(t *testing.T, f *fixture, to string) {
	t.Helper()
	if _, err := f.hand(t).Exec(`VACUUM INTO '` + to + `'`); err != nil {
		t.Fatal(err)
	}
}

func restore(t *testing.T, dir, from string) {
	t.Helper()
	for _, name := range []string{"caos.db", "caos.db-wal", "caos.db-shm"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if from == "" {
		return
	}
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, "caos.db")); err != nil {
		t.Fatal(err)
	}
}

// TestRecoverTruncated restores an old backup and recovers from it.
func TestRecoverTruncated(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	opt, all := grown(t, dir, 500, 200)
	restore(t, dir, "backup.db")
	f := newFixture(t, db.SQLite, opt)
	if on, why := f.Recovery(); !on || !strings.Contains(why, "233 leaves") || !strings.Contains(why, "published") {
		t.Fatalf("recovery: %v %q", on, why)
	}
	refused := func(r Record) error {
		return f.d.Update(ctx, func(tx *db.Tx) error { _, err := f.Append(tx, r); return err })
	}
	var e *caos.Error
	if err := refused(Record{Type: Deployment, Actor: "a"}); !errors.As(err, &e) || e.Kind != caos.Unavailable || e.Hint == "" {
		t.Errorf("a deployment: %v", err)
	}
	if err := refused(Record{Type: Rollback, Actor: "a"}); err != nil {
		t.Errorf("a rollback: %v", err)
	}
	if _, err := f.Checkpoint(ctx); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("a checkpoint: %v", err)
	}
	f.prove(t, all[50], f.trust(t)) // by what was published
	if _, err := f.Prove(ctx, all[210].ID); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("a proof of what was not published: %v", err)
	}
	if err := f.Publish(ctx); err != nil {
		t.Errorf("publish: %v", err)
	}
	if problems, _ := f.check(t); !slices.Equal(kindsOf(problems), []string{BadCheckpoint}) {
		t.Errorf("before the recovery: %v", problems)
	}
	for _, by := range [][]string{nil, {"anna"}, {"anna", "anna"}, {"", "anna"}} {
		if _, err := f.Recover(ctx, by, "backup"); caos.KindOf(err) != caos.Denied {
			t.Errorf("by %q: %v", by, err)
		}
	}
	if _, err := f.Recover(ctx, []string{"anna", "bo"}, ""); caos.KindOf(err) != caos.Invalid {
		t.Errorf("without a reason: %v", err)
	}
	first, err := f.Recover(ctx, []string{"bo", "anna"}, "the disk broke, the backup is of Monday")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Get(ctx, first.ID)
	if err != nil || s.Generation != 2 || s.Index != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	d, err := parseRecovered(s.Record)
	if err != nil || *d.Lost != (Range{203, 533}) || *d.Unpublished != (Range{203, 234}) || d.Predecessor.AgreedSize != 203 || d.Published.Size != 533 || len(d.Approved) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := f.Recover(ctx, []string{"anna", "bo"}, "again"); caos.KindOf(err) != caos.Conflict {
		t.Errorf("a second recovery: %v", err)
	}
	checkRecovered(t, f, all)
	// Another start finds the successor in order, too.
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.d.Close()
	f = newFixture(t, db.SQLite, opt)
	if on, why := f.Recovery(); on {
		t.Errorf("recovery: %s", why)
	}
	checkRecovered(t, f, all)
	// A second accident: the database before the recovery is put back.
	size, _, _ := f.Root(ctx)
	if size == 0 {
		t.Error("the successor is empty")
	}
}

// checkRecovered sees that the successor works, that it verifies, and that what was
// published of the old log can still be proved.
func checkRecovered(t *testing.T, f *fixture, all []Receipt) {
	t.Helper()
	ctx := context.Background()
	fresh := f.add(t, 300, 100)
	if err := f.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	trust := f.trust(t)
	if trust.Origin != testOrigin+"/2" {
		t.Errorf("origin %q", trust.Origin)
	}
	if c := f.prove(t, fresh[123], trust); c.Origin != testOrigin+"/2" {
		t.Errorf("origin %q", c.Origin)
	}
	old, err := f.TrustOf(ctx, 1)
	if err != nil || old.Origin != testOrigin || old.LogID == trust.LogID {
		t.Errorf("%+v, %v", old, err)
	}
	f.prove(t, all[150], old)
	if _, err := f.Prove(ctx, all[215].ID); caos.KindOf(err) != caos.Conflict {
		t.Errorf("a record behind the last checkpoint: %v", err)
	}
	if _, err := f.Get(ctx, all[400].ID); caos.KindOf(err) != caos.NotFound {
		t.Errorf("a lost record: %v", err)
	}
	clean(t, f)
	_, sum := f.check(t)
	if len(sum.Lost) != 1 || sum.Lost[0].Range != (Range{203, 533}) || sum.Generations != 2 {
		t.Errorf("%+v", sum)
	}
}

// TestTrustOfClosedLog: what became of passport keys after a recovery stands in the closed
// log's trust file too, for status lists; none of them counts at a leaf of that log.
func TestTrustOfClosedLog(t *testing.T) {
	ctx := context.Background()
	dir, sink := t.TempDir(), t.TempDir()+"/published.txt"
	other := newFixture(t, db.SQLite, fixtureOptions{sink: sink})
	other.add(t, 10, 1)
	if err := other.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, db.SQLite, fixtureOptions{keyDir: dir + "/keys"})
	first, err := f.KeyCreated(ctx, sign.Passport, "admin")
	if err != nil {
		t.Fatal(err)
	}
	f.add(t, 5, 1)
	url := f.url
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.d.Close()
	f = newFixture(t, db.SQLite, fixtureOptions{url: url, keyDir: dir + "/keys", sink: sink})
	if _, err := f.Recover(ctx, []string{"anna", "bo"}, "the database is new"); err != nil {
		t.Fatal(err)
	}
	second, err := f.KeyRotated(ctx, sign.Passport, "admin")
	if err != nil {
		t.Fatal(err)
	}
	find := func(id string) *verify.TrustKey {
		t.Helper()
		trust, err := f.TrustOf(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		text, err := trust.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if trust, err = verify.ParseTrust(text); err != nil || trust.Origin != testOrigin {
			t.Fatalf("%+v, %v", trust, err)
		}
		k, err := trust.Find(id, verify.PurposePassport)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	var size int64
	if err := f.d.QueryRow(ctx, `SELECT size FROM log_closed`).Scan(&size); err != nil || size == 0 {
		t.Fatal(size, err)
	}
	if k := find(second.Key.ID); k.Counts(size-1) == nil || k.CompromisedAt != nil || k.ActiveUntil != nil {
		t.Errorf("the new key: %+v", k)
	}
	if k := find(first.Key.ID); k.Counts(size-1) != nil || k.CompromisedAt != nil {
		t.Errorf("the old key: %+v", k)
	}
	if _, err := f.KeyCompromised(ctx, first.Key.ID, "admin"); err != nil {
		t.Fatal(err)
	}
	if k := find(first.Key.ID); k.Counts(size-1) != nil || k.CompromisedAt == nil || *k.CompromisedAt != size {
		t.Errorf("the stolen key: %+v", k)
	}
}

// TestRecoverWithTwoNodes recovers on one node; the other goes on with the successor.
func TestRecoverWithTwoNodes(t *testing.T) {
	ctx := context.Background()
	url := dbtest.URL(t, db.PostgreSQL)
	dir, sink := t.TempDir(), t.TempDir()+"/published.txt"
	other := newFixture(t, db.SQLite, fixtureOptions{sink: sink})
	other.add(t, 10, 1)
	if err := other.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	a := newFixture(t, db.PostgreSQL, fixtureOptions{url: url, keyDir: dir + "/keys", sink: sink, slot: 0})
	b := newFixture(t, db.PostgreSQL, fixtureOptions{url: url, keyDir: dir + "/keys", sink: sink, slot: 1})
	if on, _ := b.Recovery(); !on {
		t.Fatal("the second node is not in recovery mode")
	}
	if _, err := a.Recover(ctx, []string{"anna", "bo"}, "the database is new"); err != nil {
		t.Fatal(err)
	}
	b.add(t, 20, 2)
	a.add(t, 20, 3)
	b.prove(t, b.add(t, 1, 1)[0], a.trust(t))
	for _, f := range []*fixture{a, b} {
		if on, why := f.Recovery(); on {
			t.Errorf("recovery: %s", why)
		}
		clean(t, f)
	}
	trust := a.trust(t)
	trust.LogID = "log-of-others"
	var kinds []string
	_, err := Verify(ctx, VerifyOptions{DB: a.d, Trust: []verify.Trust{trust}, OnProblem: func(p Problem) { kinds = append(kinds, p.Kind) }})
	if err != nil || !slices.Equal(kinds, []string{BadKey}) {
		t.Errorf("with another log's trust file: %v, %v", kinds, err)
	}
}

// TestRecoverOthers are the other ways in which a log can contradict what was published.
func TestRecoverOthers(t *testing.T) {
	ctx := context.Background()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"database thrown away": func(t *testing.T, dir string) { restore(t, dir, "") },
		"rewritten": func(t *testing.T, dir string) {
			h, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "caos.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			forge(t, h, 7)
			rewrite(t, h)
		},
		"tiles lost": func(t *testing.T, dir string) {
			h, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "caos.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			exec(t, h, `DELETE FROM log_tiles WHERE level = 0 AND tile_index = 1`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opt, _ := grown(t, dir, 300, 100)
			spoil(t, dir)
			f := newFixture(t, db.SQLite, opt)
			if on, _ := f.Recovery(); !on {
				t.Fatal("not in recovery mode")
			}
			if _, err := f.Recover(ctx, []string{"anna", "bo"}, "accident"); err != nil {
				t.Fatal(err)
			}
			f.prove(t, f.add(t, 10, 1)[3], f.trust(t))
			if err := f.Publish(ctx); err != nil {
				t.Fatal(err)
			}
			problems, _ := f.check(t)
			for _, p := range problems {
				if p.Generation != 1 {
					t.Errorf("the successor: %v", p)
				}
			}
			// What a recovery cannot heal stays visible: the old log's own damage.
			if name == "database thrown away" && len(problems) > 0 {
				t.Errorf("%v", problems)
			}
		})
	}
}

// TestRecoverAmongOthers recovers while rollbacks are being recorded, in whatever
// transactions they come to share.
func TestRecoverAmongOthers(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	opt, _ := grown(t, dir, 300, 100)
	restore(t, dir, "backup.db")
	f := newFixture(t, db.SQLite, opt)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if i == 50 {
				if _, err := f.Recover(ctx, []string{"anna", "bo"}, "accident"); err != nil {
					t.Error(err)
				}
				return
			}
			err := f.d.Update(ctx, func(tx *db.Tx) error { _, err := f.Append(tx, Record{Type: Rollback, Actor: "a"}); return err })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := f.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	clean(t, f)
}

// TestOldDatabaseAfterRecovery puts back the database from before a recovery.
func TestOldDatabaseAfterRecovery(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	opt, _ := grown(t, dir, 300, 100)
	restore(t, dir, "backup.db")
	f := newFixture(t, db.SQLite, opt)
	snapshot(t, f, filepath.Join(dir, "again.db"))
	if _, err := f.Recover(ctx, []string{"anna", "bo"}, "accident"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.d.Close()
	restore(t, dir, "again.db")
	f = newFixture(t, db.SQLite, opt)
	if on, why := f.Recovery(); !on || !strings.Contains(why, "successor") {
		t.Errorf("recovery: %v %q", on, why)
	}
}

// TestForkAtRunTime has somebody else's log published under the same origin.
func TestForkAtRunTime(t *testing.T) {
	ctx := context.Background()
	for name, leaves := range map[string]int{"smaller": 5, "as large": 10} {
		t.Run(name, func(t *testing.T) {
			other := newFixture(t, db.SQLite, fixtureOptions{})
			f := newFixture(t, db.SQLite, fixtureOptions{})
			other.add(t, 10, 1)
			note, err := other.Checkpoint(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Publish(ctx); err != nil {
				t.Fatal(err)
			}
			if err := f.sink.Publish(ctx, note); err != nil {
				t.Fatal(err)
			}
			f.add(t, leaves, 1)
			if err := f.Publish(ctx); caos.KindOf(err) != caos.Conflict {
				t.Errorf("publish: %v", err)
			}
			if on, _ := f.Recovery(); !on {
				t.Error("a log that is not the published one goes on")
			}
		})
	}
}

func TestFileSink(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t, db.SQLite, fixtureOptions{})
	path := filepath.Join(t.TempDir(), "deep", "published.txt")
	s := NewFileSink(path)
	if last, err := s.Last(ctx, testOrigin); last != nil || err != nil {
		t.Errorf("%q, %v", last, err)
	}
	var notes [][]byte
	for range 3 {
		f.add(t, 1, 1)
		n, err := f.Checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, n)
	}
	for _, c := range []struct {
		note int
		err  error
	}{{0, nil}, {0, nil}, {2, nil}, {1, ErrStale}, {2, nil}} {
		if err := s.Publish(ctx, notes[c.note]); !errors.Is(err, c.err) {
			t.Errorf("note %d: %v", c.note, err)
		}
	}
	other := newFixture(t, db.SQLite, fixtureOptions{})
	other.add(t, 3, 1)
	fork, err := other.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(ctx, fork); !errors.Is(err, ErrFork) {
		t.Errorf("a fork: %v", err)
	}
	// A crash leaves half a note, which the next publication steps over.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.Write(notes[2][:len(notes[2])-20])
	file.Close()
	if last, err := NewFileSink(path).Last(ctx, testOrigin); string(last) != string(notes[2]) || err != nil {
		t.Errorf("after a torn write: %q, %v", last, err)
	}
	f.add(t, 1, 1)
	next, err := f.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(ctx, next); err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := s.All(ctx, func(n []byte) error { all = append(all, string(n)); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{string(notes[0]), string(notes[2]), string(next)}; !slices.Equal(all, want) {
		t.Errorf("got %q", all)
	}
	if err := s.Publish(ctx, []byte("nonsense")); err == nil {
		t.Error("nonsense was published")
	}
}

// TestLastReadsBackwards has the note sought far before the end of a long file.
func TestLastReadsBackwards(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t, db.SQLite, fixtureOptions{})
	note, err := f.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "published.txt")
	foreign := strings.Replace(string(note), testOrigin, "other.example/log", 1) + "\n"
	text := string(note) + "\n" + strings.Repeat(foreign, 3000)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	last, err := NewFileSink(path).Last(ctx, testOrigin)
	if err != nil || string(last) != string(note) {
		t.Errorf("%q, %v", last, err)
	}
}

// TestAllReadsInPieces has notes and a torn one across the pieces that are read.
func TestAllReadsInPieces(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "published.txt")
	var want []string
	var text strings.Builder
	for i := range 20_000 {
		note := fmt.Sprintf("log.example/%d\n%d\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\n— log.example %s\n", i, i, strings.Repeat("y", i%150))
		want = append(want, note)
		text.WriteString(note + "\n")
		if i%3 == 0 {
			text.WriteString(note[:len(note)-1-i%50] + "\n\n(torn)\n\n")
		}
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := NewFileSink(path).All(ctx, func(n []byte) error { got = append(got, string(n)); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d notes of %d", len(got), len(want))
	}
}

func TestPublishLoop(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t, db.SQLite, fixtureOptions{every: time.Millisecond})
	f.add(t, 5, 1)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	last, err := f.sink.Last(ctx, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := verify.OpenCheckpoint(last, f.trust(t)); err != nil || c.Size != genesis+5 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestHandler(t *testing.T) {
	f := newFixture(t, db.SQLite, fixtureOptions{})
	receipts := f.add(t, 600, 100)
	h := f.Handler()
	get := func(path string) (int, []byte, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		body, _ := io.ReadAll(w.Body)
		return w.Code, body, w.Header().Get("Content-Type")
	}
	code, note, kind := get("/log/checkpoint")
	c, err := verify.OpenCheckpoint(note, f.trust(t))
	if code != 200 || err != nil || c.Size != 603 || kind != "text/plain; charset=utf-8" {
		t.Fatalf("%d %q %v", code, note, err)
	}
	for path, size := range map[string]int{
		"/log/tile/0/000": 8192, "/log/tile/0/001": 8192, "/log/tile/0/002.p/91": 91 * 32, "/log/tile/0/002.p/1": 32, "/log/tile/0/000.p/7": 7 * 32,
		"/log/tile/1/000.p/2": 64, "/log/tile/0/002": -1, "/log/tile/0/002.p/92": -1, "/log/tile/0/002.p/256": -1, "/log/tile/0/2": -1,
		"/log/tile/0/000.p/0": -1, "/log/tile/0/000.p/01": -1, "/log/tile/1/000": -1, "/log/tile/2/000.p/1": -1, "/log/tile/64/000": -1,
		"/log/tile/00/000": -1, "/log/tile/0/x000/000": -1, "/log/tile/0/x001/000": -1, "/log/tile/0/-01": -1, "/log/tile/0/000/": -1,
		"/log/entries/003": -1, "/log/tile/entries/002": -1, "/log/tile/entries/x999/x999/x999/x999/999": -1, "/log/tile/0/x999/x999/x999/x999/x999/999": -1,
		"/log/other": -1, "/log/tile/63/000": -1,
	} {
		code, body, _ := get(path)
		if size >= 0 && (code != 200 || len(body) != size) || size < 0 && code != 404 {
			t.Errorf("%s: %d, %d bytes", path, code, len(body))
		}
	}
	for _, prefix := range []string{"/log/entries/", "/log/tile/entries/"} {
		code, bundle, _ := get(prefix + "002.p/91")
		_, tile, _ := get("/log/tile/0/002.p/91")
		n := 0
		for ; len(bundle) > 2; n++ {
			size := int(bundle[0])<<8 | int(bundle[1])
			hash := verify.RecordHash(bundle[2 : 2+size])
			if string(hash[:]) != string(tile[n*32:(n+1)*32]) {
				t.Fatalf("entry %d is not in the tile", n)
			}
			if n == 90 && verify.FormatHash(hash) != receipts[599].Hash {
				t.Error("the last entry is not the last record")
			}
			bundle = bundle[2+size:]
		}
		if code != 200 || n != 91 || len(bundle) != 0 {
			t.Errorf("%d entries, %d bytes left, %d", n, len(bundle), code)
		}
	}
	if _, full, _ := get("/log/tile/entries/000"); len(full) == 0 {
		t.Error("no full bundle")
	}
}

// TestVerifyFiles opens a log as an auditor finds it: beside a running server, after one
// was killed, as a copy, in a folder that cannot be written.
func TestVerifyFiles(t *testing.T) {
	dir := t.TempDir()
	opt := fixtureOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), keyDir: dir + "/keys", sink: dir + "/published.txt"}
	f := newFixture(t, db.SQLite, opt)
	f.add(t, 500, 50)
	verified := func(dir string, want int64) {
		t.Helper()
		sum, err := Verify(context.Background(), VerifyOptions{DataDir: dir, Published: []Sink{f.sink}, OnProblem: func(p Problem) { t.Error(p) }})
		if err != nil || sum.Records != want {
			t.Errorf("%+v, %v", sum, err)
		}
	}
	verified(dir, 503) // beside the running server
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.add(t, 2000, 1)
	}()
	for range 5 { // while it writes
		_, err := Verify(context.Background(), VerifyOptions{DataDir: dir, Published: []Sink{f.sink}, OnProblem: func(p Problem) { t.Error(p) }})
		if err != nil {
			t.Error(err)
		}
	}
	<-done
	killed := t.TempDir() // as a kill leaves it: with a write-ahead log
	for _, name := range []string{"caos.db", "caos.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(killed, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verified(killed, 2503)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.d.Close()
	verified(dir, 2503)
	before, _ := os.ReadDir(dir)
	copied := filepath.Dir(copyDatabase(t, dir))
	verified(copied, 2503)
	if after, _ := os.ReadDir(copied); len(after) != 1 {
		t.Errorf("verifying left files behind: %v", after)
	}
	if after, _ := os.ReadDir(dir); len(after) != len(before) {
		t.Errorf("verifying left files behind: %v", after)
	}
	for _, bad := range []string{t.TempDir(), filepath.Join(dir, "keys")} {
		if _, err := Verify(context.Background(), VerifyOptions{DataDir: bad}); caos.KindOf(err) != caos.NotFound {
			t.Errorf("%s: %v", bad, err)
		}
	}
	junk := filepath.Join(t.TempDir(), "caos.db")
	_ = os.WriteFile(junk, []byte(strings.Repeat("junk", 5000)), 0o600)
	if _, err := Verify(context.Background(), VerifyOptions{Path: junk}); caos.KindOf(err) != caos.Invalid {
		t.Errorf("junk: %v", err)
	}
}
