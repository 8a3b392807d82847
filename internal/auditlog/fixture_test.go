package auditlog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/sign"
	"caos/internal/verify"
)

func TestMain(m *testing.M) {
	// The tests' private database server is watched over by a goroutine of the process.
	goleak.VerifyTestMain(m)
}

const testOrigin = "log.example/caos"

// fixture is a log with keys and a sink, on a database that can be opened again.
type fixture struct {
	*Log
	d    *db.DB
	url  string
	keys *sign.Keys
	sink *FileSink
	logs *bytes.Buffer
}

type fixtureOptions struct {
	fault   *db.Fault
	url     string // of an existing database
	keyDir  string
	sink    string
	slot    int // of 2 nodes
	noClose bool
	every   time.Duration
}

func newFixture(t testing.TB, dialect db.Dialect, opt fixtureOptions) *fixture {
	t.Helper()
	if opt.url == "" {
		opt.url = dbtest.URL(t, dialect)
	}
	if opt.keyDir == "" {
		opt.keyDir = filepath.Join(t.TempDir(), "keys")
	}
	if opt.sink == "" {
		opt.sink = filepath.Join(t.TempDir(), "published", "checkpoints.txt")
	}
	if opt.every == 0 {
		opt.every = time.Hour // tests publish when they want to
	}
	f := &fixture{url: opt.url, sink: NewFileSink(opt.sink), logs: &bytes.Buffer{}}
	quiet := slog.New(slog.DiscardHandler)
	f.d = dbtest.OpenWith(t, db.Options{URL: opt.url, Log: quiet, Fault: opt.fault})
	f.keys = testKeys(t, opt.keyDir)
	floor, err := LastTime(context.Background(), f.d)
	if err != nil {
		t.Fatal(err)
	}
	f.Log, err = Open(context.Background(), Options{
		DB: f.d, Keys: f.keys, Origin: testOrigin, Sink: f.sink, Log: quiet,
		Stamps: caos.NewStamper(time.Now, floor, opt.slot, 2), PublishEvery: opt.every,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Log.Close(); err != nil && !opt.noClose {
			t.Errorf("close log: %v", err)
		}
	})
	return f
}

// testKeys opens a key folder and makes the usual keys if it is empty.
func testKeys(t testing.TB, dir string) *sign.Keys {
	t.Helper()
	keys, err := sign.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	if len(keys.List()) > 0 {
		return keys
	}
	for _, p := range []sign.Purpose{sign.Checkpoint, sign.Evidence, sign.Encryption} {
		if _, err := keys.Create(context.Background(), p, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// genesis is the number of leaves that a fixture's log begins with.
const genesis = 3

func sample(i int) Record {
	return Record{
		Type: Types()[i%13], Actor: fmt.Sprintf("user-%d", i%7), RecordedBy: "api", Resources: []string{fmt.Sprintf("NN-FCS-%03d", i%5), "DOC-1"},
		Details: map[string]any{"n": i, "text": "Größe <&> \u2028", "list": []any{1.5, nil, true}}, Execution: fmt.Sprintf("EXEC-%d", i/2),
		Project: []string{"", "fcs", "nav"}[i%3], Classification: "internal", Hook: "CAOS.PROD.CERT.AUDIT", Authorization: "AUTH-1",
		Actions:  []Action{{Number: 1, Name: "Create immutable audit record", Step: "record", Status: "DONE"}},
		Decision: &Decision{Effect: "permit", Policies: []string{"p1"}, Reasons: []string{"because \"so\""}},
	}
}

// add appends n sample records in one Update each for batch of them.
func (f *fixture) add(t testing.TB, n, batch int) []Receipt {
	t.Helper()
	var all []Receipt
	for i := 0; i < n; i += batch {
		var got []Receipt
		err := f.d.Update(context.Background(), func(tx *db.Tx) error {
			got = got[:0]
			for j := i; j < min(i+batch, n); j++ {
				r, err := f.Append(tx, sample(j))
				if err != nil {
					return err
				}
				got = append(got, r)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got...)
	}
	return all
}

// prove checks a record's proof with nothing but the trust file.
func (f *fixture) prove(t testing.TB, r Receipt, trust verify.Trust) verify.Checkpoint {
	t.Helper()
	text, err := f.Prove(context.Background(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	p, err := verify.ParseProof(text)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := verify.ParseHash(r.Hash)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Verify(hash, trust)
	if err != nil {
		t.Fatalf("proof of %s: %v", r.ID, err)
	}
	return c
}

func (f *fixture) trust(t testing.TB) verify.Trust {
	t.Helper()
	trust, err := f.Trust(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// leafOf makes a leaf as an attacker would.
func leafOf(id string, us int64, typ string, salt [32]byte, record string) []byte {
	return verify.LeafBytes(id, caos.FormatTime(time.UnixMicro(us)), typ, verify.Commitment(salt, []byte(record)))
}
