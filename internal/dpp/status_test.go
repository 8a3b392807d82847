package dpp

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/sign"
	"caos/internal/verify"
)

// revoke revokes a passport.
func (w *world) revoke(id, reason string) (row *Passport, err error) {
	err = w.update(func(tx *db.Tx) error {
		row, err = w.Revoke(tx, id, reason, By{Actor: "quinn", RecordedBy: "quinn"})
		return err
	})
	return row, err
}

// checked is a passport as a stranger sees it, with what the list says of it.
func (w *world) checked(row *Passport) (*verify.Credential, bool) {
	w.t.Helper()
	ctx := context.Background()
	raw, err := w.Credential(row)
	w.ok(err)
	trust, err := w.log.Trust(ctx)
	w.ok(err)
	c, err := verify.CheckCredential(raw, trust)
	w.ok(err)
	list, err := w.Status(ctx, row.StatusList)
	w.ok(err)
	l, err := verify.CheckStatusList(list.Credential, trust)
	w.ok(err)
	if l.ID != row.StatusURI || !l.ValidFrom.Equal(list.ValidFrom) || !l.ValidUntil.Equal(list.ValidUntil) || l.Digest != list.Digest {
		w.t.Errorf("%+v is not %+v", l, list)
	}
	revoked, err := l.Revoked(c)
	w.ok(err)
	return c, revoked
}

func TestRevoke(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		first, second := w.issued(Deployment), w.issued(Deployment)
		for _, row := range []*Passport{first, second} {
			c, revoked := w.checked(row)
			if revoked || c.Status == nil || c.Status.List != row.StatusURI || row.StatusURI != "https://caos.test/dpp/status/1" {
				t.Errorf("%s: revoked %v, %+v", row.PassportID, revoked, c.Status)
			}
		}
		if first.StatusIndex == second.StatusIndex {
			t.Error("two passports have one place")
		}
		before, err := w.Status(ctx, 1)
		w.ok(err)
		again, err := w.Status(ctx, 1)
		w.ok(err)
		if before != again {
			t.Error("a list that did not change was signed again")
		}
		row, err := w.revoke(first.PassportID, " the wrong baseline ")
		w.ok(err)
		stored, err := w.Get(ctx, first.PassportID)
		w.ok(err)
		if !stored.Revoked() || !stored.RevokedAt.Equal(*row.RevokedAt) || stored.RevokedBy != "quinn" || stored.RevokeReason != "the wrong baseline" {
			t.Errorf("%+v", stored)
		}
		if _, revoked := w.checked(first); !revoked {
			t.Error("the list does not say so")
		}
		if _, revoked := w.checked(second); revoked {
			t.Error("another passport was revoked along with it")
		}
		if _, err := w.revoke(first.PassportID, "once more"); caos.KindOf(err) != caos.Conflict || caos.AsError(err).Rule != "passport-revoked" {
			t.Errorf("a second time: %v", err)
		}
		entries, _, err := w.History(ctx, first.PassportID, 0, "")
		if err != nil || len(entries) != 2 || entries[0].Kind != KindRevoked || entries[0].Actor != "quinn" {
			t.Errorf("%+v %v", entries, err)
		}
		s, err := w.log.Get(ctx, entries[0].Subject)
		w.ok(err)
		for _, want := range []string{`"passport revoked"`, first.Digest, "the wrong baseline", `"actor":"quinn"`} {
			if !strings.Contains(string(s.Record), want) {
				t.Errorf("the record %s lacks %s", s.Record, want)
			}
		}
	})
}

func TestRevokeRefusals(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		row := w.issued(Freeze)
		for name, x := range map[string]struct {
			id, reason string
			kind       caos.Kind
			field      string
		}{
			"no reason":    {row.PassportID, "  ", caos.Invalid, "reason"},
			"a long one":   {row.PassportID, strings.Repeat("é", maxReason+1), caos.Invalid, "reason"},
			"a zero byte":  {row.PassportID, "a\x00b", caos.Invalid, "reason"},
			"no passport":  {"DPP-NN-FCS-001-9.9.9-FREEZE", "x", caos.NotFound, "passport_id"},
			"hostile text": {"' OR 1=1 --", "x", caos.NotFound, "passport_id"},
		} {
			if _, err := w.revoke(x.id, x.reason); caos.KindOf(err) != x.kind || caos.AsError(err).Field != x.field {
				t.Errorf("%s: %v", name, err)
			}
		}
		if stored, err := w.Get(t.Context(), row.PassportID); err != nil || stored.Revoked() {
			t.Errorf("%+v %v", stored, err)
		}
		if _, err := w.revoke(row.PassportID, strings.Repeat("é", maxReason)); err != nil {
			t.Error(err)
		}
		for _, list := range []int64{0, -1, 2, 1 << 60} {
			if _, err := w.Status(t.Context(), list); caos.KindOf(err) != caos.NotFound {
				t.Errorf("list %d: %v", list, err)
			}
		}
	})
}

