package dpp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

const (
	model   = "NN-FCS-001"
	version = "2.1.0"
)

// world is everything that passports stand on, real, with a clock that ticks.
type world struct {
	*Passports
	t   testing.TB
	db  *db.DB
	log *auditlog.Log
	now atomic.Int64
}

func newWorld(t testing.TB, d *db.DB) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, db: d}
	w.now.Store(time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(w.now.Add(1000)) }
	keys, err := sign.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	w.ok(err)
	_, err = keys.Create(ctx, sign.Checkpoint, now())
	w.ok(err)
	w.log, err = auditlog.Open(ctx, auditlog.Options{DB: d, Keys: keys, Origin: "caos.test/log", Stamps: caos.NewStamper(now, time.Time{}, 0, 1), Now: now,
		Log: slog.New(slog.DiscardHandler), PublishEvery: time.Hour})
	w.ok(err)
	_, err = w.log.KeyCreated(ctx, sign.Passport, "system")
	w.ok(err)
	objects, err := object.Open(filepath.Join(t.TempDir(), "objects"), d, time.Now)
	w.ok(err)
	w.Passports, err = Open(Options{DB: d, Objects: objects, Log: w.log, Keys: keys, Now: now, BaseURL: "https://caos.test/", Origin: "caos.test/log"})
	w.ok(err)
	t.Cleanup(func() {
		if err := errors.Join(objects.Close(), w.log.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(fn func(tx *db.Tx) error) error { return w.db.Update(context.Background(), fn) }

func draft(e Event) Draft {
	digest := digestOf([]byte("x"))
	return Draft{
		ModelID: model, Version: version, Event: e, Project: "P1", Classification: "Internal", IssuedBy: "cora",
		Model:     ModelFacts{Name: "Flight control", Family: "MLP", SafetyLevel: "DAL-C", Owner: "olga", State: "FROZEN"},
		Baseline:  BaselineFacts{BaselineID: "BL-FCS-2.1.0", FreezeID: "FREEZE-NN-FCS-001-2.1.0", RootDigest: digest, Files: 1, Bytes: 17, FrozenAt: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)},
		Files:     []FileFacts{{Path: "secret-name.onnx", Role: "inference", Digest: digest, Size: 17}},
		Documents: []DocumentFacts{{DocumentID: "95-00-07-01-001", Version: "1.0", Kind: "vv-report", Status: "APPROVED", Digest: digest}},
		Artifacts: []ArtifactHash{{URI: "object://" + digest, Digest: digest, Size: 17}},
		Metadata:  json.RawMessage(`{"note":"said by the caller"}`),
	}
}

func (w *world) issue(e Event, change func(d *Draft)) (*Passport, error) {
	d := draft(e)
	if change != nil {
		change(&d)
	}
	return w.Issue(context.Background(), d, By{Actor: "cora", RecordedBy: "svc"})
}

func (w *world) issued(e Event) *Passport {
	w.t.Helper()
	row, err := w.issue(e, nil)
	w.ok(err)
	return row
}

func run(t *testing.T, fn func(t *testing.T, w *world)) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d)) })
}

