package anchor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/digitorus/timestamp"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/location"
	"caos/internal/location/s3test"
	"caos/internal/secret"
	"caos/internal/verify"
)

// vault is a vault of a test.
type vault map[string]string

func (v vault) Get(_ context.Context, r secret.Ref) ([]byte, error) {
	return []byte(v[r.String()]), nil
}

// bucket makes a bucket that locks objects.
func bucket(t testing.TB) *location.Locations {
	t.Helper()
	s := s3test.Start(t)
	if _, err := s.Client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("anchors"), ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	l, err := location.Open(location.Options{Buckets: []location.Bucket{{Bucket: "anchors", Endpoint: s.URL, AccessKey: "vault:s3/a#access", SecretKey: "vault:s3/a#secret", PathStyle: true, Write: true}},
		Secrets: vault{"vault:s3/a#access": s.Access, "vault:s3/a#secret": s.Secret}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// everywhere is a destination of each kind.
func everywhere(w *world) (Settings, func(*Options)) {
	dir := w.t.TempDir()
	_, one := w.witnessOf(filepath.Join(dir, "w1"), "witness.example/w1")
	tsa := newAuthority(w.t, w.clock)
	places := bucket(w.t)
	return Settings{Chain: true, Files: []string{filepath.Join(dir, "elsewhere", "checkpoints.txt")}, S3: "s3://anchors/production", Timestamps: []Timestamp{{URL: tsa.URL, Certificate: tsa.pem}},
		Witnesses: []Witness{one}, Quorum: 1}, func(o *Options) { o.Locations = places }
}

// Every kind of destination gets the checkpoint, and what it answered can be checked with the
// trust file alone.
func TestAnchorsEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		w := newWorld(t, dialect, worldOptions{})
		set, change := everywhere(w)
		s := w.open(set, change)
		w.happen(5)
		size := w.size()
		got := w.now(s)
		for _, kind := range []string{"chain", "object", "file", "timestamp", "witness"} {
			d := got[kind]
			if d.State != OK || d.Error != "" || d.Anchor == nil || d.Anchor.Size < size {
				t.Fatalf("%s: %+v", kind, d)
			}
			if kind == "chain" != (d.Anchor.State == Pending) {
				t.Errorf("%s is %s", kind, d.Anchor.State)
			}
		}
		id := subjectID(origin, got["chain"].Anchor.Size)
		w.chain.set(id, func(sub *chain.Subject) {
			n := uint64(7)
			if sub.Kind != chain.KindCheckpoint || sub.ModelID != origin || sub.Version != fmt.Sprint(got["chain"].Anchor.Size) || !strings.HasPrefix(sub.ContentHash, "SHA256:") {
				t.Errorf("subject %+v", sub)
			}
			sub.State, sub.Hash, sub.BlockNumber, sub.ExecutionID, sub.TransactionID = chain.SubjectConfirmed, "0xabc", &n, "EXEC-1", "TX-1"
		})
		w.tick(s)
		all := w.anchors(s, Filter{})
		if len(all) != 5 {
			t.Fatalf("%d anchors", len(all))
		}
		trust, err := w.log.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		trust.Witnesses = []string{set.Witnesses[0].Key}
		block, _ := pem.Decode(set.Timestamps[0].Certificate)
		trust.TimestampCertificates = []string{base64.StdEncoding.EncodeToString(block.Bytes)}
		for _, a := range all {
			if a.State != Confirmed || a.ConfirmedAt.IsZero() || a.AskedBy != "ada" {
				t.Errorf("%+v", a)
			}
			c, by, err := verify.OpenCosigned([]byte(a.Checkpoint), trust)
			if err != nil || c.Size != a.Size || c.Root.String() != a.Root {
				t.Errorf("%s: %v", a.Kind, err)
			}
			switch a.Kind {
			case verify.AnchorWitness:
				if len(by) != 1 || by[0].Witness != "witness.example/w1" || !by[0].At.Equal(a.ProvedAt) {
					t.Errorf("cosigned by %v", by)
				}
			case verify.AnchorTimestamp:
				if _, err := trust.CheckTimestamp(a.Proof, []byte(a.Checkpoint)); err != nil {
					t.Error(err)
				}
			case verify.AnchorObject:
				text, err := s.opt.Locations.GetLocked(t.Context(), a.Place, location.Scope{})
				if err != nil || string(text) != a.Checkpoint {
					t.Errorf("object %q: %v", text, err)
				}
			case verify.AnchorFileKind:
				text, err := os.ReadFile(set.Files[0])
				if err != nil || string(text) != a.Checkpoint+"\n" {
					t.Errorf("file %q: %v", text, err)
				}
			case verify.AnchorChain:
				if a.TxHash != "0xabc" || a.Block != 7 || a.ChainID != 1337 || a.Address != registry || a.ExecutionID != "EXEC-1" {
					t.Errorf("%+v", a)
				}
			}
			records, err := w.log.List(t.Context(), auditlog.Filter{Resource: a.AnchorID}, "")
			if err != nil || len(records.Records) == 0 {
				t.Errorf("%s has no audit record: %v", a.AnchorID, err)
			}
		}
		files, err := s.Anchors(t.Context(), origin, size+100)
		if err != nil || len(files) != 5 {
			t.Errorf("%d files for a package: %v", len(files), err)
		}
		if files, err := s.Anchors(t.Context(), origin, 1); err != nil || len(files) != 0 {
			t.Errorf("%d files of a tree that none covers: %v", len(files), err)
		}
		note, err := s.Checkpoint(t.Context())
		if err != nil || lines(note) != 6 {
			t.Errorf("served %q: %v", note, err)
		}
		st, err := s.Status(t.Context())
		if err != nil || len(st.Destinations) != 5 || st.CosignedSize < size || st.Origin != origin {
			t.Errorf("status %+v: %v", st, err)
		}
		if text, err := json.Marshal(st); err != nil || strings.Contains(string(text), "0001-01-01") {
			t.Errorf("status %s: %v", text, err)
		}
	})
}