// A transaction that is undone revokes nothing, and leaves no list that says otherwise.
func TestRevokeUndone(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		row := w.issued(Freeze)
		w.checked(row)
		undone := errors.New("undone")
		err := w.update(func(tx *db.Tx) error {
			if _, err := w.Revoke(tx, row.PassportID, "x", By{Actor: "quinn"}); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if _, revoked := w.checked(row); revoked {
			t.Error("revoked by a transaction that was undone")
		}
	})
}

// A list is signed anew as time goes by, long before it says of itself that it is old, and
// when the key changed.
func TestStatusAges(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	ctx := t.Context()
	row := w.issued(Freeze)
	before, err := w.Status(ctx, 1)
	w.ok(err)
	for range 30 {
		w.now.Add(time.Hour.Microseconds())
		l, err := w.Status(ctx, 1)
		w.ok(err)
		now := w.Passports.now()
		if l.ValidFrom.After(now) || now.Sub(l.ValidFrom) > statusStep || l.ValidUntil.Sub(now) < statusLife-statusStep {
			t.Fatalf("at %s: from %s until %s", now, l.ValidFrom, l.ValidUntil)
		}
	}
	after, err := w.Status(ctx, 1)
	w.ok(err)
	if after.Digest == before.Digest {
		t.Error("the same list after a day")
	}
	// What another node signs at the same time is the same.
	other, err := Open(Options{DB: w.db, Objects: w.objects, Log: w.log, Keys: w.keys, Now: w.clock, BaseURL: "https://caos.test", Origin: "caos.test/log"})
	w.ok(err)
	if same, err := other.Status(ctx, 1); err != nil || same.Digest != after.Digest {
		t.Errorf("%+v %v", same, err)
	}
	if _, err := w.log.KeyRotated(ctx, sign.Passport, "root"); err != nil {
		t.Fatal(err)
	}
	rotated, err := w.Status(ctx, 1)
	w.ok(err)
	if rotated.keyID == after.keyID {
		t.Error("the list is signed by a key that was retired")
	}
	if _, revoked := w.checked(row); revoked {
		t.Error("revoked by a change of keys")
	}
}

// A revocation that began before a list was signed and was committed after it is in the next
// answer, though its time is before the list's: at a step of the clock, or because another
// node's clock is behind. Neither of two in the same microsecond is lost.
func TestStatusKnowsLateRevocations(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		rows := []*Passport{w.issued(Deployment), w.issued(Deployment), w.issued(Deployment)}
		step := w.clock().Truncate(statusStep).Add(statusStep)
		at := func(when time.Time) { w.now.Store(when.UnixMicro()) }
		for i, row := range rows {
			at(step.Add(time.Second))
			if _, revoked := w.checked(row); revoked {
				t.Fatalf("%d is revoked from the start", i)
			}
			at(step.Add(-time.Second)) // the same moment for all
			if _, err := w.revoke(row.PassportID, "late"); err != nil {
				t.Fatal(err)
			}
			at(step.Add(2 * time.Second))
			if _, revoked := w.checked(row); !revoked {
				t.Errorf("the list hides the revocation of %d", i)
			}
		}
	})
}

// A full list is followed by the next; a place is given once, also when the passport was not
// made. Mutation that makes this fail: Release that frees the place.
func TestPlaces(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		place := func(id string) (list, n int64) {
			w.ok(w.update(func(tx *db.Tx) (err error) { list, n, err = w.place(tx, id, w.Passports.now()); return err }))
			return list, n
		}
		seen := map[int64]bool{}
		for range 200 {
			list, n := place("x")
			if list != 1 || n < 0 || n >= statusBits || seen[n] {
				t.Fatalf("list %d place %d", list, n)
			}
			seen[n] = true
		}
		w.ok(w.update(func(tx *db.Tx) error {
			tx.Exec(`UPDATE passport_status_lists SET taken = $1 WHERE list = 1`, statusFull-1)
			return tx.Err()
		}))
		if list, _ := place("the last"); list != 1 {
			t.Errorf("list %d", list)
		}
		if list, _ := place("the first"); list != 2 {
			t.Errorf("list %d", list)
		}
		var c *Claim
		w.ok(w.update(func(tx *db.Tx) (err error) {
			c, err = w.Claim(tx, ClaimRequest{ModelID: model, Version: version, Event: Freeze, ClaimedBy: "EXEC-1"})
			return err
		}))
		w.ok(w.update(func(tx *db.Tx) error { return w.Release(tx, c.PassportID, "EXEC-1") }))
		row := w.issued(Freeze)
		if row.StatusList == c.StatusList && row.StatusIndex == c.StatusIndex {
			t.Error("a place was given twice")
		}
	})
}

