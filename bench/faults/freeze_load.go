package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"caos/bench/faults/freezing"
	"caos/bench/faults/sample"
	"caos/internal/sign"
)

// freezes is the load of a campaign that freezes versions of models, and its harm. The
// versions are given to the clients bit by bit while nodes are killed, so that the kills
// meet freezes.
//
// Of three versions one is frozen by two requests at once. Of one in four a defect becomes
// known while its baseline is being written, and if that stops the freeze, it is closed and
// the version is frozen again. The freeze of one in four is cancelled about then, and half
// of those versions are frozen again, too.
type freezes struct {
	versions int
	size     int // bytes of the files of a version
	kills    int

	given   int // versions
	begin   chan freezing.Version
	refused atomic.Int64 // of two at once
	mended  atomic.Int64 // frozen at the second try
	folder  string       // of the baselines

	// What kills left, seen before the next start: names of folders of which a part was on
	// disk, and of those that were whole on disk and not frozen in the database.
	staged, unnamed map[string]bool
}

func doubled(v freezing.Version) bool   { return v%3 == 0 }
func defective(v freezing.Version) bool { return v%4 == 1 }
func again(v freezing.Version) bool     { return v%8 == 1 || v%8 == 7 }
func cancelled(v freezing.Version) bool { return v%4 == 3 }

// prepare makes keys and registers the versions, before any node runs.
func (f *freezes) prepare(ctx context.Context, c *cluster) (err error) {
	c.freeze = true
	f.begin = make(chan freezing.Version, f.versions)
	f.staged, f.unnamed = map[string]bool{}, map[string]bool{}
	f.folder = filepath.Join(c.dir, freezing.Baselines)
	keys, err := sign.OpenKeys(filepath.Join(c.dir, "keys"))
	if err != nil {
		return err
	}
	for _, purpose := range []sign.Purpose{sign.Baseline, sign.Passport} {
		if _, err := keys.Create(ctx, purpose, time.Now()); err != nil {
			return errors.Join(err, keys.Close())
		}
	}
	if err := keys.Close(); err != nil {
		return err
	}
	desk, err := freezing.OpenAlone(ctx, c.url, c.dir)
	if err != nil {
		return err
	}
	for i := range f.versions {
		if err := desk.Register(ctx, freezing.Version(i), f.size); err != nil {
			return errors.Join(err, desk.Close())
		}
	}
	return desk.Close()
}

// run takes every version that is given to the clients to the end of its freeze.
func (f *freezes) run(ctx context.Context, t *traffic) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range f.versions {
		select {
		case v := <-f.begin:
			wg.Go(func() { f.one(ctx, t, v); t.acked.Add(1) })
		case <-ctx.Done():
			return
		}
	}
}

// one freezes a version.
func (f *freezes) one(ctx context.Context, t *traffic, v freezing.Version) {
	var both sync.WaitGroup
	var other string
	if doubled(v) {
		both.Go(func() { other = f.submit(ctx, t, v, fmt.Sprintf("freeze-%d-too", v)) })
	}
	if defective(v) {
		both.Go(func() {
			f.await(ctx, v)
			pause(ctx, time.Duration(rand.IntN(10))*time.Millisecond)
			t.defects(ctx, v, freezing.ListDefect)
		})
	}
	id := f.submit(ctx, t, v, fmt.Sprintf("freeze-%d", v))
	if cancelled(v) && id != "" {
		most := 150 * time.Millisecond
		if !again(v) { // while it is written; the others at any moment
			f.await(ctx, v)
			most = 20 * time.Millisecond
		}
		pause(ctx, rand.N(most))
		if r := t.insist(ctx, "/cancel/"+id, ""); r.status != http.StatusOK && r.status != http.StatusConflict {
			t.problem("%s was not cancelled: %d %s", id, r.status, r.body)
		}
	}
	both.Wait()
	for _, id := range []string{id, other} {
		if id != "" && t.ended(ctx, id) == "SUCCEEDED" {
			return
		}
	}
	if !again(v) {
		return
	}
	if defective(v) {
		t.defects(ctx, v, freezing.ListMended)
	}
	if id = f.submit(ctx, t, v, fmt.Sprintf("freeze-%d-again", v)); id != "" && t.ended(ctx, id) == "SUCCEEDED" {
		f.mended.Add(1)
	}
}

// await waits until a version is being written.
func (f *freezes) await(ctx context.Context, v freezing.Version) {
	for ctx.Err() == nil {
		for _, name := range []string{filepath.Join(".records", v.Baseline()+".json"), v.Baseline()} {
			if _, err := os.Stat(filepath.Join(f.folder, name)); err == nil {
				return
			}
		}
		pause(ctx, 2*time.Millisecond)
	}
}

