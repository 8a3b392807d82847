package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"caos/internal/auditlog"
	"caos/internal/db"
)

// measureAppend measures appends of 1 KB that are durable and covered by a signed
// checkpoint when their appender goes on, by numbers of appenders that wait for each.
func measureAppend(ctx context.Context, b *bench) ([]row, error) {
	callers := []int{64, 256}
	var out []row
	for _, n := range callers {
		var ours, peers []float64
		for i := range b.reps {
			v, err := b.appendCAOS(ctx, fmt.Sprintf("append-%d-%d", n, i), []string{""}, n)
			if err != nil {
				return out, err
			}
			p, err := b.appendTessera(ctx, fmt.Sprintf("tessera-%d-%d", n, i), n)
			if err != nil {
				return out, err
			}
			ours, peers = append(ours, v), append(peers, p)
		}
		r := rated(fmt.Sprintf("append 1 KB, SQLite, %d appenders", n), "/s", ours).against("Tessera POSIX", peers, 5)
		out = append(out, r.with("each appender waits until a signed checkpoint covers its entry; Tessera (batch 256, 5 ms) publishes one every 100 ms and its appenders wait for that, CAOS signs one for each commit"))
	}
	// What the peer does when nobody waits for its interval.
	many := 4096
	ours, err := b.appendCAOS(ctx, "append-many", []string{""}, many)
	if err != nil {
		return out, err
	}
	peer, err := b.appendTessera(ctx, "tessera-many", many)
	if err != nil {
		return out, err
	}
	out = append(out, rated(fmt.Sprintf("append 1 KB, SQLite, %d appenders", many), "/s", []float64{ours}).against("Tessera POSIX", []float64{peer}, 0).
		with("one run; so many appenders that the peer's interval does not limit it"))
	if b.postgres == "" {
		return out, nil
	}
	for _, nodes := range []int{1, 2} {
		for _, n := range callers {
			var ours []float64
			for range b.reps {
				url, drop, err := newDatabase(ctx, b.postgres)
				if err != nil {
					return out, err
				}
				urls := make([]string, nodes)
				for j := range urls {
					urls[j] = url
				}
				v, err := b.appendCAOS(ctx, "append-pg", urls, n)
				drop()
				if err != nil {
					return out, err
				}
				ours = append(ours, v)
			}
			out = append(out, rated(fmt.Sprintf("append 1 KB, PostgreSQL, %d node(s), %d appenders", nodes, n), "/s", ours))
		}
	}
	return out, nil
}

// kilobyte is a record whose text is about 1 KB.
func kilobyte() auditlog.Record {
	return auditlog.Record{Type: auditlog.Deployment, Actor: "user-17", RecordedBy: "ci", Resources: []string{"NN-FCS-001"},
		Details: map[string]any{"note": strings.Repeat("x", 700), "platform": "edge-7", "attempt": 3}}
}

// appendCAOS measures one run on nodes with the given databases ("" is a new SQLite
// file), and verifies the log afterwards.
func (b *bench) appendCAOS(ctx context.Context, name string, urls []string, callers int) (rate float64, err error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	var nodes []*stack
	defer func() {
		for _, s := range nodes {
			err = errors.Join(err, s.close())
		}
	}()
	for _, url := range urls {
		if url == "" {
			url = "sqlite:" + filepath.Join(dir, "caos.db")
		}
		s, err := openStack(ctx, stackOptions{url: url, dir: dir})
		if err != nil {
			return 0, err
		}
		nodes = append(nodes, s)
	}
	before, _, err := nodes[0].log.Root(ctx)
	if err != nil {
		return 0, err
	}
	var covers []*cover
	for _, s := range nodes {
		covers = append(covers, startCover(ctx, s.log))
	}
	done, seconds, err := closedLoop(callers, b.duration, func(i int) error {
		s := nodes[i%len(nodes)]
		r := kilobyte()
		err := s.db.Update(ctx, func(tx *db.Tx) error {
			_, err := s.log.Append(tx, r)
			return err
		})
		if err != nil {
			return err
		}
		return covers[i%len(nodes)].wait()
	})
	for _, c := range covers {
		c.stop()
	}
	if err != nil {
		return 0, err
	}
	sum, err := nodes[0].check(ctx)
	if err != nil {
		return 0, err
	}
	if sum.Size != before+done {
		return 0, fmt.Errorf("%d appends were answered, the log grew by %d", done, sum.Size-before)
	}
	return float64(done) / seconds, nil
}

// closedLoop lets callers repeat work, each for itself, for a while after a short warm-up,
// and returns how often it was done in all and how long that took, warm-up included in
// neither rate nor time… but in the count it returns for checks.
func closedLoop(callers int, d time.Duration, work func(i int) error) (done int64, seconds float64, err error) {
	var count atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(d)
	for i := range callers {
		wg.Go(func() {
			for time.Now().Before(end) && failed.Load() == nil {
				if err := work(i); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return count.Load(), 0, *e
	}
	return count.Load(), time.Since(start).Seconds(), nil
}

// cover signs checkpoints for those who wait: whoever asks is answered by a checkpoint of
// a head that was read after it asked.
type cover struct {
	ask  chan chan error
	quit chan struct{}
	done chan struct{}
}

func startCover(ctx context.Context, log *auditlog.Log) *cover {
	c := &cover{ask: make(chan chan error, 8192), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		var waiting []chan error
		for {
			waiting = waiting[:0]
			select {
			case <-c.quit:
				return
			case a := <-c.ask:
				waiting = append(waiting, a)
			}
			for more := true; more; {
				select {
				case a := <-c.ask:
					waiting = append(waiting, a)
				default:
					more = false
				}
			}
			_, err := log.Checkpoint(ctx)
			for _, a := range waiting {
				a <- err
			}
		}
	}()
	return c
}

func (c *cover) wait() error {
	a := make(chan error, 1)
	c.ask <- a
	return <-a
}

func (c *cover) stop() { close(c.quit); <-c.done }