// Anchoring is no reason to anchor; anything else is.
func TestNothingElseHappened(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	set, change := everywhere(w)
	s := w.open(set, change)
	w.happen(3)
	for range 2 {
		w.tick(s)
	}
	if n := len(w.anchors(s, Filter{})); n != 5 {
		t.Fatalf("%d anchors in one interval", n)
	}
	// What recording on a chain puts into the log: of the execution, and of its transaction.
	id := subjectID(origin, w.anchors(s, Filter{Kind: verify.AnchorChain})[0].Size)
	w.chain.set(id, func(sub *chain.Subject) {
		sub.State, sub.Hash, sub.ExecutionID, sub.TransactionID = chain.SubjectConfirmed, "0xabc", "EXEC-A", "TX-A"
	})
	if err := w.d.Update(t.Context(), func(tx *db.Tx) error {
		for _, r := range []auditlog.Record{{Type: auditlog.Execution, Actor: "caos", Execution: "EXEC-A"}, {Type: auditlog.Data, Actor: "caos", Resources: []string{"TX-A"}}} {
			if _, err := w.log.Append(tx, r); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.clock.pass(2 * time.Hour)
		w.tick(s)
	}
	if n := len(w.anchors(s, Filter{})); n != 5 {
		t.Errorf("%d anchors, although nothing happened", n)
	}
	w.happen(1)
	w.tick(s)
	w.tick(s)
	if n := len(w.anchors(s, Filter{})); n != 10 {
		t.Errorf("%d anchors after something happened", n)
	}
	w.happen(1)
	w.tick(s)
	if n := len(w.anchors(s, Filter{})); n != 10 {
		t.Errorf("%d anchors within one interval", n)
	}
}

// A destination that is away is asked again after growing pauses, hinders nobody, and is told
// of after an hour; when it is back that is over.
func TestAwayForAnHour(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		w := newWorld(t, dialect, worldOptions{})
		srv, one := w.witnessOf(filepath.Join(t.TempDir(), "w1"), "witness.example/w1")
		file := filepath.Join(t.TempDir(), "f", "c.txt")
		s := w.open(Settings{Witnesses: []Witness{one}, Files: []string{file}}, nil)
		srv.set(func(s *server) {
			s.first = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
		})
		w.happen(1)
		for range 4 * 60 {
			w.tick(s)
			w.clock.pass(15 * time.Second)
		}
		if n := srv.count(); n < 6 || n > 30 {
			t.Errorf("asked %d times in an hour", n)
		}
		if n := len(w.openAlerts()); n != 0 {
			t.Errorf("%d alerts within the hour", n)
		}
		if w.anchors(s, Filter{Kind: verify.AnchorFileKind}) == nil {
			t.Error("the file had to wait for the witness")
		}
		for range 8 * 60 {
			w.tick(s)
			w.clock.pass(15 * time.Second)
		}
		list := w.openAlerts()
		if len(list) != 1 || list[0].Severity != alert.High || list[0].AlertType != alert.Anomaly {
			t.Fatalf("alerts %+v", list)
		}
		contains(t, "alert", list[0].AlertMessage, "witness.example/w1")
		st := w.now(s, verify.AnchorWitness)[verify.AnchorWitness]
		if st.State != Failing || st.AlertID != list[0].AlertID || st.Attempts < 5 {
			t.Errorf("%+v", st)
		}
		contains(t, "error", st.Error, "502")
		srv.set(func(s *server) { s.first = nil })
		if st := w.now(s, verify.AnchorWitness)[verify.AnchorWitness]; st.State != OK || st.Error != "" || st.AlertID != "" {
			t.Errorf("%+v", st)
		}
		if n := len(w.openAlerts()); n != 0 {
			t.Errorf("%d alerts after it came back", n)
		}
	})
}