func TestIssue(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		row := w.issued(Freeze)
		if row.PassportID != "DPP-NN-FCS-001-2.1.0-FREEZE" || row.URI != "ipfs://"+row.CID || row.Page != "https://caos.test/dpp/DPP-NN-FCS-001-2.1.0-FREEZE" || row.ChainTxID != nil || row.ChainReason == "" {
			t.Errorf("%+v", row)
		}
		same, err := w.Get(ctx, row.PassportID)
		w.ok(err)
		if *same != *row {
			t.Errorf("stored %+v\nmade   %+v", same, row)
		}
		raw, err := w.Credential(row)
		w.ok(err)
		annex, err := w.Annex(row)
		w.ok(err)
		trust, err := w.log.Trust(ctx)
		w.ok(err)
		c, err := verify.CheckCredential(raw, trust)
		w.ok(err)
		if c.CID != row.CID || c.Digest != row.Digest || c.KeyID != row.KeyID || c.Issuer != row.Issuer || c.ID != row.Page || !c.ValidFrom.Equal(row.IssuedAt) ||
			c.Subject.LifecycleEvent != "FREEZE" || c.Subject.LogOrigin != "caos.test/log" {
			t.Errorf("%+v", c)
		}
		w.ok(c.CheckAnnex(annex))
		if canonical, err := codec.Canonical(json.RawMessage(raw)); err != nil || !bytes.Equal(canonical, raw) {
			t.Error("what is stored is not the canonical form")
		}
		if verify.CID(sha256.Sum256(raw)) != row.CID {
			t.Error("the content identifier is not that of the stored bytes")
		}
		// What is for those alone who may read the annex is in no byte of the credential.
		for _, secret := range []string{"cora", "olga", "secret-name", "95-00-07", "said by", "Flight control", "object://"} {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("the credential says %q", secret)
			}
			if !bytes.Contains(annex, []byte(secret)) {
				t.Errorf("the annex does not say %q", secret)
			}
		}
		w.recorded(row)
	})
}

// recorded checks that the audit record states the digests.
func (w *world) recorded(row *Passport) {
	w.t.Helper()
	s, err := w.log.Get(context.Background(), row.RecordID)
	w.ok(err)
	for _, want := range []string{row.Digest, row.AnnexDigest, row.CID, row.PassportID, row.BaselineID, `"actor":"cora"`, `"recorded_by":"svc"`} {
		if !bytes.Contains(s.Record, []byte(want)) {
			w.t.Errorf("the record %s lacks %s", s.Record, want)
		}
	}
}

// The same draft gives the same bytes: a step that is repeated after a crash makes no
// second passport.
func TestSignTwice(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	d := draft(Freeze)
	d.Claim, d.Salt = Claim{PassportID: "DPP-NN-FCS-001-2.1.0-FREEZE", Occurrence: 1, At: time.UnixMicro(w.now.Load())}, NewSalt()
	first, err := w.Sign(t.Context(), d)
	w.ok(err)
	second, err := w.Sign(t.Context(), d)
	w.ok(err)
	if !bytes.Equal(first.Credential, second.Credential) || !bytes.Equal(first.Annex, second.Annex) {
		t.Error("signing twice gave other bytes")
	}
	d.Salt = NewSalt()
	third, err := w.Sign(t.Context(), d)
	w.ok(err)
	if third.AnnexHash == first.AnnexHash {
		t.Error("the annex's digest does not depend on its salt")
	}
}

func TestIdentifiers(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.issued(Freeze)
		if _, err := w.issue(Freeze, nil); caos.KindOf(err) != caos.Conflict || !strings.Contains(err.Error(), "DPP-NN-FCS-001-2.1.0-FREEZE") {
			t.Errorf("a second freeze: %v", err)
		}
		if row, err := w.issue(Freeze, func(d *Draft) { d.Version = "2.2.0" }); err != nil || row.PassportID != "DPP-NN-FCS-001-2.2.0-FREEZE" {
			t.Errorf("%v %v", row, err)
		}
		for range 3 {
			w.issued(Deployment)
		}
		w.issued(Rollback)
		w.issued(Retirement)
		if _, err := w.issue(Retirement, nil); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a second retirement: %v", err)
		}
		list, next, err := w.ByModel(t.Context(), model, "")
		w.ok(err)
		var ids []string
		for _, p := range list {
			ids = append(ids, strings.TrimPrefix(p.PassportID, "DPP-NN-FCS-001-"))
		}
		want := []string{"2.1.0-RETIREMENT", "2.1.0-ROLLBACK", "2.1.0-DEPLOYMENT-3", "2.1.0-DEPLOYMENT-2", "2.1.0-DEPLOYMENT", "2.2.0-FREEZE", "2.1.0-FREEZE"}
		if next != "" || !slices.Equal(ids, want) {
			t.Errorf("%v", ids)
		}
		latest, _, err := w.List(t.Context(), Filter{ModelID: model, Version: version, Event: Deployment, Latest: true}, "")
		if err != nil || len(latest) != 1 || latest[0].Occurrence != 3 {
			t.Errorf("the index: %+v %v", latest, err)
		}
		var page []string
		for cursor := ""; ; {
			list, next, err := w.List(t.Context(), Filter{Project: "P1", Limit: 2}, cursor)
			w.ok(err)
			for _, p := range list {
				page = append(page, strings.TrimPrefix(p.PassportID, "DPP-NN-FCS-001-"))
			}
			if cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(page, want) {
			t.Errorf("by pages: %v", page)
		}
	})
}

