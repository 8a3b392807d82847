package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"caos/bench/faults/piping"
	"caos/bench/faults/sample"
)

// pipes is the load of a campaign that runs pipelines, and its harm. Each pipeline has a
// client that goes through rounds; rounds are given to the clients bit by bit while nodes are
// killed, so that the kills meet runs.
//
// Of eight rounds one has a good source, one each an optional source that is missing, a row
// that the contract forbids, a row that is cut short, and none or a good one; one is cancelled
// while it publishes, in one three runs are asked for at once, and in one the source becomes
// a forbidden one while what was made of the good one is published.
type pipes struct {
	pipelines int
	rounds    int // of each pipeline
	kills     int
	worker    string // program
	share     bool   // the nodes have one scratch folder

	dir   string
	given int
	begin []chan int // rounds, by pipeline
	bad   sync.Map   // generation of which nothing may be published → kind
	torn  sync.Map   // generation whose source was replaced while a run was at it: it may fail
	asked atomic.Int64
	shot  atomic.Int64 // workers that were killed

	// Seen at kills: what they met.
	met [5]atomic.Int64
}

// What a kill may meet.
const (
	metNothing = iota
	metWorker  // files in a scratch folder
	metStaged  // a staged sibling
	metOld     // one with what was there before
	metUndone  // a staged sibling that goes
)

func (f *pipes) prepare(ctx context.Context, c *cluster) error {
	f.dir = c.dir
	if err := os.Chmod(filepath.Dir(c.dir), 0o755); err != nil { // the sandbox's own user must pass through
		return err
	}
	program := filepath.Join(c.dir, "worker", "caos-worker") // by which its processes are told from others
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return err
	}
	raw, err := os.ReadFile(f.worker)
	if err != nil {
		return err
	}
	if err := os.WriteFile(program, raw, 0o755); err != nil {
		return err
	}
	c.worker, c.share = program, f.share
	for range f.pipelines {
		f.begin = append(f.begin, make(chan int, f.rounds))
	}
	desk, err := piping.OpenAlone(ctx, c.url, c.dir)
	if err != nil {
		return err
	}
	if err := desk.Prepare(ctx, f.pipelines); err != nil {
		_ = desk.Close()
		return err
	}
	return desk.Close()
}

// give lets each client begin with rounds, up to a number of all.
func (f *pipes) give(upTo int) {
	for ; f.given < upTo; f.given++ {
		f.begin[f.given%f.pipelines] <- f.given / f.pipelines
	}
}

func (f *pipes) all() int { return f.pipelines * f.rounds }