// A log that was cut and went on differently is noticed by every destination that had the
// longer one, at the next anchor. Nothing is given to it, and somebody is told at once.
func TestCutLogIsNoticed(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	set, change := everywhere(w)
	w.happen(20)
	w.now(w.open(set, change))
	for name, grown := range map[string]int{"shorter": 1, "as long or longer": 60} {
		t.Run(name, func(t *testing.T) {
			other := newWorld(t, db.SQLite, worldOptions{keys: w.keys})
			other.happen(grown)
			s := other.open(set, change)
			for kind, d := range other.now(s) {
				if kind == verify.AnchorChain || kind == verify.AnchorTimestamp {
					continue // the contract refuses when it is asked; a time-stamp server remembers nothing
				}
				if d.State != Diverged || d.AlertID == "" || d.Anchor != nil {
					t.Errorf("%s: %+v", kind, d)
				}
			}
			critical := func() []alert.Alert {
				return slices.DeleteFunc(other.openAlerts(), func(a alert.Alert) bool { return a.Severity != alert.Critical })
			}
			list := critical()
			for _, a := range list {
				if a.Severity != alert.Critical || !slices.ContainsFunc(a.RecommendedActions, func(s string) bool { return strings.Contains(s, "caos recover") }) {
					t.Errorf("%+v", a)
				}
			}
			if len(list) != 3 {
				t.Errorf("%d alerts", len(list))
			}
			n := len(list)
			other.clock.pass(3 * time.Hour)
			other.happen(1)
			other.tick(s)
			if again := len(critical()); again != n {
				t.Errorf("%d alerts became %d", n, again)
			}
		})
	}
}

// A database that was restored from a backup knows of fewer objects than the bucket: the log
// may have grown beyond the last of them meanwhile, to something else.
func TestBucketKnowsMore(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	places := bucket(t)
	s := w.open(Settings{S3: "s3://anchors/production"}, func(o *Options) { o.Locations = places })
	w.happen(5)
	d := w.now(s)["object"]
	if d.State != OK {
		t.Fatalf("%+v", d)
	}
	lost := verify.Checkpoint{Origin: origin, Size: d.Size + 1, Root: tlog.Hash{9}}
	uri := ObjectFolder("s3://anchors/production/", origin) + objectName(lost.Size)
	if err := places.PutLocked(t.Context(), uri, []byte(lost.Text()+"\n— log.example/caos AAAA\n"), w.clock.now().Add(time.Hour), location.Scope{Classification: "Internal"}); err != nil {
		t.Fatal(err)
	}
	w.happen(5)
	if d = w.now(s)["object"]; d.State != Diverged || !strings.Contains(d.Error, verify.FormatHash(lost.Root)) {
		t.Errorf("%+v", d)
	}
}

