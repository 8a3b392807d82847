package hook

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/sign"
)

// A node that slept is late with the Call of a freeze that ended elsewhere without it, while
// another freeze of the version was begun or has made its baseline. What that one wrote
// stays, and nothing is written beside it. Mutation that makes this fail: clearAway that
// does not ask whose the version is.
func TestModelFreezeLate(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ready(64 << 10)
		ctx := context.Background()
		late := func() error {
			t.Helper()
			in, err := json.Marshal(freezeRequest(nil))
			if err != nil {
				t.Fatal(err)
			}
			h := newModelFreeze(w.parts)
			r := &engine.Run{ExecutionID: "EXEC-LATE", HookID: freezeHook, Now: time.Now()}
			s, err := h.plan().Begin(r, in)
			if err != nil {
				t.Fatal(err)
			}
			list, err := w.registry.Artifacts(ctx, dly, dlyVersion)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list {
				s.Files = append(s.Files, frozenFile{Path: a.Name, Role: a.Role, Digest: a.Digest, Size: a.Size})
			}
			return h.writeBaseline(ctx, r, s)
		}
		// Nobody has the version: what the late one wrote would lie there for ever.
		if err := late(); caos.KindOf(err) != caos.Conflict {
			t.Errorf("the late Call: %v", err)
		}
		w.nothingHalfMade()

		var out FreezeOutput
		w.done("conny", freezeHook, freezeRequest(nil), &out)
		if err := late(); caos.KindOf(err) != caos.Conflict {
			t.Errorf("the late Call: %v", err)
		}
		signer, err := w.keys.Signer(sign.Baseline)
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := w.frozen.Verify(ctx, *out.BaselineID, signer.Public(), nil); err != nil || len(problems) > 0 {
			t.Errorf("the baseline, after the late Call: %v %v", problems, err)
		}
	})
}

// A node that has not heard yet that its freeze was ended elsewhere is still writing: what it
// writes is removed when it is done, and is a finding only if that takes too long. Mutation
// that makes this fail: discardBaseline that gives up at once.
func TestModelFreezeDiscardsWhatIsBeingWritten(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	ctx := context.Background()
	h, s := newModelFreeze(w.parts), &freezeState{BaselineID: "BL-DLY-1.0.0"}
	release := w.holdBaseline()
	run := func(attempt int) error {
		return h.discardBaseline(ctx, &engine.Run{ExecutionID: "EXEC-GONE", Attempt: attempt}, s)
	}
	if err := run(1); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("while it is written: %v", err)
	}
	if err := run(discardRetry().MaxAttempts); err != nil {
		t.Errorf("the last attempt: %v", err)
	}
	release()
	if err := run(2); err != nil {
		t.Errorf("when it is written: %v", err)
	}
	if owner, err := w.frozen.Owner(s.BaselineID); err != nil || owner != "" {
		t.Errorf("it is left: %q %v", owner, err)
	}
}
