package engine

import (
	"context"
	"sync"

	"caos"
)

// Resources are an amount of compute: what a node has, or what a piece of work asks for.
type Resources struct {
	MemoryBytes int64 `json:"memory_bytes"`
	Threads     int   `json:"threads"`
	Slots       int   `json:"slots"`
}

func (r Resources) fits(in Resources) bool {
	return r.MemoryBytes <= in.MemoryBytes && r.Threads <= in.Threads && r.Slots <= in.Slots
}

func (r Resources) plus(o Resources, sign int) Resources {
	return Resources{r.MemoryBytes + int64(sign)*o.MemoryBytes, r.Threads + sign*o.Threads, r.Slots + sign*o.Slots}
}

// Allocator gives out one node's memory, threads and slots to pipelines, builds and
// replicas alike. It is fair: who asked first is served first, even when a later and
// smaller request would fit now, so that a large one cannot starve.
type Allocator struct {
	mu    sync.Mutex
	total Resources
	free  Resources
	queue []*request
}

type request struct {
	want  Resources
	ready chan struct{}
}

// NewAllocator returns an Allocator of the given total.
func NewAllocator(total Resources) *Allocator { return &Allocator{total: total, free: total} }

// Acquire waits for the resources and returns a function that gives them back; calling it
// twice does no harm. What can never fit is refused at once.
func (a *Allocator) Acquire(ctx context.Context, want Resources) (release func(), err error) {
	if want.MemoryBytes < 0 || want.Threads < 0 || want.Slots < 0 {
		return nil, caos.Errorf(caos.Invalid, "a compute request cannot be negative").WithField("compute")
	}
	a.mu.Lock()
	if !want.fits(a.total) {
		a.mu.Unlock()
		return nil, caos.Errorf(caos.Invalid, "the compute request (%d bytes, %d threads, %d slots) is more than this node has (%d bytes, %d threads, %d slots)",
			want.MemoryBytes, want.Threads, want.Slots, a.total.MemoryBytes, a.total.Threads, a.total.Slots).
			WithField("compute").WithHint("ask for less, or raise the node's budget in its configuration")
	}
	r := &request{want: want, ready: make(chan struct{})}
	a.queue = append(a.queue, r)
	a.grant()
	a.mu.Unlock()
	select {
	case <-r.ready:
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		select {
		case <-r.ready: // granted in the same moment
			a.free = a.free.plus(want, 1)
		default:
			for i, q := range a.queue {
				if q == r {
					a.queue = append(a.queue[:i], a.queue[i+1:]...)
					break
				}
			}
		}
		a.grant()
		return nil, caos.Wrap(caos.Unavailable, ctx.Err(), "no compute became free in time").
			WithHint("see what holds it with GET /v1/executions?status=RUNNING")
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.free = a.free.plus(want, 1)
			a.grant()
		})
	}, nil
}

// grant serves the queue from its head for as long as the head fits.
func (a *Allocator) grant() {
	for len(a.queue) > 0 && a.queue[0].want.fits(a.free) {
		a.free = a.free.plus(a.queue[0].want, -1)
		close(a.queue[0].ready)
		a.queue = a.queue[1:]
	}
}

// Usage returns what the node has, what is free, and how many requests wait.
func (a *Allocator) Usage() (total, free Resources, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total, a.free, len(a.queue)
}