// What the contract says of a fork is a divergence, what the network does is not.
func TestContractRefuses(t *testing.T) {
	for reason, want := range map[string]Standing{
		"reverted: ForkedAnchor(treeSize=4, recorded=0xaa, stated=0xbb)": Diverged,
		"reverted: StaleAnchor(stated=4, last=999)":                      Diverged,
		"reverted: StaleAnchor(stated=1, last=2)":                        Failing,
		"reverted: EnforcedPause()":                                      Failing,
		"the account has no funds":                                       Failing,
	} {
		w := newWorld(t, db.SQLite, worldOptions{})
		s := w.open(Settings{Chain: true}, nil)
		w.happen(3)
		a := w.now(s)[verify.AnchorChain].Anchor
		id := subjectID(origin, a.Size)
		w.chain.set(id, func(sub *chain.Subject) {
			sub.State, sub.Reason, sub.ExecutionID = chain.SubjectFailed, reason, "EXEC-A"
		})
		w.tick(s)
		d := w.now(s)[verify.AnchorChain] // the pause is over when somebody asks
		if d.State != want || !strings.Contains(d.Error, reason[:10]) {
			t.Errorf("%s: %+v", reason, d)
		}
		paused := strings.Contains(reason, "EnforcedPause") // somebody has to do something
		if n := len(w.openAlerts()); n > 0 != (want == Diverged || paused) {
			t.Errorf("%s: %d alerts", reason, n)
		}
	}
}

// While the chain is down no second checkpoint is sent after the first; after an hour somebody
// is told; then the anchor is confirmed all the same.
func TestChainIsDownForLong(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	s := w.open(Settings{Chain: true}, nil)
	for range 12 {
		w.happen(1)
		w.tick(s)
		w.clock.pass(20 * time.Minute)
	}
	list := w.anchors(s, Filter{})
	if len(list) != 1 || list[0].State != Pending || len(w.openAlerts()) != 1 {
		t.Fatalf("%d anchors, %d alerts", len(list), len(w.openAlerts()))
	}
	w.chain.set(subjectID(origin, list[0].Size), func(sub *chain.Subject) { sub.State, sub.Hash = chain.SubjectConfirmed, "0x1" })
	w.tick(s)
	if list := w.anchors(s, Filter{State: Confirmed}); len(list) != 1 || len(w.openAlerts()) != 0 {
		t.Errorf("%d confirmed, %d alerts", len(list), len(w.openAlerts()))
	}
	w.clock.pass(2 * time.Hour)
	w.tick(s)
	if n := len(w.anchors(s, Filter{})); n != 2 {
		t.Errorf("%d anchors: what came in between is not anchored", n)
	}
}

