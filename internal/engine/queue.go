package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"caos/internal/db"
)

// queue wakes workers; it is never the truth. A wake-up that is lost is found again in the
// executions table, and one too many does nothing.
type queue interface {
	// Wake notes, in the transaction, that an execution is to be run at a moment, the zero
	// time being now. running says that a worker of this node goes on with it right after the commit, so that
	// nobody else needs to be told unless this process dies.
	Wake(tx *db.Tx, id string, at time.Time, running bool)

	// Done notes, in the transaction, that the worker which runs the execution lets go of it.
	Done(tx *db.Tx, id string)

	// Found tells the queue of an execution outside any transaction. The zero time is now,
	// whatever the clock does.
	Found(id string, at time.Time)
}

// holder says who may drive an execution when several nodes share it. It only saves work:
// what is written is guarded by the execution's version.
type holder interface {
	// Hold reports whether this node may drive the execution. doubt says that somebody else
	// has just been seen to move it.
	Hold(ctx context.Context, id string, doubt bool) (bool, error)

	// Release is called when this node stops driving an execution, which it last saw at
	// version seen.
	Release(id string, seen int64)
}

// starter is the life of a queue. Start calls take for each execution that is due, in a
// goroutine that may block; Stop returns when no more calls will come.
type starter interface {
	Start(ctx context.Context, take func(id string)) error
	Stop()
}

// localQueue is the queue of a single machine: a heap in memory, rebuilt at start from the
// executions table. It never polls.
type localQueue struct {
	now func() time.Time

	mu    sync.Mutex
	due   dueHeap
	at    map[string]time.Time // earliest known moment for each execution in the heap
	nudge chan struct{}        // capacity 1: the heap's head may have changed
	done  chan struct{}        // nil before Start
}

func newLocalQueue(now func() time.Time) *localQueue {
	return &localQueue{now: now, at: map[string]time.Time{}, nudge: make(chan struct{}, 1)}
}

func (q *localQueue) Wake(tx *db.Tx, id string, at time.Time, running bool) {
	if running {
		return
	}
	if !at.After(q.now()) {
		at = time.Time{} // also if the clock is set back before the commit
	}
	tx.AfterCommit(func() { q.Found(id, at) })
}

func (q *localQueue) Done(*db.Tx, string) {}

func (q *localQueue) Hold(context.Context, string, bool) (bool, error) { return true, nil }

func (q *localQueue) Release(string, int64) {}

func (q *localQueue) Found(id string, at time.Time) {
	q.mu.Lock()
	if old, ok := q.at[id]; !ok || at.Before(old) {
		q.at[id] = at
		heap.Push(&q.due, due{id, at})
	}
	q.mu.Unlock()
	select {
	case q.nudge <- struct{}{}:
	default:
	}
}

func (q *localQueue) Start(ctx context.Context, take func(string)) error {
	done := make(chan struct{})
	q.done = done
	go func() {
		defer close(done)
		timer := time.NewTimer(time.Hour)
		defer timer.Stop()
		for {
			id, wait := q.next()
			if id != "" {
				take(id)
				continue
			}
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-q.nudge:
			case <-timer.C:
			}
		}
	}()
	return nil
}

func (q *localQueue) Stop() {
	if q.done != nil {
		<-q.done
	}
}

// next returns an execution that is due, or how long to wait for one. The wall clock may
// jump, so a wait is never longer than a second: a timer measures elapsed time, and would
// sleep through a clock that was set forward.
func (q *localQueue) next() (string, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.due) > 0 {
		head := q.due[0]
		if known, ok := q.at[head.id]; !ok || !known.Equal(head.at) { // superseded by an earlier wake-up
			heap.Pop(&q.due)
			continue
		}
		if wait := head.at.Sub(q.now()); wait > 0 {
			return "", min(wait, time.Second)
		}
		heap.Pop(&q.due)
		delete(q.at, head.id)
		return head.id, 0
	}
	return "", time.Hour
}

type due struct {
	id string
	at time.Time
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