// Two at once: each has an identifier of its own where the event recurs, and one wins where
// it does not. Mutation that makes this fail: Claim that does not look at who claimed.
func TestTwoAtOnce(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for e, want := range map[Event]int{Freeze: 1, Deployment: 4} {
			var wg sync.WaitGroup
			var made atomic.Int64
			for range 4 {
				wg.Go(func() {
					switch _, err := w.issue(e, nil); caos.KindOf(err) {
					case "":
						made.Add(1)
					case caos.Conflict:
					default:
						t.Errorf("%s: %v", e, err)
					}
				})
			}
			wg.Wait()
			if int(made.Load()) != want {
				t.Errorf("%s: %d passports, want %d", e, made.Load(), want)
			}
			for n := 1; n <= want; n++ {
				if _, err := w.Get(t.Context(), ID(model, version, e, int64(n))); err != nil {
					t.Errorf("%s %d: %v", e, n, err)
				}
			}
		}
	})
}

// A passport that cannot be made leaves nothing, and its identifier can be had again.
func TestNothingHalfMade(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for name, change := range map[string]func(d *Draft){
			"no artifacts": func(d *Draft) { d.Artifacts = nil },
			"no baseline":  func(d *Draft) { d.Baseline = BaselineFacts{} },
			"odd digest":   func(d *Draft) { d.Baseline.RootDigest = "SHA256:00" },
			"odd metadata": func(d *Draft) { d.Metadata = json.RawMessage(`{"n":9007199254740993}`) },
			"long annex":   func(d *Draft) { d.Model.Description = strings.Repeat("x", maxAnnex) },
			"no event":     func(d *Draft) { d.Event = "RECALL" },
			"odd model":    func(d *Draft) { d.ModelID = "FCS" },
			"odd version":  func(d *Draft) { d.Version = "2.1.0+build" },
		} {
			if _, err := w.issue(Freeze, change); err == nil || caos.AsError(err).Field == "" && name != "odd metadata" {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, table := range []string{"passports", "passport_claims", "passport_index", "passport_history", "object_refs"} {
			var n int
			w.ok(w.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n))
			if n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		w.issued(Freeze)
	})
}

func TestClaims(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		claim := func(by string) (c *Claim, err error) {
			err = w.update(func(tx *db.Tx) error {
				c, err = w.Claim(tx, ClaimRequest{ModelID: model, Version: version, Event: Freeze, ClaimedBy: by})
				return err
			})
			return c, err
		}
		first, err := claim("EXEC-1")
		w.ok(err)
		again, err := claim("EXEC-1")
		if err != nil || *again != *first {
			t.Errorf("the same execution: %+v %v", again, err)
		}
		if _, err := claim("EXEC-2"); caos.KindOf(err) != caos.Conflict || !strings.Contains(err.Error(), "EXEC-1") {
			t.Errorf("another one: %v", err)
		}
		w.ok(w.update(func(tx *db.Tx) error { return w.Release(tx, first.PassportID, "EXEC-2") })) // not its own: no effect
		if _, err := claim("EXEC-2"); caos.KindOf(err) != caos.Conflict {
			t.Errorf("released by another: %v", err)
		}
		w.ok(w.update(func(tx *db.Tx) error { return w.Release(tx, first.PassportID, "EXEC-1") }))
		if c, err := claim("EXEC-2"); err != nil || c.Occurrence != 1 {
			t.Errorf("after the release: %+v %v", c, err)
		}
		over := false
		take := func(by string) (c *Claim, err error) {
			err = w.update(func(tx *db.Tx) error {
				c, err = w.Claim(tx, ClaimRequest{ModelID: model, Version: version, Event: Freeze, ClaimedBy: by,
					Ended: func(_ *db.Tx, x string) (bool, error) { return over && x == "EXEC-2", nil }})
				return err
			})
			return c, err
		}
		if _, err := take("EXEC-3"); caos.KindOf(err) != caos.Conflict {
			t.Errorf("from an execution that runs: %v", err)
		}
		over = true
		if c, err := take("cora"); err != nil || c.PassportID != first.PassportID {
			t.Errorf("from an execution that ended: %+v %v", c, err)
		}
		if _, err := take("EXEC-3"); caos.KindOf(err) != caos.Conflict {
			t.Errorf("from a person who is at it: %v", err)
		}
		w.now.Add((claimLife + time.Minute).Microseconds())
		if c, err := take("EXEC-3"); err != nil || c.PassportID != first.PassportID {
			t.Errorf("from a person who gave up: %+v %v", c, err)
		}
	})
}