// Whatever becomes of the commit that writes an anchor, there is one of each in the end.
func TestCommitLost(t *testing.T) {
	for name, action := range map[string]db.Action{"refused": db.Refuse, "failed": db.Fail} {
		for point, at := range map[string]db.Point{"commit": db.AtCommit, "committed": db.AtCommitted} {
			if action == db.Refuse && at == db.AtCommitted {
				continue
			}
			t.Run(name+" at "+point, func(t *testing.T) {
				var armed atomic.Int32
				fault := &db.Fault{At: func(p db.Point) db.Action {
					if p == at && armed.Load() > 0 {
						armed.Add(-1)
						return action
					}
					return db.Proceed
				}}
				w := newWorld(t, db.SQLite, worldOptions{fault: fault})
				set, change := everywhere(w)
				w.happen(4)
				for k := range 12 {
					s := w.open(set, change) // as after a crash
					armed.Store(1)
					for i, p := range s.dest {
						if i >= k%6 {
							_ = s.attempt(context.Background(), p, "ada")
						}
					}
					armed.Store(0)
				}
				s := w.open(set, change)
				w.now(s)
				seen := map[string]bool{}
				for _, a := range w.anchors(s, Filter{}) {
					key := fmt.Sprint(a.Kind, a.Size)
					if seen[key] {
						t.Errorf("%s twice", key)
					}
					seen[key] = true
					page, err := w.log.List(t.Context(), auditlog.Filter{Resource: a.AnchorID}, "")
					if err != nil || len(page.Records) != 1 {
						t.Errorf("%s has %d records", a.AnchorID, len(page.Records))
					}
				}
				for kind, d := range w.now(s) {
					if d.State != OK {
						t.Errorf("%s: %+v", kind, d)
					}
				}
			})
		}
	}
}

// An answer that is lost although the effect happened: the next attempt finds its own.
func TestAnswerLost(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	srv, one := w.witnessOf(filepath.Join(t.TempDir(), "w1"), "witness.example/w1")
	s := w.open(Settings{Witnesses: []Witness{one}}, nil)
	w.happen(4)
	srv.set(func(s *server) { s.lose = true })
	if d := w.now(s)[verify.AnchorWitness]; d.State != Failing {
		t.Fatalf("%+v", d)
	}
	srv.set(func(s *server) { s.lose = false })
	w.happen(3)
	if d := w.now(s)[verify.AnchorWitness]; d.State != OK || d.Size < 7 {
		t.Errorf("%+v", d)
	}
}

// A destination that hangs hinders neither the others nor whoever asked.
func TestHangs(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	srv, one := w.witnessOf(filepath.Join(t.TempDir(), "w1"), "witness.example/w1")
	release := make(chan struct{})
	defer close(release)
	srv.set(func(s *server) {
		s.first = func(http.ResponseWriter, *http.Request) bool { <-release; return true }
	})
	s := w.open(Settings{Witnesses: []Witness{one}, Files: []string{filepath.Join(t.TempDir(), "c.txt")}}, func(o *Options) { o.Patience = 200 * time.Millisecond })
	w.happen(1)
	got := w.now(s)
	if got[verify.AnchorWitness].State != Failing || got[verify.AnchorFileKind].State != OK {
		t.Errorf("%+v", got)
	}
}

// A witness that says it is further than what it is given, and that another node gave it that,
// cosigns nothing: that is no success.
func TestWitnessSaysItIsAhead(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	srv, one := w.witnessOf(filepath.Join(t.TempDir(), "w1"), "witness.example/w1")
	srv.set(func(s *server) {
		s.first = func(rw http.ResponseWriter, _ *http.Request) bool {
			w.happen(1)
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(http.StatusConflict)
			fmt.Fprintln(rw, w.size())
			return true
		}
	})
	s := w.open(Settings{Witnesses: []Witness{one}}, nil)
	w.happen(3)
	if d := w.now(s)[verify.AnchorWitness]; d.State != Failing || !strings.Contains(d.Error, "nobody here knows of") {
		t.Errorf("%+v", d)
	}
}

