package anchor

import (
	"context"
	"testing"
	"time"

	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/verify"
)

// What became of a checkpoint on the chain is taken over when somebody says that there is
// news, without waiting for the next look.
func TestNudge(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	s := w.open(Settings{Chain: true}, nil)
	s.Nudge()
	s.Nudge() // nobody looks yet, and nobody waits for that
	w.happen(2)
	a := w.now(s)[verify.AnchorChain].Anchor
	p := s.dest[0]
	ctx, cancel := context.WithCancel(t.Context())
	looked, done := make(chan struct{}), make(chan struct{})
	go func() {
		s.loop(ctx, time.Hour, p.nudge, func() { s.tick(ctx, p); looked <- struct{}{} })
		close(done)
	}()
	<-looked // as it begins
	<-looked // for the nudges before it began
	if got := w.anchors(s, Filter{Kind: verify.AnchorChain})[0]; got.State != Pending {
		t.Fatalf("%+v", got)
	}
	w.chain.set(subjectID(origin, a.Size), func(sub *chain.Subject) {
		n := uint64(7)
		sub.State, sub.Hash, sub.BlockNumber, sub.ExecutionID, sub.TransactionID = chain.SubjectConfirmed, "0xabc", &n, "EXEC-1", "TX-1"
	})
	s.Nudge()
	<-looked
	if got := w.anchors(s, Filter{Kind: verify.AnchorChain})[0]; got.State != Confirmed || got.Block != 7 {
		t.Errorf("%+v", got)
	}
	cancel()
	<-done
}
