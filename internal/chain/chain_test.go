package chain

import (
	"context"
	"testing"

	"caos"
	"caos/internal/db"
)

// A transaction goes its way: prepared, signed, sent, mined, confirmed, each told once.
func TestWay(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		x := s.prepare(1)
		if x.Status != Prepared || x.Nonce != nil || len(x.Hashes) != 0 || x.RequestedBy != "mia" {
			t.Fatalf("%+v", x)
		}
		if again := s.prepare(1); again.TransactionID != x.TransactionID {
			t.Error("an execution has two transactions")
		}
		if _, err := s.Submit(ctx, x.TransactionID); caos.KindOf(err) != caos.Conflict {
			t.Errorf("submitted unsigned: %v", err)
		}
		for range 3 {
			y, err := s.Sign(ctx, x.TransactionID)
			ok(t, err)
			if y.Status != Signed && y.Status != Sent || y.Nonce == nil || y.Hash == "" || y.Attempts != 1 {
				t.Fatalf("%+v", y)
			}
			x = y
			if p.proxy.Count("eth_sendRawTransaction") != 0 {
				t.Fatal("sent by signing")
			}
		}
		for range 3 {
			y, err := s.Submit(ctx, x.TransactionID)
			ok(t, err)
			if y.Status != Sent {
				t.Fatalf("%+v", y)
			}
		}
		if n := p.proxy.Count("eth_sendRawTransaction"); n != 1 {
			t.Errorf("sent %d times", n)
		}
		s.look(2)
		s.is(x.TransactionID, Sent)
		p.dev.Mine(1)
		s.look(2)
		y := s.is(x.TransactionID, Mined)
		if y.BlockNumber == nil || y.BlockHash == "" || y.Confirmations != 1 || *y.GasUsed == 0 || y.EffectiveGasPrice == "0" {
			t.Errorf("%+v", y)
		}
		p.dev.Mine(1)
		s.look(1)
		if y := s.is(x.TransactionID, Mined); y.Confirmations != 2 {
			t.Errorf("%+v", y)
		}
		p.dev.Mine(1)
		s.look(1)
		y = s.is(x.TransactionID, Confirmed)
		if y.ConfirmedAt == nil || y.Confirmations != 3 || y.Reverted || y.Reason != "" {
			t.Errorf("%+v", y)
		}
		if !p.recorded(1) {
			t.Error("nothing is recorded")
		}
		for kind, want := range map[string]int{EventSent: 1, EventMined: 1, EventConfirmed: 1, EventFailed: 0} {
			if n := s.told(kind, x.TransactionID); n != want {
				t.Errorf("%s was told %d times", kind, n)
			}
		}
		if s.woken["EXEC-1"] < 2 {
			t.Errorf("woken %d times", s.woken["EXEC-1"])
		}
		for _, key := range []string{y.Hash, y.TransactionID} {
			if got := s.get(key); got.TransactionID != x.TransactionID {
				t.Errorf("%s finds %s", key, got.TransactionID)
			}
		}
		s.gapless(1)

		// It is watched for a while, and then no more.
		p.dev.Mine(70)
		s.look(2)
		var live int
		ok(t, s.d.QueryRow(ctx, `SELECT COUNT(*) FROM chain_transactions WHERE live > 0`).Scan(&live))
		if live != 0 {
			t.Error("it is watched for ever")
		}
		if u := s.ExplorerURL(y.Hash); u != "https://explorer.example/tx/"+y.Hash {
			t.Error(u)
		}
	})
}

// What the contract refuses is FAILED when its block is final, and not before.
func TestReverted(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x := s.prepareData(1, []byte{1, 2, 3, 4})
		_, err := s.Sign(context.Background(), x.TransactionID)
		ok(t, err)
		_, err = s.Submit(context.Background(), x.TransactionID)
		ok(t, err)
		p.dev.Mine(1)
		s.look(1)
		if y := s.is(x.TransactionID, Mined); !y.Reverted {
			t.Errorf("%+v", y)
		}
		p.dev.Mine(2)
		s.look(1)
		if y := s.is(x.TransactionID, Failed); !y.Reverted || y.Reason == "" {
			t.Errorf("%+v", y)
		}
		if s.told(EventFailed, x.TransactionID) != 1 {
			t.Error("not told")
		}
	})
}

// What was not signed is given up; what was is not.
func TestGiveUp(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		over := map[string]bool{}
		s := p.sail(nil, func(o *Options) { o.Ended = func(_ *db.Tx, id string) (bool, error) { return over[id], nil } })
		x, y, z := s.prepare(1), s.prepare(2), s.send(3)
		s.change(func(tx *db.Tx) error {
			got, err := s.GiveUp(tx, x.TransactionID, "nobody wants it", By{Actor: "mia"})
			if got.Status != Failed {
				t.Errorf("%+v", got)
			}
			return err
		})
		err := s.d.Update(ctx, func(tx *db.Tx) error {
			_, err := s.GiveUp(tx, z.TransactionID, "too late", By{Actor: "mia"})
			return err
		})
		if caos.KindOf(err) != caos.Conflict {
			t.Errorf("given up: %v", err)
		}
		if _, err := s.Sign(ctx, x.TransactionID); caos.KindOf(err) != caos.Conflict {
			t.Errorf("signed: %v", err)
		}
		over["EXEC-2"], over["EXEC-3"] = true, true
		s.look(1)
		s.is(y.TransactionID, Prepared)
		p.later(2 * sweepEvery)
		s.look(1)
		s.is(y.TransactionID, Failed)
		p.dev.Mine(3)
		s.look(2)
		s.is(z.TransactionID, Confirmed)
	})
}