// What may not be answered is refused by name, and nothing is kept of it.
func TestLyingServers(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	tsa, other := newAuthority(t, w.clock), newAuthority(t, w.clock)
	for _, c := range []struct {
		name, want string
		spoil      func(*timestamp.Timestamp)
		cert       []byte
		first      func(w http.ResponseWriter, r *http.Request) bool
	}{
		{"another nonce", "another request", func(ts *timestamp.Timestamp) { ts.Nonce.Add(ts.Nonce, ts.Nonce) }, tsa.pem, nil},
		{"no nonce", "another request", func(ts *timestamp.Timestamp) { ts.Nonce = nil }, tsa.pem, nil},
		{"another text", "other bytes", func(ts *timestamp.Timestamp) { ts.HashedMessage = make([]byte, 32) }, tsa.pem, nil},
		{"a year ago", "it is", func(ts *timestamp.Timestamp) { ts.Time = ts.Time.AddDate(0, -6, 0) }, tsa.pem, nil},
		{"another authority", "leads to none", nil, other.pem, nil},
		{"a page", "not the response", nil, tsa.pem, func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("<html>")); return true }},
		{"nothing", "not the response", nil, tsa.pem, func(http.ResponseWriter, *http.Request) bool { return true }},
		{"a flood", "more than", nil, tsa.pem, func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write(make([]byte, 100<<10)); return true }},
		{"an error", "503", nil, tsa.pem, func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }},
		{"elsewhere", "redirects", nil, tsa.pem, func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return true
		}},
		{"refused", "status 2", nil, tsa.pem, func(w http.ResponseWriter, _ *http.Request) bool {
			b, _ := timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.BadAlgorithm)
			_, _ = w.Write(b)
			return true
		}},
	} {
		tsa.spoil = c.spoil
		tsa.set(func(s *server) { s.first = c.first })
		s := w.open(Settings{Timestamps: []Timestamp{{URL: tsa.URL + "/" + strings.ReplaceAll(c.name, " ", "-"), Certificate: c.cert}}}, nil)
		w.happen(1)
		d := w.now(s)[verify.AnchorTimestamp]
		if d.State != Failing || !strings.Contains(d.Error, c.want) || d.Anchor != nil {
			t.Errorf("%s: %s %q", c.name, d.State, d.Error)
		}
	}
}

// With a quorum of two, what is served is the newest checkpoint that two have cosigned; with
// none, the newest with what there is.
func TestServedCheckpoint(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	dir := t.TempDir()
	_, one := w.witnessOf(filepath.Join(dir, "w1"), "witness.example/w1")
	second, two := w.witnessOf(filepath.Join(dir, "w2"), "witness.example/w2")
	set := Settings{Witnesses: []Witness{one, two}, Quorum: 2}
	s := w.open(set, nil)
	served := func() (size int64, cosigned int) {
		t.Helper()
		note, err := s.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		trust, err := w.log.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		trust.Witnesses = []string{one.Key, two.Key}
		c, by, err := verify.OpenCosigned(note, trust)
		if err != nil {
			t.Fatalf("%s: %v", note, err)
		}
		return c.Size, len(by)
	}
	w.happen(2)
	if size, n := served(); size != w.size() || n != 0 {
		t.Errorf("before anything: %d leaves, %d cosignatures", size, n)
	}
	w.now(s)
	rows := w.anchors(s, Filter{Kind: verify.AnchorWitness})
	if len(rows) != 2 {
		t.Fatalf("%d cosignatures", len(rows))
	}
	together := rows[0].Size == rows[1].Size
	size, n := served()
	if together && (size != rows[0].Size || n != 2) {
		t.Errorf("%d leaves with %d cosignatures", size, n)
	}
	if !together && n == 1 {
		t.Error("less than the quorum was served as if it were one")
	}
	second.set(func(s *server) {
		s.first = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	})
	w.happen(3)
	w.now(s)
	if again, n := served(); together && (again != size || n != 2) {
		t.Errorf("with one witness away: %d leaves with %d cosignatures", again, n)
	}
	set.Quorum = 0
	s = w.open(set, nil)
	if size, _ := served(); size != w.size() {
		t.Errorf("without a quorum: %d leaves of %d", size, w.size())
	}
}