func TestLinkEvidence(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		link := func(id string) (linked bool) {
			w.ok(w.update(func(tx *db.Tx) (err error) {
				linked, err = w.LinkEvidence(tx, model, EvidenceRef{ID: id}, By{Actor: "vera", Execution: "EXEC-9"})
				return err
			}))
			return linked
		}
		if link("EVID-FCS-1") {
			t.Error("linked to a passport that is not there")
		}
		w.issued(Freeze)
		later := w.issued(Certification)
		w.ok(w.update(func(tx *db.Tx) error { // evidence of another project is told what it would be told of no passport
			linked, err := w.LinkEvidence(tx, model, EvidenceRef{ID: "EVID-FCS-9", Project: "elsewhere"}, By{Actor: "eve"})
			if linked {
				t.Error("evidence of another project was linked")
			}
			return err
		}))
		if !link("EVID-FCS-1") || !link("EVID-FCS-2") || !link("EVID-FCS-1") {
			t.Error("not linked")
		}
		list, _, err := w.History(t.Context(), later.PassportID, 0, "")
		if err != nil || len(list) != 3 || list[0].Subject != "EVID-FCS-2" || list[0].Kind != KindEvidence || list[2].Kind != KindIssued || list[0].Actor != "vera" || list[0].ExecutionID != "EXEC-9" {
			t.Errorf("%+v %v", list, err)
		}
		one, next, err := w.History(t.Context(), later.PassportID, 2, "")
		if err != nil || len(one) != 2 || next == "" {
			t.Fatalf("%+v %q %v", one, next, err)
		}
		rest, next, err := w.History(t.Context(), later.PassportID, 2, next)
		if err != nil || len(rest) != 1 || next != "" || rest[0].Kind != KindIssued {
			t.Errorf("%+v %q %v", rest, next, err)
		}
		if n, err := w.Linked(t.Context(), later.PassportID); err != nil || n != 2 {
			t.Errorf("%d linked, %v", n, err)
		}
		page, err := w.log.List(t.Context(), auditlog.Filter{Resource: later.PassportID}, "")
		if err != nil || len(page.Records) != 4 { // issued twice, the public record among them, and two items
			t.Errorf("%d records, %v", len(page.Records), err)
		}
		w.ok(w.update(func(tx *db.Tx) error {
			there, err := w.Exists(tx, model)
			if other, err2 := w.Exists(tx, "NN-ENG-001"); err2 != nil || other || !there {
				return fmt.Errorf("exists %v, another %v, %w", there, other, err2)
			}
			return err
		}))
	})
}