// run takes every pipeline through its rounds, while somebody reads what they publish.
func (f *pipes) run(ctx context.Context, t *traffic) {
	reading, enough := context.WithCancel(ctx)
	var reader, wg sync.WaitGroup
	reader.Go(func() { f.read(reading, t) })
	for i := range f.pipelines {
		wg.Go(func() {
			for range f.rounds {
				select {
				case round := <-f.begin[i]:
					f.one(ctx, t, piping.Pipeline(i), round)
					t.acked.Add(1)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	enough()
	reader.Wait()
}

// one is a round of a pipeline.
func (f *pipes) one(ctx context.Context, t *traffic, p piping.Pipeline, round int) {
	generation, kind, runs := round*100+int(p)+1, piping.Good, 1
	how := (round + int(p)) % 8
	switch how {
	case 1:
		kind = piping.Poisoned
	case 3:
		kind = piping.Ragged
	case 5:
		if round%2 == 0 {
			kind = piping.Missing
		}
	case 6:
		runs = 3
	}
	if kind != piping.Good {
		f.bad.Store(generation, kind)
	}
	if err := p.WriteSide(f.dir, generation, how != 4); err != nil {
		t.problem("%v", err)
	}
	if err := p.Write(f.dir, generation, kind); err != nil {
		t.problem("%v", err)
	}
	var wg sync.WaitGroup
	ids := make([]string, runs)
	for n := range runs {
		wg.Go(func() { ids[n] = f.submit(ctx, t, p, fmt.Sprintf("pipe-%d-%d-%d", p, round, n)) })
	}
	wg.Wait()
	if how == 7 {
		f.bad.Store(generation+50, piping.Poisoned)
		f.torn.Store(generation, true)
		f.await(ctx, p, ".caos-*")
		if err := p.Write(f.dir, generation+50, piping.Poisoned); err != nil {
			t.problem("%v", err)
		}
	}
	if how == 2 || how == 6 && round%2 == 0 {
		f.await(ctx, p, []string{".caos-*", ".caos-*/old"}[round/2%2])
		pause(ctx, time.Duration(rand.IntN(30))*time.Millisecond)
		if r := t.insist(ctx, "/cancel/"+ids[0], ""); r.status != http.StatusOK && r.status != http.StatusConflict {
			t.problem("%s was not cancelled: %d %s", ids[0], r.status, r.body)
		}
	}
	for _, id := range ids {
		if id != "" {
			t.ended(ctx, id)
		}
	}
}

// await waits until there is something beside a pipeline's targets, at most ten seconds.
func (f *pipes) await(ctx context.Context, p piping.Pipeline, what string) {
	for start := time.Now(); time.Since(start) < 10*time.Second && ctx.Err() == nil; pause(ctx, 2*time.Millisecond) {
		if list, _ := filepath.Glob(filepath.Join(filepath.Dir(p.Target(f.dir, "train")), what)); len(list) > 0 {
			return
		}
	}
}

func (f *pipes) submit(ctx context.Context, t *traffic, p piping.Pipeline, key string) string {
	f.asked.Add(1)
	r := t.insist(ctx, fmt.Sprintf("/pipe/%d", p), key)
	var a sample.Answer
	if r.status != http.StatusOK || json.Unmarshal(r.body, &a) != nil {
		t.problem("submission %s was refused: %d %s", key, r.status, r.body)
		return ""
	}
	t.mu.Lock()
	t.acks[key] = ack{a.ID, piping.PipelineHook}
	t.mu.Unlock()
	return a.ID
}

// read reads what is published, all the time: whoever opens a target finds a whole
// generation that was checked.
func (f *pipes) read(ctx context.Context, t *traffic) {
	for i := 0; ctx.Err() == nil; i++ {
		p := piping.Pipeline(i % f.pipelines)
		for _, path := range f.files(p) {
			if text, err := os.ReadFile(path); err == nil {
				f.judge(t.problem, path, text)
			}
		}
		pause(ctx, 5*time.Millisecond)
	}
}

// files are those in which the rows of a pipeline are published.
func (f *pipes) files(p piping.Pipeline) []string {
	days, _ := filepath.Glob(filepath.Join(p.Target(f.dir, "days"), "*", "*"))
	return append(days, p.Target(f.dir, "train"))
}

// judge holds that a published table of rows is what a run may publish, and returns its
// generation.
func (f *pipes) judge(problem func(string, ...any), path string, text []byte) int {
	generation, rows, err := piping.Generation(text)
	if err != nil {
		problem("a reader found in %s: %v", path, err)
		return 0
	}
	if kind, ok := f.bad.Load(generation); ok {
		problem("a reader found in %s the generation %d, whose source is bad (%d)", path, generation, kind)
	}
	if strings.HasSuffix(path, "train.csv") && rows != piping.Rows(generation) {
		problem("a reader found %d rows in %s, not %d", rows, path, piping.Rows(generation))
	}
	return generation
}

// harm kills workers, and nodes at random moments, while a worker runs, while targets are staged, when one
// was made visible and when they are finished or taken back; one time in four all of them.
// Then it starts them again, and one time in ten kills them once more while they start.
func (f *pipes) harm(ctx context.Context, c *cluster) error {
	for i := range f.kills {
		f.give((i + 1) * f.all() / f.kills)
		f.meet(ctx, i%5)
		if i%10 == 1 { // a worker alone
			for _, pid := range f.workers(c) {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					f.shot.Add(1)
				}
			}
			continue
		}
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
		for _, p := range victims {
			if rand.IntN(10) == 0 {
				if _, err := p.launch(); err != nil {
					return err
				}
				pause(ctx, time.Duration(rand.IntN(300))*time.Millisecond)
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

// workers are the processes that run the campaign's own copy of the worker.
func (f *pipes) workers(c *cluster) (pids []int) {
	own, err := os.Stat(c.worker)
	if err != nil {
		return nil
	}
	list, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range list {
		if info, err := os.Stat(exe); err == nil && os.SameFile(info, own) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(exe)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// sleep stops nodes, at such moments, until others have taken their work, and wakes them.
func (f *pipes) sleep(ctx context.Context, c *cluster) error {
	for i := range f.kills {
		f.give((i + 1) * f.all() / f.kills)
		f.meet(ctx, 1+i%4)
		if err := c.nodes[i%len(c.nodes)].nap(ctx, func() error { return nil }); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// meet waits for the moment to kill, and at most six seconds.
func (f *pipes) meet(ctx context.Context, what int) {
	if what == metNothing {
		f.met[what].Add(1)
		pause(ctx, time.Duration(rand.IntN(1500))*time.Millisecond)
		return
	}
	pattern := map[int]string{
		metWorker: filepath.Join(f.dir, piping.Scratch, "*", "*", "*", "out", "*"),
		metStaged: filepath.Join(f.dir, piping.Targets, "*", ".caos-*"),
		metOld:    filepath.Join(f.dir, piping.Targets, "*", ".caos-*", "old"),
		metUndone: filepath.Join(f.dir, piping.Targets, "*", ".caos-*"),
	}[what]
	before := map[string]bool{}
	for start := time.Now(); time.Since(start) < 6*time.Second && ctx.Err() == nil; pause(ctx, time.Millisecond) {
		list, _ := filepath.Glob(pattern)
		now := map[string]bool{}
		for _, name := range list {
			now[name] = true
		}
		hit := what != metUndone && len(list) > 0
		for name := range before {
			hit = hit || what == metUndone && !now[name]
		}
		if before = now; hit {
			f.met[what].Add(1)
			pause(ctx, time.Duration(rand.IntN(12))*time.Millisecond)
			return
		}
	}
}

// quiet waits for what runs starts besides executions, and looks at what the nodes hold.
func (f *pipes) quiet(ctx context.Context, c *cluster, t *traffic, v *verdict) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute) // a firing whose answer was lost is taken over after a minute
	defer cancel()
	still := func(path string) bool {
		r, err := t.k.ask(http.MethodGet, path, "")
		return err == nil && r.status == http.StatusOK && strings.TrimSpace(string(r.body)) == "0"
	}
	for ctx.Err() == nil && !(still("/restless") && still("/pending") && still("/restless")) {
		pause(ctx, 100*time.Millisecond)
	}
	if ctx.Err() != nil {
		v.problem("triggers and events do not come to rest")
	}
	idle, done := context.WithTimeout(ctx, 40*time.Second) // what an execution left that went elsewhere goes back after thirty
	defer done()
	for _, n := range c.nodes {
		var u struct{ Held, Waiting int64 }
		for {
			r, err := t.k.askNode(n.number, http.MethodGet, "/usage", "")
			if err == nil && json.Unmarshal(r.body, &u) == nil && u.Held == 0 && u.Waiting == 0 {
				break
			}
			if idle.Err() != nil {
				v.problem("node %d holds %d bytes of compute, %d wait", n.number, u.Held, u.Waiting)
				break
			}
			pause(idle, 200*time.Millisecond)
		}
	}
	for start := time.Now(); time.Since(start) < 5*time.Second && len(f.scratch()) > 0; {
		pause(ctx, 200*time.Millisecond)
	}
	for _, name := range f.scratch() {
		v.Strange++
		v.problem("%s is left of the scratch folders while the nodes run", name)
	}
}

// scratch lists the folders that executions have.
func (f *pipes) scratch() []string {
	list, _ := filepath.Glob(filepath.Join(f.dir, piping.Scratch, "*", "*"))
	return list
}