// Two nodes of one installation do not both anchor.
func TestTwoNodes(t *testing.T) {
	w := newWorld(t, db.PostgreSQL, worldOptions{})
	_, one := w.witnessOf(filepath.Join(t.TempDir(), "w1"), "witness.example/w1")
	set := Settings{Witnesses: []Witness{one}, Files: []string{filepath.Join(t.TempDir(), "c.txt")}}
	v := newWorld(t, db.PostgreSQL, worldOptions{url: w.url, keys: w.keys, slot: 1})
	a, b := w.open(set, func(o *Options) { o.Node = "a" }), v.open(set, func(o *Options) { o.Node = "b" })
	for range 5 {
		w.happen(1)
		v.happen(1)
		w.tick(a)
		v.tick(b)
		w.clock.pass(2 * time.Hour)
		v.clock.pass(2 * time.Hour)
	}
	if n := len(w.anchors(a, Filter{})); n != 10 {
		t.Errorf("%d anchors of 5 intervals and 2 destinations", n)
	}
	for _, s := range []*Service{a, b} {
		st, err := s.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range st.Destinations {
			if d.State != OK {
				t.Errorf("%+v", d)
			}
		}
	}
}

// Settings that cannot work are refused by their name in the configuration.
func TestOpenRefuses(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	_, one := w.witnessOf(filepath.Join(t.TempDir(), "w1"), "witness.example/w1")
	tsa := newAuthority(t, w.clock)
	again := one
	again.Name = "another name"
	bad := one
	bad.Key = strings.Replace(one.Key, "w1", "w2", 1)
	for field, set := range map[string]Settings{
		"anchors.files[0]":                  {Files: []string{"relative.txt"}},
		"anchors":                           {Files: []string{"/x", "/x"}},
		"anchors.s3":                        {S3: "s3://anchors/x"},
		"anchors.witnesses[0].key":          {Witnesses: []Witness{bad}},
		"anchors.witnesses[0].url":          {Witnesses: []Witness{{Key: one.Key}}},
		"anchors.timestamps[0].certificate": {Timestamps: []Timestamp{{URL: tsa.URL, Certificate: []byte("x")}}},
		"anchors.timestamps[0].url":         {Timestamps: []Timestamp{{URL: "ftp://x", Certificate: tsa.pem}}},
		"anchors.witnesses":                 {Witnesses: []Witness{one, again}, Quorum: 2},
		"anchors.quorum":                    {Witnesses: []Witness{one}, Quorum: 2},
	} {
		if _, err := Open(Options{DB: w.d, Log: w.log, Stamps: w.stamps, Alerts: w.alerts, Settings: set}); caos.AsError(err).Field != field {
			t.Errorf("%s: %v (%+v)", field, err, caos.AsError(err))
		}
	}
	if _, err := Open(Options{DB: w.d, Log: w.log, Stamps: w.stamps, Alerts: w.alerts, Settings: Settings{Chain: true}}); caos.AsError(err).Field != "anchors.chain" {
		t.Errorf("no chain: %v", err)
	}
	s := w.open(Settings{}, nil)
	if _, err := s.Now(t.Context(), caos.Principal{ID: "ada"}); caos.AsError(err).Rule != "anchors-unconfigured" {
		t.Errorf("nothing configured: %v", err)
	}
	s = w.open(Settings{Files: []string{filepath.Join(t.TempDir(), "c")}}, nil)
	if _, err := s.Now(t.Context(), caos.Principal{ID: "ada"}, "chain"); caos.AsError(err).Field != "kinds" {
		t.Errorf("a kind that is not configured: %v", err)
	}
	if _, err := s.Get(t.Context(), "ANCHOR-x\x00"); caos.KindOf(err) != caos.NotFound {
		t.Errorf("no anchor: %v", err)
	}
	if _, _, err := s.List(t.Context(), Filter{State: "GONE"}, ""); caos.AsError(err).Field != "state" {
		t.Errorf("no state: %v", err)
	}
}

// Run anchors by itself, and ends with its context.
func TestRun(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	_, one := w.witnessOf(filepath.Join(t.TempDir(), "w1"), "witness.example/w1")
	file := filepath.Join(t.TempDir(), "c.txt")
	s := w.open(Settings{Every: 50 * time.Millisecond, Witnesses: []Witness{one}, Files: []string{file}}, func(o *Options) { o.Now = time.Now })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	w.happen(1)
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(w.anchors(s, Filter{})) < 2 {
		select {
		case <-limit:
			t.Fatal("nothing was anchored")
		case <-tick.C:
		}
	}
	cancel()
	<-done
}
