package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/sign"
	"caos/internal/verify"
)

func TestRecordEncodingIsCanonical(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 15, 0, 123456000, time.UTC)
	for i, r := range []Record{
		sample(0), sample(1), {Type: Key, Actor: "a"}, {Type: Data, Actor: "ä\"\\", Details: json.RawMessage(` {"b":1,"a":[{}]} `)},
		{Type: Data, Actor: "a", Details: json.RawMessage("null")}, {Type: Data, Actor: "a", Decision: &Decision{Effect: "forbid"}},
		{Type: Data, Actor: "a", Details: struct {
			Z int    `json:"z"`
			A string `json:"a"`
		}{1, "<"}},
	} {
		r.ID, r.Time = "AUDIT-1", at
		got, err := r.encode(nil)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		want, err := jcs.Transform(got)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d:\n got %s\nwant %s (%v)", i, got, want, err)
		}
		back, err := ParseRecord(got)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		again, err := back.encode(nil)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("%d: not the same after reading: %s (%v)", i, again, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	f := newFixture(t, db.SQLite, fixtureOptions{})
	long := strings.Repeat("x", 300)
	for name, r := range map[string]Record{
		"type":           {Type: "NOPE", Actor: "a"},
		"actor":          {Type: Data},
		"id":             {Type: Data, Actor: "a", ID: "X-1"},
		"time":           {Type: Data, Actor: "a", Time: time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC)},
		"recorded_by":    {Type: Data, Actor: "a", RecordedBy: long},
		"execution":      {Type: Data, Actor: "a", Execution: "a\x00b"},
		"project":        {Type: Data, Actor: "a", Project: "\xff"},
		"classification": {Type: Data, Actor: "a", Classification: "a\nb"},
		"resources":      {Type: Data, Actor: "a", Resources: make([]string, 1001)},
		"resources[1]":   {Type: Data, Actor: "a", Resources: []string{"x", ""}},
		"details":        {Type: Data, Actor: "a", Details: []int{1}},
		"decision":       {Type: Data, Actor: "a", Decision: &Decision{Effect: "permit", Reasons: []string{"a\x00"}}},
		"actions[0]":     {Type: Data, Actor: "a", Actions: []Action{{Name: strings.Repeat("x", 5000)}}},
	} {
		err := f.d.Update(context.Background(), func(tx *db.Tx) error { _, err := f.Append(tx, r); return err })
		var e *caos.Error
		if !errors.As(err, &e) || e.Field != name || e.Kind != caos.Invalid && e.Kind != caos.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, d := range []any{json.RawMessage(`{"a":1,"a":2}`), json.RawMessage(`{`), func() {}, json.RawMessage(`{"n":9007199254740993}`), map[string]any{"x": strings.Repeat("y", 1<<20)}} {
		err := f.d.Update(context.Background(), func(tx *db.Tx) error {
			_, err := f.Append(tx, Record{Type: Data, Actor: "a", Details: d})
			return err
		})
		if k := caos.KindOf(err); k != caos.Invalid && k != caos.TooLarge {
			t.Errorf("%T: %v", d, err)
		}
	}
	if size, _, _ := f.Root(context.Background()); size != genesis {
		t.Errorf("refusals left %d leaves", size-genesis)
	}
}

