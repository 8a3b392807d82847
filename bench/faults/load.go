package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"caos/bench/faults/sample"
)

// traffic is what the clients do and hear. Each submission is repeated under its key until
// some node has acknowledged it.
type traffic struct {
	k     *client
	think time.Duration // most that a client pauses between two submissions

	next  atomic.Int64
	acked atomic.Int64

	mu       sync.Mutex
	acks     map[string]ack // by idempotency key
	problems []string
	repeats  int64 // submissions that had to be sent again
}

// ack is what a client was told about its submission.
type ack struct{ id, hook string }

func newTraffic(c *cluster) *traffic {
	return &traffic{k: c.client(), think: 20 * time.Millisecond, acks: map[string]ack{}}
}

func (t *traffic) problem(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.problems) < 20 {
		t.problems = append(t.problems, fmt.Sprintf(format, args...))
	}
}

// run lets clients submit until stop is closed and least were acknowledged. It returns
// when every submission that was begun was acknowledged, or when ctx ends.
func (t *traffic) run(ctx context.Context, clients int, least int64, stop <-chan struct{}) {
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-stop:
					if t.acked.Load() >= least {
						return
					}
				default:
				}
				t.one(ctx)
				pause(ctx, time.Duration(rand.Int64N(int64(t.think))))
			}
		})
	}
	wg.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// one takes one submission to its acknowledgement, and decides what waits for a decision.
func (t *traffic) one(ctx context.Context) {
	n := t.next.Add(1)
	hooks := sample.Hooks()
	hook := hooks[int(n)%len(hooks)]
	key := fmt.Sprintf("key-%d", n)
	var a sample.Answer
	for try := 0; ; try++ {
		r, err := t.k.ask(http.MethodPost, "/run/"+hook, key)
		if err == nil && r.status == http.StatusOK && json.Unmarshal(r.body, &a) == nil {
			break
		}
		if err == nil && r.status < 500 {
			t.problem("submission %s was refused: %d %s", key, r.status, r.body)
			return
		}
		if ctx.Err() != nil {
			t.problem("submission %s was never acknowledged", key)
			return
		}
		t.mu.Lock()
		t.repeats++
		t.mu.Unlock()
		pause(ctx, time.Duration(10+rand.IntN(40))*time.Millisecond)
	}
	t.mu.Lock()
	t.acks[key] = ack{a.ID, hook}
	t.mu.Unlock()
	t.acked.Add(1)
	if hook == sample.Ask {
		t.decide(ctx, a.ID)
	}
}

// decide says yes once the execution waits for it. Nobody else decides, so a refusal of
// the first try, when the execution was seen waiting, is a lie.
func (t *traffic) decide(ctx context.Context, id string) {
	sent := 0
	for ctx.Err() == nil {
		var a sample.Answer
		r, err := t.k.ask(http.MethodGet, "/x/"+id, "")
		if err != nil || r.status != http.StatusOK || json.Unmarshal(r.body, &a) != nil {
			if err == nil && r.status == http.StatusNotFound {
				t.problem("execution %s was acknowledged and is gone", id)
				return
			}
			pause(ctx, 20*time.Millisecond)
			continue
		}
		if a.Status == "SUCCEEDED" || a.Status == "FAILED" || sent > 0 && a.Topic == "" {
			return
		}
		if a.Topic != sample.Topic {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		r, err = t.k.ask(http.MethodPost, "/decide/"+id, "")
		sent++
		if err == nil && r.status == http.StatusOK {
			return
		}
		if err == nil && r.status == http.StatusConflict && sent == 1 {
			t.problem("the only decision about %s was refused: %s", id, r.body)
			return
		}
	}
}