// A passport that was claimed before there were lists is made without one, and can be revoked
// all the same: then the installation alone says so.
func TestWithoutList(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		d := draft(Freeze)
		w.ok(w.update(func(tx *db.Tx) error {
			c, err := w.Claim(tx, ClaimRequest{ModelID: model, Version: version, Event: Freeze, ClaimedBy: "EXEC-1"})
			if err == nil {
				d.Claim = Claim{PassportID: c.PassportID, Occurrence: c.Occurrence, At: c.At}
			}
			return err
		}))
		d.Salt = NewSalt()
		row, err := w.finish(ctx, d, By{Actor: "cora"})
		w.ok(err)
		raw, err := w.Credential(row)
		w.ok(err)
		trust, err := w.log.Trust(ctx)
		w.ok(err)
		c, err := verify.CheckCredential(raw, trust)
		w.ok(err)
		if c.Status != nil || row.StatusURI != "" || strings.Contains(string(raw), "credentialStatus") {
			t.Errorf("%+v %+v", c.Status, row)
		}
		if _, err := w.revoke(row.PassportID, "x"); err != nil {
			t.Error(err)
		}
	})
}

// heard keeps the events that were emitted.
type heard struct{ events []event.Event }

func (h *heard) Emit(_ *db.Tx, e event.Event) error { h.events = append(h.events, e); return nil }

func TestChain(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		h := &heard{}
		w.Passports.events = h
		row := w.issued(Freeze)
		hash, other := "0x"+strings.Repeat("ab", 32), "0x"+strings.Repeat("cd", 32)
		confirm := func(id, hash string, block, chain uint64) error {
			return w.update(func(tx *db.Tx) error { return w.Confirmed(tx, id, hash, block, chain) })
		}
		for name, err := range map[string]error{
			"no hash":         confirm(row.PassportID, "", 7, 1),
			"a short one":     confirm(row.PassportID, "0xab", 7, 1),
			"upper case":      confirm(row.PassportID, strings.ToUpper(hash), 7, 1),
			"block too large": confirm(row.PassportID, hash, 1<<63, 1),
		} {
			if caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := confirm("DPP-NN-FCS-001-9.9.9-FREEZE", hash, 7, 1); caos.KindOf(err) != caos.NotFound {
			t.Error(err)
		}
		w.ok(w.update(func(tx *db.Tx) error { return w.Unchained(tx, row.PassportID, "EXEC-7 is at it") }))
		if got, err := w.Get(ctx, row.PassportID); err != nil || got.ChainTxID != nil || got.ChainReason != "EXEC-7 is at it" {
			t.Errorf("%+v %v", got, err)
		}
		for range 2 { // the keeper may say it twice
			w.ok(confirm(row.PassportID, hash, 7, 1<<63+5))
		}
		w.ok(w.update(func(tx *db.Tx) error { return w.Unchained(tx, row.PassportID, "none") }))
		got, err := w.Get(ctx, row.PassportID)
		w.ok(err)
		if got.ChainTxID == nil || *got.ChainTxID != hash || got.ChainBlock != 7 || got.ChainID != "9223372036854775813" || got.ChainReason != "" {
			t.Errorf("%+v", got)
		}
		if err := confirm(row.PassportID, other, 8, 1); caos.KindOf(err) != caos.Conflict {
			t.Errorf("another transaction: %v", err)
		}
		withdraw := func(hash string) {
			w.ok(w.update(func(tx *db.Tx) error { return w.Withdrawn(tx, row.PassportID, hash, "the chain was reorganised") }))
		}
		withdraw(other)
		if got, _ := w.Get(ctx, row.PassportID); got.ChainTxID == nil {
			t.Error("another transaction's end took this one's away")
		}
		withdraw(hash)
		withdraw(hash)
		if got, _ := w.Get(ctx, row.PassportID); got.ChainTxID != nil || got.ChainBlock != 0 || got.ChainID != "" || got.ChainReason != "the chain was reorganised" {
			t.Errorf("%+v", got)
		}
		w.ok(confirm(row.PassportID, hash, 9, 1))
		entries, _, err := w.History(ctx, row.PassportID, 0, "")
		w.ok(err)
		kinds := map[string]int{}
		for _, e := range entries {
			kinds[e.Kind]++
		}
		if kinds[KindChain] != 1 || kinds[KindWithdrawn] != 1 || kinds[KindIssued] != 1 {
			t.Errorf("%v", kinds)
		}
		page, err := w.log.List(ctx, auditlog.Filter{Resource: row.PassportID}, "")
		if err != nil || len(page.Records) != 5 { // issued, public, confirmed, withdrawn, confirmed
			t.Errorf("%d records, %v", len(page.Records), err)
		}
		types := []string{}
		for _, e := range h.events {
			types = append(types, e.Type)
		}
		if strings.Join(types, " ") != "caos.passport.issued caos.passport.chained caos.passport.chained" {
			t.Errorf("%v", types)
		}
	})
}

