package engine

import (
	"context"
	"sync"
	"time"
)

// Update is what a watcher of an execution gets: the execution after a commit, or how far
// the Call under way has come.
type Update struct {
	Execution *Execution
	Progress  *Progress
}

// hub tells the watchers of this node that something happened.
type hub struct {
	mu       sync.Mutex
	watchers map[string]map[*watcher]struct{}
}

type watcher struct {
	changed  chan struct{} // capacity 1
	progress chan Progress // capacity 1, the newest wins
}

func newHub() *hub { return &hub{watchers: map[string]map[*watcher]struct{}{}} }

func (h *hub) add(id string) *watcher {
	w := &watcher{changed: make(chan struct{}, 1), progress: make(chan Progress, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[id] == nil {
		h.watchers[id] = map[*watcher]struct{}{}
	}
	h.watchers[id][w] = struct{}{}
	return w
}

func (h *hub) remove(id string, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[id], w)
	if len(h.watchers[id]) == 0 {
		delete(h.watchers, id)
	}
}

func (h *hub) publish(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers[id] {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

func (h *hub) progress(id string, p Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers[id] {
		select {
		case <-w.progress:
		default:
		}
		w.progress <- p
	}
}

// Watch sends the execution as it is now, again after every commit that changed it, and
// the progress of Calls that run on this node. The channel is closed when the execution is
// final, does not exist, or ctx ends. Another node's commits are seen within a second.
func (e *Engine) Watch(ctx context.Context, id string) <-chan Update {
	out := make(chan Update)
	w := e.hub.add(id)
	go func() {
		defer close(out)
		defer e.hub.remove(id, w)
		poll := time.NewTicker(time.Second)
		defer poll.Stop()
		send := func(u Update) bool {
			select {
			case out <- u:
				return true
			case <-ctx.Done():
				return false
			}
		}
		version := int64(-1)
		for {
			x, err := e.Get(ctx, id)
			if err != nil {
				return
			}
			if x.Version != version {
				version = x.Version
				if !send(Update{Execution: x}) || x.Status.Final() {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-e.ctx.Done():
				return
			case <-w.changed:
			case <-poll.C:
			case p := <-w.progress:
				if !send(Update{Progress: &p}) {
					return
				}
			}
		}
	}()
	return out
}
