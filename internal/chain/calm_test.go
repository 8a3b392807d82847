package chain

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// open counts the alerts of a metric that are not closed.
func (s *ship) open(metric string) (n int) {
	s.t.Helper()
	ok(s.t, s.d.QueryRow(context.Background(), `SELECT COUNT(*) FROM alerts WHERE metric_name = $1 AND state <> 'CLOSED'`, metric).Scan(&n))
	return n
}

// waits is why a transaction does not go on.
func (s *ship) waits(id string) string {
	s.t.Helper()
	words, err := s.Waits(context.Background(), s.get(id))
	ok(s.t, err)
	return words
}

// The alert that something cannot be recorded is closed when nothing is left that cannot.
func TestAlertOfSubjectsEnds(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		refused := map[string]bool{"DPP-1": true, "DPP-2": true}
		s := p.sail(nil, confirmations(1), func(o *Options) {
			o.Start = func(_ context.Context, w Subject) (string, error) {
				if refused[w.ID] {
					return "", caos.Errorf(caos.NotFound, "there is no contract")
				}
				return "EXEC-" + strings.TrimPrefix(w.ID, "DPP-"), nil
			}
		})
		s.change(func(tx *db.Tx) error { return errors.Join(s.Want(tx, passport(1)), s.Want(tx, passport(2))) })
		round := func() {
			p.later(time.Hour)
			for range 2 {
				_, err := s.startNext(ctx)
				ok(t, err)
			}
		}
		for range triesAlert + 1 {
			round()
		}
		if s.open(metricNotStarted) != 1 {
			t.Fatal("nobody was told")
		}
		delete(refused, "DPP-1")
		round()
		if s.open(metricNotStarted) != 1 {
			t.Error("closed, and one of them still cannot be started")
		}
		delete(refused, "DPP-2")
		round()
		if s.open(metricNotStarted) != 0 {
			t.Error("both are started, and the alert is open")
		}
		var note, by string
		ok(t, s.d.QueryRow(ctx, `SELECT note, closed_by FROM alerts WHERE metric_name = $1`, metricNotStarted).Scan(&note, &by))
		if !strings.Contains(note, "EXEC-") || by != caos.SystemPrincipal().ID {
			t.Errorf("%q by %q", note, by)
		}
	})
}

// What failed and was recorded at the second attempt has no alert any more.
func TestAlertOfFailureEnds(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil, confirmations(1))
		s.change(func(tx *db.Tx) error {
			return errors.Join(s.Want(tx, passport(1)), s.Link(tx, KindPassport, "DPP-1", "EXEC-1"))
		})
		x := s.prepare(1)
		s.change(func(tx *db.Tx) error {
			_, err := s.GiveUp(tx, x.TransactionID, "no more", By{Actor: "mia"})
			return err
		})
		if s.open(metricNotRecorded) != 1 {
			t.Fatal("nobody was told")
		}
		s.change(func(tx *db.Tx) error {
			_, err := s.Again(tx, KindPassport, "DPP-1", By{Actor: "mia"})
			return errors.Join(err, s.Link(tx, KindPassport, "DPP-1", "EXEC-2"))
		})
		s.send(2)
		if s.open(metricNotRecorded) != 1 {
			t.Error("closed before it is recorded")
		}
		p.dev.Mine(1)
		s.look(1)
		if s.open(metricNotRecorded) != 0 {
			t.Error("it is recorded, and the alert is open")
		}
	})
}

// An alert of another process, as one that was restarted has left it, ends as well.
func TestAlertOfAnotherProcessEnds(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x := s.send(1)
		for _, a := range []alarm{{metric: metricWrongChain, subject: "chain"}, {metric: metricRefused, subject: x.TransactionID}, {metric: metricFunds, subject: x.From}, {metric: metricFeeCap, subject: x.From},
			{metric: "account_used_elsewhere", subject: x.From}} {
			a.kind, a.severity, a.message = "CHAIN", high, "it was wrong"
			s.change(func(tx *db.Tx) error { return s.alarm(tx, a) })
		}
		p.dev.Mine(4)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		p.later(2 * alertAgain) // this one looked when there was none
		s.look(2)
		for _, metric := range []string{metricWrongChain, metricRefused, metricFunds, metricFeeCap} {
			if s.open(metric) != 0 {
				t.Errorf("%s is open", metric)
			}
		}
		if s.open("account_used_elsewhere") != 1 {
			t.Error("what somebody did is for people to close")
		}
	})
}

// locked is a signer whose password is nowhere.
type locked struct{ ethereum.Signer }

func (locked) Ready(context.Context) error {
	return caos.Errorf(caos.Unavailable, "the account recorder cannot sign: it has no password")
}

// The status says at once that an account cannot sign, and a transaction why it waits.
func TestWaits(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil, func(o *Options) { o.Signers["recorder"] = locked{o.Signers["recorder"]} })
		status, err := s.Status(ctx)
		ok(t, err)
		if a := status.Accounts[0]; a.Name != "recorder" || !strings.Contains(a.Problem, "no password") || status.Accounts[1].Problem != "" {
			t.Errorf("%+v", status.Accounts)
		}
		x := s.prepare(1)
		if words := s.waits(x.TransactionID); !strings.Contains(words, "no password") {
			t.Errorf("behind a key that does not open: %q", words)
		}
		s.sink()

		s = p.sail(nil)
		if words := s.waits(x.TransactionID); words != "" {
			t.Errorf("nothing is wrong: %q", words)
		}
		x, err = s.Sign(ctx, x.TransactionID)
		ok(t, err)
		y := s.send(2)
		if words := s.waits(y.TransactionID); !strings.Contains(words, "behind "+x.TransactionID) {
			t.Errorf("behind an earlier nonce: %q", words)
		}
		if words := s.waits(x.TransactionID); words != "" {
			t.Errorf("the first one waits: %q", words)
		}
		p.proxy.Down(true)
		_ = s.k.look(ctx)
		if words := s.waits(x.TransactionID); words == "" {
			t.Error("no endpoint answers, and it does not say so")
		}
	})
}

// What could not be started is tried at once when a contract is registered, changed or retired.
func TestContractsWakeSubjects(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		tried := 0
		s := p.sail(nil, func(o *Options) {
			o.Start = func(context.Context, Subject) (string, error) {
				tried++
				return "", caos.Errorf(caos.NotFound, "there is no contract")
			}
		})
		s.change(func(tx *db.Tx) error { return s.Want(tx, passport(1)) })
		again := func(what string) {
			t.Helper()
			was := tried
			if more, err := s.startNext(ctx); !more || err != nil || tried != was+1 {
				t.Errorf("%s: not tried (%v)", what, err)
			}
			if more, err := s.startNext(ctx); more || err != nil {
				t.Errorf("%s: tried again and again (%v)", what, err)
			}
			select {
			case <-s.wanted:
			default:
				t.Errorf("%s: the recorder sleeps", what)
			}
		}
		again("wanted")
		k := s.contract()
		again("registered")
		changed := *k
		changed.Name = "Another name"
		s.change(func(tx *db.Tx) error {
			_, err := s.Replace(tx, k.ContractID, 0, changed, By{Actor: "carla"})
			return err
		})
		again("changed")
		s.change(func(tx *db.Tx) error {
			_, err := s.Retire(tx, k.ContractID, 0, "a new one", By{Actor: "carla"})
			return err
		})
		again("retired")
	})
}