// What CAOS enters by itself is in the history of the version's other passports.
func TestEntered(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		freeze := w.issued(Freeze)
		other, err := w.issue(Freeze, func(d *Draft) { d.Version = "2.2.0" })
		w.ok(err)
		back := w.issued(Rollback)
		end := w.issued(Retirement)
		lines := func(id string) string {
			list, _, err := w.History(ctx, id, 0, "")
			w.ok(err)
			out := []string{}
			for _, e := range list {
				out = append(out, e.Kind+" "+e.Subject)
			}
			return strings.Join(out, "\n")
		}
		want := "RETIREMENT " + end.PassportID + "\nROLLBACK " + back.PassportID + "\nISSUED " + freeze.PassportID
		if got := lines(freeze.PassportID); got != want {
			t.Errorf("%s", got)
		}
		if got := lines(back.PassportID); got != "RETIREMENT "+end.PassportID+"\nISSUED "+back.PassportID {
			t.Errorf("%s", got)
		}
		if got := lines(other.PassportID); got != "ISSUED "+other.PassportID {
			t.Errorf("%s", got)
		}
		for range 2 {
			w.ok(w.update(func(tx *db.Tx) error {
				return w.Enter(tx, model, "2.2.0", Entry{Kind: KindRollback, Subject: "EXEC-9", Actor: "ira", ExecutionID: "EXEC-9"})
			}))
		}
		if got := lines(other.PassportID); got != "ROLLBACK EXEC-9\nISSUED "+other.PassportID {
			t.Errorf("%s", got)
		}
		err = w.update(func(tx *db.Tx) error { return w.Enter(tx, model, version, Entry{Kind: KindRevoked, Subject: "x"}) })
		if caos.KindOf(err) != caos.Invalid {
			t.Errorf("%v", err)
		}
	})
}

// The public record has nothing that not everybody may know, and proves the passport.
func TestProof(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		row := w.issued(Freeze)
		for range 5 {
			w.issued(Deployment)
		}
		p, err := w.Proof(ctx, row)
		w.ok(err)
		for _, secret := range []string{"cora", "olga", "svc", "P1", "EXEC", "BL-FCS"} {
			if strings.Contains(p.Record, secret) {
				t.Errorf("the public record says %s: %s", secret, p.Record)
			}
		}
		text, err := json.Marshal(p)
		w.ok(err)
		raw, err := w.Credential(row)
		w.ok(err)
		trust, err := w.log.Trust(ctx)
		w.ok(err)
		l, err := verify.CheckLoggedPassport(raw, text, trust)
		w.ok(err)
		if l.Digest != row.Digest || l.Leaf.ID != row.PublicRecordID || l.Checkpoint.Size <= l.Index {
			t.Errorf("%+v", l)
		}
		// One passport's proof is no other's.
		next, err := w.Get(ctx, ID(model, version, Deployment, 2))
		w.ok(err)
		other, err := w.Credential(next)
		w.ok(err)
		if _, err := verify.CheckLoggedPassport(other, text, trust); err == nil {
			t.Error("the proof of another passport passes")
		}
		// A classified passport's record keeps its need-to-know.
		closed, err := w.issue(Certification, func(d *Draft) { d.Classification = "Restricted" })
		w.ok(err)
		if p, err = w.Proof(ctx, closed); err != nil || !strings.Contains(p.Record, `"classification":"Restricted"`) || !strings.Contains(p.Record, `"project":"P1"`) {
			t.Errorf("%+v %v", p, err)
		}
	})
}