func TestAppendSealProve(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := newFixture(t, dialect, fixtureOptions{})
		ctx := context.Background()
		receipts := f.add(t, 600, 37)
		trust := f.trust(t)
		for i, r := range receipts {
			if i%41 > 0 && i < 590 {
				continue
			}
			c := f.prove(t, r, trust)
			if c.Size != genesis+600 {
				t.Fatalf("the checkpoint has %d leaves", c.Size)
			}
			s, err := f.Get(ctx, r.ID)
			if err != nil || s.Hash != r.Hash || s.Index != int64(genesis+i) {
				t.Fatalf("record %d: %+v, %v", i, s, err)
			}
			leaf, err := verify.ParseLeaf(s.Leaf)
			if err != nil {
				t.Fatal(err)
			}
			if want := verify.FormatHash(verify.Commitment(s.Salt, s.Record)); leaf.Commitment != want {
				t.Errorf("record %d does not open its commitment", i)
			}
			back, err := ParseRecord(s.Record)
			if err != nil || back.Actor != sample(i).Actor || !reflect.DeepEqual(back.Resources, sample(i).Resources) {
				t.Errorf("record %d: %+v, %v", i, back, err)
			}
		}
		if _, err := f.Get(ctx, "AUDIT-none"); caos.KindOf(err) != caos.NotFound {
			t.Errorf("an unknown record: %v", err)
		}
		got, err := f.Counts(ctx, time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.Recount(ctx, time.Time{}, time.Time{})
		if err != nil || !reflect.DeepEqual(got, want) || len(got) == 0 {
			t.Errorf("counts %v\nrecount %v (%v)", got, want, err)
		}
		clean(t, f)
	})
}

// TestEveryPrefixProof checks inclusion and consistency proofs of all small trees with
// another implementation.
func TestEveryPrefixProof(t *testing.T) {
	f := newFixture(t, db.SQLite, fixtureOptions{})
	ctx := context.Background()
	const n = 40
	var notes []verify.Checkpoint
	for i := range n {
		f.add(t, 1, 1)
		text, err := f.Checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c, err := verify.OpenCheckpoint(text, f.trust(t))
		if err != nil || c.Size != int64(genesis+i+1) {
			t.Fatalf("checkpoint %d: %+v, %v", i, c, err)
		}
		notes = append(notes, c)
	}
	for i, older := range notes {
		for _, newer := range notes[i:] {
			hashes, err := f.Consistency(ctx, older.Size, newer.Size)
			if err != nil {
				t.Fatal(err)
			}
			var raw [][]byte
			for _, h := range hashes {
				raw = append(raw, h[:])
			}
			err = proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(older.Size), uint64(newer.Size), raw, older.Root[:], newer.Root[:])
			if err != nil {
				t.Errorf("%d to %d: %v", older.Size, newer.Size, err)
			}
			if err := verify.CheckConsistency(hashes, older, newer); err != nil {
				t.Errorf("%d to %d: %v", older.Size, newer.Size, err)
			}
		}
	}
	page, err := f.List(ctx, Filter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	last := notes[n-1]
	for _, s := range page.Records {
		text, err := f.ProveStored(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		p, err := verify.ParseProof(text)
		if err != nil {
			t.Fatal(err)
		}
		var raw [][]byte
		for _, h := range p.Hashes {
			raw = append(raw, h[:])
		}
		leaf := verify.RecordHash(s.Leaf)
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.Index), uint64(last.Size), leaf[:], raw, last.Root[:]); err != nil {
			t.Errorf("leaf %d: %v", s.Index, err)
		}
	}
}