// submit takes the freeze of a version to its acknowledgement, or to the refusal of a
// version that somebody else is freezing, which is "".
func (f *freezes) submit(ctx context.Context, t *traffic, v freezing.Version, key string) string {
	r := t.insist(ctx, fmt.Sprintf("/freeze/%d", v), key)
	var a sample.Answer
	switch {
	case r.status == http.StatusOK && json.Unmarshal(r.body, &a) == nil:
		t.mu.Lock()
		t.acks[key] = ack{a.ID, freezing.FreezeHook}
		t.mu.Unlock()
		return a.ID
	case r.status == http.StatusConflict && doubled(v):
		f.refused.Add(1)
	case r.status == http.StatusConflict && cancelled(v): // too late: it was frozen
	default:
		t.problem("submission %s was refused: %d %s", key, r.status, r.body)
	}
	return ""
}

// insist sends a request until it is answered with other than a failure.
func (t *traffic) insist(ctx context.Context, path, key string) reply {
	for {
		r, err := t.k.ask(http.MethodPost, path, key)
		if err == nil && r.status < 500 {
			return r
		}
		if ctx.Err() != nil {
			return reply{status: 0, body: []byte("never answered")}
		}
		t.mu.Lock()
		t.repeats++
		t.mu.Unlock()
		pause(ctx, time.Duration(10+rand.IntN(40))*time.Millisecond)
	}
}

// defects registers a list of defects.
func (t *traffic) defects(ctx context.Context, v freezing.Version, list string) {
	if r := t.insist(ctx, fmt.Sprintf("/defects/%d/%s", v, list), ""); r.status != http.StatusOK {
		t.problem("the list %s of %s was refused: %d %s", list, v.Baseline(), r.status, r.body)
	}
}

// ended waits for the end of an execution and says what it is.
func (t *traffic) ended(ctx context.Context, id string) string {
	for ctx.Err() == nil {
		var a sample.Answer
		r, err := t.k.ask(http.MethodGet, "/x/"+id, "")
		switch {
		case err == nil && r.status == http.StatusNotFound:
			t.problem("execution %s was acknowledged and is gone", id)
			return ""
		case err != nil || r.status != http.StatusOK || json.Unmarshal(r.body, &a) != nil:
		case a.Status == "SUCCEEDED" || a.Status == "FAILED" || a.Status == "CANCELLED":
			return a.Status
		}
		pause(ctx, 30*time.Millisecond)
	}
	return ""
}

// harm kills nodes: at random moments, while a baseline is being written or removed, just
// after one got its name, and some time after that; one time in four all of them. Then it
// starts them again, and one time in ten kills them once more while they start.
func (f *freezes) harm(ctx context.Context, c *cluster) error {
	for i := range f.kills {
		f.give((i + 1) * f.versions / f.kills)
		f.moment(ctx, i%4)
		victims := c.nodes
		if len(victims) > 1 && rand.IntN(4) > 0 {
			n := rand.IntN(len(victims))
			victims = victims[n : n+1]
		}
		for _, p := range victims {
			if !p.kill() {
				return fmt.Errorf("node %d ended by itself: %s", p.number, p.output())
			}
		}
		if err := f.look(ctx, c); err != nil {
			return err
		}
		for _, p := range victims {
			if rand.IntN(10) == 0 {
				if _, err := p.launch(); err != nil {
					return err
				}
				pause(ctx, time.Duration(rand.IntN(150))*time.Millisecond)
				p.kill()
			}
			starting, cancel := context.WithTimeout(ctx, 3*time.Minute)
			err := p.start(starting)
			cancel()
			if err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// give lets the clients begin with versions, up to a number.
func (f *freezes) give(upTo int) {
	for ; f.given < upTo; f.given++ {
		f.begin <- freezing.Version(f.given)
	}
}

// sleep stops nodes, at such moments, until others have taken their work, and wakes them.
func (f *freezes) sleep(ctx context.Context, c *cluster) error {
	for i := range f.kills {
		f.give((i + 1) * f.versions / f.kills)
		f.moment(ctx, 1+i%3)
		p := c.nodes[i%len(c.nodes)]
		if err := p.nap(ctx, func() error { return f.look(ctx, c) }); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// moment waits for the time to kill, and at most a second.
func (f *freezes) moment(ctx context.Context, how int) {
	before := f.names()
	switch how {
	case 0:
		pause(ctx, time.Duration(rand.IntN(400))*time.Millisecond)
		return
	case 1:
		defer func() { pause(ctx, time.Duration(rand.IntN(20))*time.Millisecond) }()
	case 3: // its passport is being made
		defer func() { pause(ctx, time.Duration(rand.IntN(150))*time.Millisecond) }()
	}
	for start := time.Now(); time.Since(start) < time.Second && ctx.Err() == nil; {
		for name := range f.names() {
			if !before[name] && strings.HasPrefix(name, ".") == (how == 1) {
				return
			}
		}
		pause(ctx, 500*time.Microsecond)
	}
}

// names lists what lies in the folder of baselines.
func (f *freezes) names() map[string]bool {
	out := map[string]bool{}
	entries, _ := os.ReadDir(f.folder) // it is there once a node runs
	for _, e := range entries {
		if e.Name() != ".records" {
			out[e.Name()] = true
		}
	}
	return out
}