// Text that is no identifier is answered and not asked for: PostgreSQL refuses some of it.
func TestHostileText(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		w.issued(Freeze)
		for _, bad := range []string{"\x00", "DPP-\x00", "\xff", "' OR 1=1 --", strings.Repeat("A", 10_000), "../x", "é"} {
			if _, err := w.Get(t.Context(), bad); caos.KindOf(err) != caos.NotFound {
				t.Errorf("get %q: %v", bad, err)
			}
			if _, err := w.ByCID(t.Context(), bad); caos.KindOf(err) != caos.NotFound {
				t.Errorf("cid %q: %v", bad, err)
			}
			if _, _, err := w.History(t.Context(), bad, 0, ""); caos.KindOf(err) != caos.NotFound {
				t.Errorf("history %q: %v", bad, err)
			}
			for _, f := range []Filter{{ModelID: bad}, {Version: bad}, {Event: Event(bad)}} {
				if _, _, err := w.List(t.Context(), f, ""); caos.KindOf(err) != caos.Invalid {
					t.Errorf("list %q: %v", bad, err)
				}
			}
			if _, _, err := w.List(t.Context(), Filter{Project: bad}, ""); caos.KindOf(err) != caos.Invalid && err != nil {
				t.Errorf("project %q: %v", bad, err)
			}
			if _, _, err := w.ByModel(t.Context(), model, bad); caos.KindOf(err) != caos.Invalid {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"empty": {`{}`, true}, "some": {`{"a":[1,{"b":"é"}],"c":null}`, true},
		"a list": {`[]`, false}, "a text": {`"x"`, false}, "null": {`null`, false}, "nothing": {``, false},
		"deep":          {strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9), false},
		"just so deep":  {strings.Repeat(`{"a":`, 8) + "1" + strings.Repeat("}", 8), true},
		"huge":          {`{"a":"` + strings.Repeat("x", MaxMetadata) + `"}`, false},
		"many values":   {`{"a":[` + strings.Repeat("1,", maxMetadataNodes) + `1]}`, false},
		"key twice":     {`{"a":1,"a":2}`, false},
		"huge integer":  {`{"a":9007199254740993}`, false},
		"not UTF-8":     {"{\"a\":\"\xff\"}", false},
		"two documents": {`{} {}`, false},
	} {
		out, err := CheckMetadata([]byte(c.text))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.HasPrefix(caos.AsError(err).Field, "metadata") {
			t.Errorf("%s: field %q", name, caos.AsError(err).Field)
		}
		if again, err := CheckMetadata(out); c.ok && (err != nil || !bytes.Equal(again, out)) {
			t.Errorf("%s: %s is not canonical", name, out)
		}
	}
}

// The contexts define every word that a passport uses, so that a JSON-LD processor drops
// none of it.
func TestContexts(t *testing.T) {
	terms := map[string]bool{}
	for name, text := range Contexts() {
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		eachKey(v, terms)
	}
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	raw, err := w.Credential(w.issued(Freeze))
	w.ok(err)
	var doc map[string]any
	w.ok(json.Unmarshal(raw, &doc))
	used := map[string]bool{}
	eachKey(doc, used)
	for _, list := range []any{doc["type"], []any{doc["credentialSubject"].(map[string]any)["type"]}} {
		for _, one := range list.([]any) {
			used[one.(string)] = true
		}
	}
	for key := range used {
		if !terms[key] && !strings.HasPrefix(key, "@") {
			t.Errorf("no context defines %q", key)
		}
	}
	// The W3C's own context is served byte for byte: its digest stands in the recommendation
	// (Verifiable Credentials Data Model v2.0, appendix B.1), and processors compare.
	if got := digestOf(Contexts()["credentials-v2"]); got != "SHA256:59955ced6697d61e03f2b2556febe5308ab16842846f5b586d7f1f7adec92734" {
		t.Errorf("the context of the W3C has the digest %s", got)
	}
	if got := ContextNames(); !slices.Equal(got, []string{"credentials-v2", "passport-v1", "passport-v2"}) {
		t.Errorf("%v", got)
	}
}

func eachKey(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			into[k] = true
			eachKey(child, into)
		}
	case []any:
		for _, child := range v {
			eachKey(child, into)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"é"}],"c":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := CheckMetadata(text)
		if err != nil {
			return
		}
		if again, err := CheckMetadata(out); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q became %q, then %q %v", text, out, again, err)
		}
	})
}