func TestList(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := newFixture(t, dialect, fixtureOptions{})
		ctx := context.Background()
		f.add(t, 200, 50)
		all := walk(t, f, Filter{Limit: 7})
		if len(all) != 200+genesis {
			t.Fatalf("%d records", len(all))
		}
		for i := 1; i < len(all); i++ {
			if all[i].Time.After(all[i-1].Time) {
				t.Fatal("not latest first")
			}
		}
		from, to := all[150].Time, all[50].Time
		for name, c := range map[string]struct {
			f    Filter
			keep func(Record) bool
		}{
			"type":      {Filter{Type: Rollback}, func(r Record) bool { return r.Type == Rollback }},
			"actor":     {Filter{Actor: "user-3"}, func(r Record) bool { return r.Actor == "user-3" }},
			"resource":  {Filter{Resource: "NN-FCS-002"}, func(r Record) bool { return len(r.Resources) > 0 && r.Resources[0] == "NN-FCS-002" }},
			"execution": {Filter{Execution: "EXEC-9"}, func(r Record) bool { return r.Execution == "EXEC-9" }},
			"project":   {Filter{Project: "nav"}, func(r Record) bool { return r.Project == "nav" }},
			"times":     {Filter{From: from, To: to}, func(r Record) bool { return !r.Time.Before(from) && r.Time.Before(to) }},
			"several": {Filter{Resource: "DOC-1", Type: Deployment, Project: "fcs", From: from}, func(r Record) bool {
				return r.Type == Deployment && r.Project == "fcs" && !r.Time.Before(from)
			}},
			"nothing": {Filter{Actor: "nobody' OR 1=1"}, func(Record) bool { return false }},
		} {
			var want []string
			for _, s := range all {
				r, err := ParseRecord(s.Record)
				if err != nil {
					t.Fatal(err)
				}
				if c.keep(r) {
					want = append(want, s.ID)
				}
			}
			c.f.Limit = 5
			var got []string
			for _, s := range walk(t, f, c.f) {
				got = append(got, s.ID)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %d records, want %d", name, len(got), len(want))
			}
		}
		for _, bad := range []string{"x", "MS4x", strings.Repeat("A", 100)} {
			if _, err := f.List(ctx, Filter{}, bad); caos.KindOf(err) != caos.Invalid {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
		if _, err := f.List(ctx, Filter{Limit: 1001}, ""); caos.KindOf(err) != caos.Invalid {
			t.Errorf("a page of 1001: %v", err)
		}
		if _, err := f.List(ctx, Filter{Type: "X"}, ""); caos.KindOf(err) != caos.Invalid {
			t.Errorf("type X: %v", err)
		}
	})
}

func walk(t *testing.T, f *fixture, filter Filter) []*Stored {
	t.Helper()
	var all []*Stored
	for cursor := ""; ; {
		page, err := f.List(context.Background(), filter, cursor)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Records...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

func TestGivenIDsAreTakenOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := newFixture(t, dialect, fixtureOptions{})
		r := sample(0)
		r.ID = "AUDIT-20261122T101500.123456Z"
		add := func() error {
			return f.d.Update(context.Background(), func(tx *db.Tx) error { _, err := f.Append(tx, r); return err })
		}
		if err := add(); err != nil {
			t.Fatal(err)
		}
		if err := add(); caos.KindOf(err) != caos.Conflict {
			t.Errorf("the same id again: %v", err)
		}
		r.ID = "AUDIT-x"
		err := f.d.Update(context.Background(), func(tx *db.Tx) error {
			_, err := f.Append(tx, r)
			if err == nil {
				_, err = f.Append(tx, r)
			}
			return err
		})
		if caos.KindOf(err) != caos.Unavailable {
			t.Errorf("the same id twice in one transaction: %v", err)
		}
		if err := add(); err != nil {
			t.Errorf("an id that was not taken after all: %v", err)
		}
		clean(t, f)
	})
}

// TestFaults breaks transactions at every point and looks at the whole log afterwards.
func TestFaults(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		var mu sync.Mutex
		var at db.Point
		var what db.Action
		fault := &db.Fault{At: func(p db.Point) db.Action {
			mu.Lock()
			defer mu.Unlock()
			if what != db.Proceed && p == at {
				a := what
				what = db.Proceed
				return a
			}
			return db.Proceed
		}}
		f := newFixture(t, dialect, fixtureOptions{fault: fault})
		ctx := context.Background()
		for _, c := range []struct {
			at   db.Point
			what db.Action
			err  error
		}{
			{db.AtBegin, db.Fail, db.ErrAborted}, {db.AtFunction, db.Fail, db.ErrAborted}, {db.AtSeal, db.Fail, db.ErrAborted},
			{db.AtCommit, db.Fail, db.ErrAborted}, {db.AtCommitted, db.Fail, db.ErrUnknown},
			{db.AtSeal, db.Kill, nil}, {db.AtCommit, db.Kill, nil},
		} {
			f.add(t, 3, 3)
			before, _, _ := f.Root(ctx)
			mu.Lock()
			at, what = c.at, c.what
			mu.Unlock()
			var got Receipt
			err := f.d.Update(ctx, func(tx *db.Tx) (err error) {
				got, err = f.Append(tx, sample(1))
				return err
			})
			if c.err != nil && !errors.Is(err, c.err) || err == nil {
				t.Fatalf("%v %v: %v", c.at, c.what, err)
			}
			after, _, _ := f.Root(ctx)
			s, gerr := f.Get(ctx, got.ID)
			if there := gerr == nil; there != (after == before+1) || there != errors.Is(err, db.ErrUnknown) && c.err != nil {
				t.Errorf("%v %v: %d leaves before, %d after, record %v", c.at, c.what, before, after, s)
			}
			f.prove(t, f.add(t, 300, 100)[299], f.trust(t))
		}
		clean(t, f)
	})
}

