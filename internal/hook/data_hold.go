package hook

import (
	"context"
	"sync"
	"time"

	"caos"
	"caos/internal/engine"
)

// holds are the compute that executions of this process have been given and have not
// returned. Compute belongs to a node, so a hold is in memory alone: an execution that goes
// on elsewhere takes it there anew, and what it leaves behind here goes back by itself.
type holds struct {
	allocator func() *engine.Allocator

	mu   sync.Mutex
	held map[string]*hold
}

type hold struct {
	release func()
	using   int
	idle    *time.Timer // gives it back when nobody uses it
}

// holdIdle is how long compute may lie with an execution between two of its steps. The steps
// follow each other in milliseconds; what lies longer belongs to one that went elsewhere.
const holdIdle = 30 * time.Second

// maxComputeWaits bounds the executions that wait for compute inside of a Call, because each
// has one of the engine's slots. The others come back later.
const maxComputeWaits = 12

func newHolds(allocator func() *engine.Allocator) *holds {
	return &holds{allocator: allocator, held: map[string]*hold{}}
}

// use waits until the execution has its compute, and returns a function to be called when
// the step that uses it ends. first says that it was given none before: then many that wait
// already send it away for a while. Without an allocator there is nothing to wait for.
func (h *holds) use(ctx context.Context, execution string, want engine.Resources, first bool) (done func(), err error) {
	if h.take(execution) {
		return func() { h.rest(execution) }, nil
	}
	if h.allocator == nil || h.allocator() == nil {
		return func() {}, nil
	}
	a := h.allocator()
	if _, _, waiting := a.Usage(); first && waiting >= maxComputeWaits {
		return nil, caos.Errorf(caos.Unavailable, "%d executions wait for compute already", waiting).
			WithHint("it is asked for again by itself; GET /v1/executions?status=RUNNING shows what holds it")
	}
	release, err := a.Acquire(ctx, want)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.held[execution]; old != nil { // cannot be: one goroutine drives an execution
		release()
		old.using++
		return func() { h.rest(execution) }, nil
	}
	h.held[execution] = &hold{release: release, using: 1}
	return func() { h.rest(execution) }, nil
}

func (h *holds) take(execution string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.held[execution]
	if x == nil {
		return false
	}
	if x.idle != nil {
		x.idle.Stop()
		x.idle = nil
	}
	x.using++
	return true
}

// rest leaves the compute with the execution for its next step.
func (h *holds) rest(execution string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.held[execution]
	if x == nil {
		return
	}
	if x.using--; x.using > 0 {
		return
	}
	x.idle = time.AfterFunc(holdIdle, func() {
		h.mu.Lock()
		if h.held[execution] != x || x.using > 0 {
			h.mu.Unlock()
			return
		}
		delete(h.held, execution)
		h.mu.Unlock()
		x.release()
	})
}

// end gives back what the execution has.
func (h *holds) end(execution string) {
	h.mu.Lock()
	x := h.held[execution]
	delete(h.held, execution)
	h.mu.Unlock()
	if x == nil {
		return
	}
	if x.idle != nil {
		x.idle.Stop()
	}
	x.release()
}