// Passports from before there were public records get theirs, once.
func TestPublishMissing(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		rows := []*Passport{}
		for range 3 {
			rows = append(rows, w.issued(Deployment))
		}
		w.ok(w.db.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE passports SET public_record_id = '' WHERE n < 3`)
			return tx.Err()
		}))
		old, err := w.Get(ctx, rows[0].PassportID)
		w.ok(err)
		if _, err := w.Proof(ctx, old); caos.KindOf(err) != caos.NotFound {
			t.Errorf("%v", err)
		}
		if n, err := w.PublishMissing(ctx); n != 2 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		if n, err := w.PublishMissing(ctx); n != 0 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		if old, err = w.Get(ctx, old.PassportID); err != nil || old.PublicRecordID == "" || old.PublicRecordID == rows[0].PublicRecordID {
			t.Errorf("%+v %v", old, err)
		}
		if _, err := w.Proof(ctx, old); err != nil {
			t.Error(err)
		}
	})
}

// others is what the rest of an installation would know.
type others struct{ fail error }

func (o others) Report(context.Context, string) (string, error) { return "/v1/documents/D1", o.fail }
func (o others) Deployments(context.Context, string, string) ([]string, error) {
	return []string{"/v1/deployments/X"}, o.fail
}
func (o others) Lineage(context.Context, string, string, string) (string, error) {
	return "/v1/lineage?id=x", o.fail
}
func (o others) Transaction(_ context.Context, _, hash string) (string, error) {
	if hash == "" {
		return "", o.fail
	}
	return "/v1/transactions/" + hash, o.fail
}

func TestLinks(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		row := w.issued(Freeze)
		w.ok(w.update(func(tx *db.Tx) error {
			for _, id := range []string{"EVID-FCS-1", "EVID-FCS-2"} {
				if _, err := w.LinkEvidence(tx, model, EvidenceRef{ID: id}, By{Actor: "vera"}); err != nil {
					return err
				}
			}
			return nil
		}))
		links := func(seen func(string) (bool, error)) string {
			l, err := w.Links(ctx, row.PassportID, seen)
			w.ok(err)
			b, err := json.Marshal(l)
			w.ok(err)
			return string(b)
		}
		alone := `{"passport_id":"DPP-NN-FCS-001-2.1.0-FREEZE","credential":"https://caos.test/dpp/DPP-NN-FCS-001-2.1.0-FREEZE/credential",` +
			`"annex":"https://caos.test/v1/passports/DPP-NN-FCS-001-2.1.0-FREEZE/annex","status":"https://caos.test/dpp/status/1",` +
			`"baseline_manifest":"https://caos.test/v1/baselines/BL-FCS-2.1.0/bundle","evidence":["https://caos.test/v1/evidence/EVID-FCS-2"],"deployments":[],` +
			`"vv_report":null,"lineage":null,"log_proof":"https://caos.test/dpp/DPP-NN-FCS-001-2.1.0-FREEZE/proof","chain_transaction":null,"ipfs":null}`
		if got := links(func(id string) (bool, error) { return id == "EVID-FCS-2", nil }); got != alone {
			t.Errorf("%s", got)
		}
		w.Passports.related = others{}
		hash := "0x" + strings.Repeat("ab", 32)
		w.ok(w.update(func(tx *db.Tx) error { return w.Confirmed(tx, row.PassportID, hash, 7, 1) }))
		got := links(nil)
		for _, want := range []string{`"vv_report":"https://caos.test/v1/documents/D1"`, `"deployments":["https://caos.test/v1/deployments/X"]`, `"lineage":"https://caos.test/v1/lineage?id=x"`,
			`"chain_transaction":"https://caos.test/v1/transactions/` + hash, "EVID-FCS-1"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %s", got, want)
			}
		}
		w.Passports.related = others{fail: caos.Errorf(caos.NotFound, "gone")}
		links(nil)
		w.Passports.related = others{fail: caos.Errorf(caos.Unavailable, "down")}
		if _, err := w.Links(ctx, row.PassportID, nil); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("%v", err)
		}
		if _, err := w.Links(ctx, "DPP-X", nil); caos.KindOf(err) != caos.NotFound {
			t.Errorf("%v", err)
		}
	})
}