// TestDiskFull sees that what cannot be recorded does not happen.
func TestDiskFull(t *testing.T) {
	var mu sync.Mutex
	var next db.Action
	fault := &db.Fault{At: func(p db.Point) db.Action {
		mu.Lock()
		defer mu.Unlock()
		if p != db.AtBegin {
			return db.Proceed
		}
		a := next
		next = db.Proceed
		return a
	}}
	f := newFixture(t, db.SQLite, fixtureOptions{fault: fault})
	ctx := context.Background()
	f.add(t, 10, 10)
	mu.Lock()
	next = db.DiskFull
	mu.Unlock()
	var full error
	grown, _, _ := f.Root(ctx)
	for range 1000 {
		r := sample(1)
		r.Details = map[string]any{"text": strings.Repeat("x", 100_000)}
		full = f.d.Update(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE audit_counts SET n = n WHERE day = -1`)
			_, err := f.Append(tx, r)
			return err
		})
		if full != nil {
			break
		}
		grown++
	}
	if !errors.Is(full, db.ErrAborted) || caos.KindOf(full) != caos.Full {
		t.Fatalf("a full disk: %v", full)
	}
	if size, _, _ := f.Root(ctx); size != grown {
		t.Errorf("%d leaves, %d were acknowledged", size, grown)
	}
	clean(t, f)
	mu.Lock()
	next = db.DiskFree
	mu.Unlock()
	f.add(t, 10, 10)
	clean(t, f)
}

func TestConcurrentAppend(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := newFixture(t, dialect, fixtureOptions{every: time.Millisecond})
		var wg sync.WaitGroup
		var mu sync.Mutex
		var all []Receipt
		for w := range 20 {
			wg.Go(func() {
				for i := range 25 {
					var got Receipt
					err := f.d.Update(context.Background(), func(tx *db.Tx) (err error) {
						got, err = f.Append(tx, sample(w*25+i))
						if i%5 == 4 && err == nil {
							err = fmt.Errorf("no")
						}
						return err
					})
					if (err != nil) != (i%5 == 4) {
						t.Errorf("append: %v", err)
					}
					if err == nil {
						mu.Lock()
						all = append(all, got)
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if size, _, _ := f.Root(context.Background()); size != 400+genesis {
			t.Errorf("%d leaves", size)
		}
		trust := f.trust(t)
		for i := 0; i < len(all); i += 40 {
			f.prove(t, all[i], trust)
		}
		clean(t, f)
	})
}

// TestTwoNodes lets two nodes write to one log, with a sink they share.
func TestTwoNodes(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	dir, sink := t.TempDir(), t.TempDir()+"/published.txt"
	a := newFixture(t, db.PostgreSQL, fixtureOptions{url: url, keyDir: dir + "/k", sink: sink, slot: 0, every: time.Millisecond})
	b := newFixture(t, db.PostgreSQL, fixtureOptions{url: url, keyDir: dir + "/k", sink: sink, slot: 1, every: time.Millisecond})
	var wg sync.WaitGroup
	for _, f := range []*fixture{a, b} {
		for w := range 8 {
			wg.Go(func() {
				for i := range 30 {
					err := f.d.Update(context.Background(), func(tx *db.Tx) error { _, err := f.Append(tx, sample(w*30+i)); return err })
					if err != nil {
						t.Errorf("append: %v", err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, f := range []*fixture{a, b} {
		if on, why := f.Recovery(); on {
			t.Errorf("recovery: %s", why)
		}
		if size, _, _ := f.Root(context.Background()); size != 480+genesis {
			t.Errorf("%d leaves", size)
		}
		if err := f.Publish(context.Background()); err != nil {
			t.Error(err)
		}
		clean(t, f)
	}
}

func TestKeyLifeCycle(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := newFixture(t, dialect, fixtureOptions{})
		ctx := context.Background()
		first := f.add(t, 2, 1)[1]
		before, err := f.Prove(ctx, first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Publish(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := f.KeyRotated(ctx, sign.Checkpoint, "admin"); err != nil {
			t.Fatal(err)
		}
		born, err := f.KeyCreated(ctx, sign.Passport, "admin")
		if err != nil {
			t.Fatal(err)
		}
		trust := f.trust(t)
		f.prove(t, first, trust)
		p, err := verify.ParseProof(before)
		if err != nil {
			t.Fatal(err)
		}
		hash, _ := verify.ParseHash(first.Hash)
		if _, err := p.Verify(hash, trust); err != nil {
			t.Errorf("a proof from before the rotation: %v", err)
		}
		if _, err := f.KeyRotated(ctx, sign.Passport, "admin"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.KeyCompromised(ctx, born.Key.ID, "admin"); err != nil {
			t.Fatal(err)
		}
		trust = f.trust(t)
		k, err := trust.Find(born.Key.ID, verify.PurposePassport)
		if err != nil || k.ActiveUntil == nil || k.CompromisedAt == nil {
			t.Errorf("%+v, %v", k, err)
		}
		text, err := trust.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify.ParseTrust(text); err != nil {
			t.Error(err)
		}
		clean(t, f)
	})
}

func TestOpenAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		dir := t.TempDir()
		url, opt := dbtest.URL(t, dialect), fixtureOptions{keyDir: dir + "/keys", sink: dir + "/published.txt"}
		opt.url = url
		a := newFixture(t, dialect, opt)
		old := a.add(t, 300, 100)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := a.d.Close(); err != nil {
			t.Fatal(err)
		}
		b := newFixture(t, dialect, opt)
		if on, why := b.Recovery(); on {
			t.Fatalf("recovery: %s", why)
		}
		fresh := b.add(t, 300, 100)
		trust := b.trust(t)
		b.prove(t, old[7], trust)
		b.prove(t, fresh[299], trust)
		if fresh[0].ID <= old[299].ID {
			t.Errorf("%s does not come after %s", fresh[0].ID, old[299].ID)
		}
		clean(t, b)
	})
}

// TestListUsesIndexes sees that no page is sorted or found by reading everything.
func TestListUsesIndexes(t *testing.T) {
	f := newFixture(t, db.SQLite, fixtureOptions{})
	h := f.hand(t)
	at := time.UnixMicro(1)
	for _, filter := range []Filter{
		{}, {Type: Rollback}, {Actor: "a"}, {Resource: "r"}, {Execution: "e"}, {Project: "p"}, {From: at, To: at}, {Type: Data, From: at}, {Resource: "r", Type: Data, To: at},
	} {
		for _, cursor := range []string{"", mark{1, 2}.cursor()} {
			query, args, err := filter.query(cursor, 10)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := h.Query(`EXPLAIN QUERY PLAN `+query, args...)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var a, b, c int
				var plan string
				if err := rows.Scan(&a, &b, &c, &plan); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(plan, "TEMP B-TREE") || strings.HasPrefix(plan, "SCAN") && !strings.Contains(plan, "USING") {
					t.Errorf("%+v: %s", filter, plan)
				}
			}
			rows.Close()
		}
	}
	// The position is the row id: the migration's two-faced comment worked.
	var n int
	if err := h.QueryRow(`SELECT count(*) FROM audit_records WHERE rowid <> seq`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows whose id is not their position (%v)", n, err)
	}
}
