package chain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

func passport(n int) Subject {
	return Subject{Kind: KindPassport, ID: fmt.Sprint("DPP-", n), ModelID: "NN-FCS-001", Version: "2.1.0", ContentHash: "SHA256:" + strings.TrimPrefix(contentOf(n).Hex(), "0x"),
		Project: "P1", Classification: "Public"}
}

// What is wanted is started once, although the starter dies or fails in between, and is
// settled by its transaction.
func TestSubjects(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		var s *ship
		fail := errors.New("no hook")
		keys := map[string]int{}
		s = p.sail(nil, confirmations(1), func(o *Options) {
			o.Start = func(_ context.Context, w Subject) (string, error) {
				keys[w.Key()]++
				if fail != nil {
					return "", fail
				}
				return "EXEC-" + strings.TrimPrefix(w.ID, "DPP-"), nil
			}
		})
		for range 2 { // the second changes nothing
			s.change(func(tx *db.Tx) error { return s.Want(tx, passport(1)) })
			p.later(time.Hour)
		}
		w, err := s.SubjectOf(ctx, KindPassport, "DPP-1")
		ok(t, err)
		if w.State != Wanted || w.Timestamp == 0 || time.Since(w.WantedAt) > time.Minute || w.Key() != "chain/passport/DPP-1" {
			t.Errorf("%+v", w)
		}
		at := w.Timestamp
		_, err = s.startNext(ctx)
		ok(t, err)
		if w, _ = s.SubjectOf(ctx, KindPassport, "DPP-1"); w.State != Wanted || w.Reason == "" {
			t.Errorf("%+v", w)
		}
		if more, err := s.startNext(ctx); more || err != nil {
			t.Errorf("tried again at once: %v", err)
		}
		fail = nil
		p.later(time.Hour)
		_, err = s.startNext(ctx)
		ok(t, err)
		if w, _ = s.SubjectOf(ctx, KindPassport, "DPP-1"); w.State != Started || w.ExecutionID != "EXEC-1" || w.Timestamp != at || w.Reason != "" {
			t.Errorf("%+v", w)
		}
		x := s.send(1)
		p.dev.Mine(1)
		s.look(1)
		s.is(x.TransactionID, Confirmed)
		w, err = s.SubjectOf(ctx, KindPassport, "DPP-1")
		ok(t, err)
		if w.State != SubjectConfirmed || w.Hash != x.Hash || w.BlockNumber == nil || w.TransactionID != x.TransactionID {
			t.Errorf("%+v", w)
		}
		if keys["chain/passport/DPP-1"] != 2 {
			t.Errorf("%v", keys)
		}
		// A reorganisation takes it back: nothing is confirmed that is not.
		p.dev.Reorg(1)
		s.look(1)
		if w, _ = s.SubjectOf(ctx, KindPassport, "DPP-1"); w.State != Started || w.BlockNumber != nil {
			t.Errorf("%+v", w)
		}
		p.dev.Mine(1)
		s.look(1)
		if w, _ = s.SubjectOf(ctx, KindPassport, "DPP-1"); w.State != SubjectConfirmed {
			t.Errorf("%+v", w)
		}
		many, err := s.SubjectsOf(ctx, KindPassport, []string{"DPP-1", "DPP-2", "\x00"})
		ok(t, err)
		list, _, err := s.Subjects(ctx, SubjectFilter{Kind: KindPassport, State: SubjectConfirmed}, "")
		ok(t, err)
		if len(many) != 1 || len(list) != 1 {
			t.Errorf("%v %v", many, list)
		}
		status, err := s.Status(ctx)
		ok(t, err)
		if status.Subjects[SubjectConfirmed] != 1 || status.Transactions[Confirmed] != 1 || len(status.Accounts) != 2 || status.Accounts[0].Balance == "" || status.Accounts[0].Lease == "" ||
			len(status.Endpoints) != 1 || status.Head == 0 {
			t.Errorf("%+v", status)
		}
	})
}

// An execution that ends without sending anything fails its subject, which may be wanted
// again under another key.
func TestSubjectLeftBehind(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil, func(o *Options) { o.Ended = func(*db.Tx, string) (bool, error) { return true, nil } })
		s.change(func(tx *db.Tx) error {
			return errors.Join(s.Want(tx, passport(1)), s.Link(tx, KindPassport, "DPP-1", "EXEC-9"))
		})
		if err := s.d.Update(ctx, func(tx *db.Tx) error {
			_, err := s.Again(tx, KindPassport, "DPP-1", By{Actor: "mia"})
			return err
		}); caos.KindOf(err) != caos.Conflict {
			t.Error(err)
		}
		p.later(2 * time.Minute)
		ok(t, s.endStarted(ctx))
		w, err := s.SubjectOf(ctx, KindPassport, "DPP-1")
		ok(t, err)
		if w.State != SubjectFailed || w.Reason == "" || s.alerts("subject_not_recorded") != 1 {
			t.Errorf("%+v", w)
		}
		s.change(func(tx *db.Tx) error {
			w, err = s.Again(tx, KindPassport, "DPP-1", By{Actor: "mia"})
			return err
		})
		if w.State != Wanted || w.Key() != "chain/passport/DPP-1/2" || w.ExecutionID != "" {
			t.Errorf("%+v", w)
		}
		if err := s.d.Update(ctx, func(tx *db.Tx) error { return s.Want(tx, Subject{Kind: "x", ID: "1", ContentHash: "SHA256:00"}) }); err == nil {
			t.Error("anything can be wanted")
		}
	})
}
