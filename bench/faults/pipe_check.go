package faults

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos/bench/faults/piping"
	"caos/internal/dataset"
	"caos/internal/db"
)

// pipedCount is what a campaign of pipelines counts besides.
type pipedCount struct {
	Pipelines, Runs               int
	Success, Partial, Failed      int
	Cancelled                     int // before anything was published
	Stood                         int // cancelled or failed after
	Versions, Validations, Passed int
	Changed                       int      // validations that came after the next publication
	Met                           [5]int64 // kills, by what they met
	Shot                          int64    // workers that were killed
	Crashed                       int      // executions that failed for that: it was not their first attempt
}

func (n pipedCount) String() string {
	return fmt.Sprintf("%d runs of %d pipelines: %d SUCCESS, %d PARTIAL, %d FAILED, %d cancelled, %d after publication; %d versions; %d validations, %d of data that was replaced since; kills met anything %d, worker %d, staged %d, visible %d, cleared %d; %d workers killed, %d executions failed for that",
		n.Runs, n.Pipelines, n.Success, n.Partial, n.Failed, n.Cancelled, n.Stood, n.Versions, n.Validations, n.Changed, n.Met[0], n.Met[1], n.Met[2], n.Met[3], n.Met[4], n.Shot, n.Crashed)
}

// pipeRun is an execution of one of the two hooks, with what else is known of it.
type pipeRun struct {
	id, hook, status, idem, input, findings, output string
	version                                         int64
	waited                                          int // for its turn: whoever was ahead has moved it on without a record

	rules   []string
	records int64
	first   int64 // record of the commit that began to look at sources, 0 if it never did
	last    int64 // record
	run     string
	events  []string // of OpenLineage
}

// pipeVersion is a version of a dataset, or what targets hold.
type pipeVersion struct {
	dataset, digest, execution, contract, uri string
	n                                         int64
	files                                     []dataset.File
}

// autopsy compares executions, runs, versions, targets, lineage and the log.
type autopsy struct {
	*db.DB
	f        *pipes
	t        *traffic
	v        *verdict
	runs     map[string]*pipeRun
	versions map[string][]pipeVersion // by dataset, in their order
	of       map[string][]pipeVersion // by execution
}

// check looks at what a campaign of pipelines left, after all nodes have ended.
func (f *pipes) check(ctx context.Context, c *cluster, t *traffic, w *witness, v *verdict) error {
	v.Pipes = pipedCount{Pipelines: f.pipelines}
	v.Pipes.Shot = f.shot.Load()
	for i := range f.met {
		v.Pipes.Met[i] = f.met[i].Load()
	}
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		return err
	}
	defer d.Close()
	if err := checkLog(ctx, c, d, w, v); err != nil {
		return err
	}
	a := &autopsy{DB: d, f: f, t: t, v: v, runs: map[string]*pipeRun{}, versions: map[string][]pipeVersion{}, of: map[string][]pipeVersion{}}
	for _, step := range []func(context.Context) error{a.read, a.readRecords, a.readVersions, a.checkRuns, a.checkTurns, a.checkTargets, a.checkLineage, a.checkValidations} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	a.leftovers(c)
	v.Problems = append(v.Problems, t.problems...)
	return nil
}

func (a *autopsy) each(ctx context.Context, sql string, fn func(scan func(...any) error) error) error {
	rows, err := a.Query(ctx, sql)
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return rows.Err()
}

func (a *autopsy) read(ctx context.Context) error {
	err := a.each(ctx, `SELECT execution_id, hook_id, status, idem_key, input, findings, COALESCE(output,''), version, CASE WHEN steps LIKE '%await-turn%' THEN 1 ELSE 0 END FROM executions`, func(scan func(...any) error) error {
		r := &pipeRun{}
		if err := scan(&r.id, &r.hook, &r.status, &r.idem, &r.input, &r.findings, &r.output, &r.version, &r.waited); err != nil {
			return err
		}
		var list []struct {
			Rule string `json:"rule"`
		}
		_ = json.Unmarshal([]byte(r.findings), &list)
		for _, f := range list {
			r.rules = append(r.rules, f.Rule)
		}
		a.runs[r.id] = r
		return nil
	})
	if err != nil {
		return err
	}
	err = a.each(ctx, `SELECT execution_id, status FROM pipeline_runs`, func(scan func(...any) error) error {
		var id, status string
		if err := scan(&id, &status); err != nil {
			return err
		}
		if a.runs[id] == nil {
			a.v.problem("the history has a run %s, which is no execution", id)
			return nil
		}
		a.runs[id].run = status
		return nil
	})
	if err != nil {
		return err
	}
	return a.each(ctx, `SELECT execution_id, event_type FROM openlineage_events ORDER BY seq`, func(scan func(...any) error) error {
		var id, typ string
		if err := scan(&id, &typ); err != nil {
			return err
		}
		if a.runs[id] != nil {
			a.runs[id].events = append(a.runs[id].events, typ)
		}
		return nil
	})
}

// readRecords notes where in the log an execution was at work. The log has the order of the
// commits.
func (a *autopsy) readRecords(ctx context.Context) error {
	return a.each(ctx, `SELECT seq, execution, record FROM audit_records WHERE execution <> '' ORDER BY seq`, func(scan func(...any) error) error {
		var seq int64
		var id, text string
		if err := scan(&seq, &id, &text); err != nil {
			return err
		}
		r := a.runs[id]
		if r == nil {
			a.v.problem("the log speaks of the execution %s, which is not there", id)
			return nil
		}
		var rec struct {
			Details struct {
				Effect string `json:"effect"`
				Status string `json:"status"` // of the execution
			} `json:"details"`
		}
		if err := json.Unmarshal([]byte(text), &rec); err != nil {
			return err
		}
		if r.first == 0 && strings.Contains(rec.Details.Effect, "probe-sources") {
			r.first = seq
		}
		if rec.Details.Status != "" { // the others are of what its steps have made
			r.records++
		}
		r.last = seq
		return nil
	})
}

func (a *autopsy) readVersions(ctx context.Context) error {
	return a.each(ctx, `SELECT dataset_id, n, digest, files, contract, execution_id, uri FROM dataset_versions ORDER BY dataset_id, n`, func(scan func(...any) error) error {
		var v pipeVersion
		var files string
		if err := scan(&v.dataset, &v.n, &v.digest, &files, &v.contract, &v.execution, &v.uri); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(files), &v.files); err != nil {
			return err
		}
		list := append(a.versions[v.dataset], v)
		if v.n != int64(len(list)) {
			a.v.problem("%s has a version %d where %d is expected", v.dataset, v.n, len(list))
		}
		a.versions[v.dataset] = list
		a.of[v.execution] = append(a.of[v.execution], v)
		a.v.Pipes.Versions++
		return nil
	})
}

// checkRuns holds that all that was acknowledged is there, and nothing else, and has ended,
// with what belongs to its end and nothing more.
func (a *autopsy) checkRuns(_ context.Context) error {
	byKey := map[string]string{}
	for _, r := range a.runs {
		if r.hook == piping.PipelineHook {
			byKey[r.idem[strings.LastIndex(r.idem, "/")+1:]] = r.id
		}
	}
	for key, ack := range a.t.acks {
		if byKey[key] != ack.id {
			a.v.Lost++
			a.v.problem("%s was acknowledged as %s and is %q", key, ack.id, byKey[key])
		}
	}
	if extra := len(byKey) - int(a.f.asked.Load()); extra > 0 {
		a.v.Doubled += extra
		a.v.problem("%d submissions made %d executions", a.f.asked.Load(), len(byKey))
	}
	a.v.Acked, a.v.Executions = len(a.t.acks), len(a.runs)
	for _, r := range a.runs {
		if r.records != r.version && (r.waited == 0 || r.records > r.version) {
			a.v.problem("execution %s of %s was changed %d times and has %d records", r.id, r.hook, r.version, r.records)
		}
		switch r.status {
		case "SUCCEEDED", "FAILED", "CANCELLED":
		default:
			a.v.Unfinished++
			a.v.problem("execution %s of %s is still %s", r.id, r.hook, r.status)
			continue
		}
		if r.hook == piping.PipelineHook {
			a.checkRun(r)
		}
	}
	return nil
}

func (a *autopsy) checkRun(r *pipeRun) {
	n := &a.v.Pipes
	n.Runs++
	stood := slices.Contains(r.rules, "publication-stands")
	published := len(a.of[r.id])
	var out struct {
		Status  string   `json:"status"`
		Outputs []string `json:"output_datasets"`
	}
	_ = json.Unmarshal([]byte(r.output), &out)
	end := ""
	switch {
	case r.status == "SUCCEEDED":
		end = "COMPLETE"
		if published == 0 || published != len(out.Outputs) {
			a.v.Missing++
			a.v.problem("%s is %s with %d outputs and has %d versions", r.id, out.Status, len(out.Outputs), published)
		}
		if out.Status == "PARTIAL" {
			n.Partial++
		} else {
			n.Success++
		}
		if r.run != out.Status {
			a.v.problem("%s is %s and its run %s", r.id, out.Status, r.run)
		}
	case stood:
		end = "COMPLETE"
		n.Stood++
		if published == 0 {
			a.v.Missing++
			a.v.problem("%s says that its publication stands and has no version", r.id)
		}
	case r.status == "CANCELLED":
		end = "ABORT"
		n.Cancelled++
	default:
		end = "FAIL"
		n.Failed++
		if slices.Contains(r.rules, "worker-crash") {
			n.Crashed++
		}
		a.expected(r)
	}
	if r.status != "SUCCEEDED" && !stood && published > 0 {
		a.v.Strange += published
		a.v.problem("%s is %s and has %d versions", r.id, r.status, published)
	}
	if r.status != "SUCCEEDED" && !stood && r.run != map[string]string{"FAILED": "FAILED", "CANCELLED": "CANCELLED"}[r.status] {
		a.v.problem("%s is %s and its run %q", r.id, r.status, r.run)
	}
	want := []string{"START", end}
	if r.first == 0 { // it never came to its turn
		want = nil
	}
	if !slices.Equal(r.events, want) {
		a.v.problem("%s is %s (%s) and OpenLineage was told %v, not %v", r.id, r.status, out.Status, r.events, want)
	}
	for _, rule := range []string{"target-leftover", "target-not-undone", "report-not-written"} {
		if slices.Contains(r.rules, rule) {
			a.v.problem("%s has the finding %s", r.id, rule)
		}
	}
}

// expected holds that a run failed for a reason that the load has given it.
func (a *autopsy) expected(r *pipeRun) {
	var i, round, n int
	if _, err := fmt.Sscanf(r.idem[strings.Index(r.idem, "pipe-"):], "pipe-%d-%d-%d", &i, &round, &n); err != nil {
		a.v.problem("%s has the key %q", r.id, r.idem)
		return
	}
	_, torn := a.f.torn.Load(round*100 + i + 1)
	if _, bad := a.f.bad.Load(round*100 + i + 1); !bad && !slices.Contains(r.rules, "worker-crash") && !(torn && (slices.Contains(r.rules, "source-changed") || r.first == 0)) {
		a.v.problem("%s failed on a good source: %s", r.id, r.findings)
	}
}

// checkTurns holds that runs of a pipeline never overlapped, and published in that order.
func (a *autopsy) checkTurns(ctx context.Context) error {
	of := map[string][]*pipeRun{}
	for _, r := range a.runs {
		if r.hook == piping.PipelineHook && r.first > 0 {
			var in struct {
				Pipeline string `json:"pipeline_id"`
			}
			_ = json.Unmarshal([]byte(r.input), &in)
			of[in.Pipeline] = append(of[in.Pipeline], r)
		}
	}
	for id, list := range of {
		slices.SortFunc(list, func(a, b *pipeRun) int { return int(a.first - b.first) })
		for i := 1; i < len(list); i++ {
			if before := list[i-1]; before.last >= list[i].first {
				a.v.problem("runs of %s overlapped: %s was at work until record %d, and %s since %d", id, before.id, before.last, list[i].id, list[i].first)
			}
		}
	}
	for id, list := range a.versions {
		for i := 1; i < len(list); i++ {
			if a.runs[list[i-1].execution].first > a.runs[list[i].execution].first {
				a.v.problem("the versions %d and %d of %s are not in the order of their turns", i, i+1, id)
			}
		}
	}
	var turns int
	if err := a.QueryRow(ctx, `SELECT count(*) FROM pipeline_turns`).Scan(&turns); err != nil {
		return err
	}
	if turns > 0 {
		a.v.Strange += turns
		a.v.problem("%d turns are taken after all runs have ended", turns)
	}
	return nil
}

// checkTargets holds that what lies at a target is the last version of its dataset, that all
// of a pipeline is of one generation, and that nothing else lies there.
func (a *autopsy) checkTargets(context.Context) error {
	for i := range a.f.pipelines {
		p := piping.Pipeline(i)
		generations := map[int]bool{}
		for _, name := range piping.TargetNames {
			if err := a.checkTarget(p, name); err != nil {
				return err
			}
		}
		for _, path := range a.f.files(p) {
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			generations[a.f.judge(a.v.problem, path, text)] = true
		}
		if len(generations) > 1 {
			a.v.problem("the targets of %s are of several generations: %v", p.ID(), generations)
		}
		list, err := os.ReadDir(filepath.Dir(p.Target(a.f.dir, "train")))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range list {
			if !slices.Contains([]string{"train.csv", "days", "notes.csv"}, e.Name()) {
				a.v.Strange++
				a.v.problem("%s is left beside the targets of %s", e.Name(), p.ID())
			}
		}
	}
	return nil
}

func (a *autopsy) checkTarget(p piping.Pipeline, name string) error {
	path := p.Target(a.f.dir, name)
	there := map[string]string{} // digest by name
	err := filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(at)
		sum := sha256.Sum256(text)
		rel, _ := filepath.Rel(path, at)
		if rel == "." {
			rel = filepath.Base(at)
		}
		there[rel] = "SHA256:" + hex.EncodeToString(sum[:])
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list := a.versions[p.Dataset(name)]
	if len(list) == 0 {
		if len(there) > 0 {
			a.v.Strange++
			a.v.problem("%s holds data, and no version was ever published", p.Dataset(name))
		}
		return nil
	}
	last := list[len(list)-1]
	var want, have []string
	for _, f := range last.files {
		want = append(want, f.Digest)
		if name == "days" && there[f.Name] != f.Digest {
			a.v.Missing++
			a.v.problem("%s of %s@%d (%s) is not at its target: %v", f.Name, last.dataset, last.n, last.execution, there)
		}
	}
	for _, digest := range there {
		have = append(have, digest)
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		a.v.Missing++
		a.v.problem("the bytes at %s are not those of version %d (%s)", last.dataset, last.n, last.execution)
	}
	return nil
}

// checkLineage holds that each version was written by its run in the lineage, once, and that
// each run that published has read something.
func (a *autopsy) checkLineage(ctx context.Context) error {
	wrote, read := map[string]int{}, map[string]int{}
	err := a.each(ctx, `SELECT to_node, kind, execution_id FROM lineage_edges WHERE kind IN ('READ','WROTE')`, func(scan func(...any) error) error {
		var to, kind, execution string
		if err := scan(&to, &kind, &execution); err != nil {
			return err
		}
		if kind == "READ" {
			read[execution]++
		} else {
			wrote[execution]++
			if !strings.Contains(to, "dataset-version:") {
				a.v.problem("%s wrote %s", execution, to)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, r := range a.runs {
		if r.hook != piping.PipelineHook {
			continue
		}
		versions := len(a.of[id])
		if wrote[id] != versions {
			a.v.problem("%s published %d versions and wrote %d by its lineage", id, versions, wrote[id])
		}
		if n := read[id]; (n > 0) != (versions > 0) || n > 2 {
			a.v.problem("%s published %d versions and read %d sources by its lineage", id, versions, n)
		}
	}
	return nil
}

// checkValidations holds that each published dataset with a contract was validated once, and
// that the verdict is about its bytes.
func (a *autopsy) checkValidations(ctx context.Context) error {
	asked := map[string][]*pipeRun{}
	for _, r := range a.runs {
		if r.hook != piping.ValidateHook {
			continue
		}
		var in struct {
			URI string `json:"dataset_uri"`
		}
		_ = json.Unmarshal([]byte(r.input), &in)
		asked[in.URI] = append(asked[in.URI], r)
		a.v.Pipes.Validations++
	}
	rows := map[string]int{}
	err := a.each(ctx, `SELECT execution_id, dataset_id, n, dataset_digest, status FROM validations`, func(scan func(...any) error) error {
		var execution, id, digest, status string
		var n int64
		if err := scan(&execution, &id, &n, &digest, &status); err != nil {
			return err
		}
		rows[execution]++
		if list := a.versions[id]; int(n) > len(list) || list[n-1].digest != digest {
			a.v.problem("the validation by %s is of %s@%d, which has other bytes", execution, id, n)
		}
		if status != "PASS" {
			a.v.problem("%s@%d was published and its validation says %s", id, n, status)
		}
		a.v.Pipes.Passed++
		return nil
	})
	if err != nil {
		return err
	}
	for id, list := range a.versions {
		for _, v := range list {
			uri := piping.Base + "/v1/datasets/" + id + "/versions/" + strconv.FormatInt(v.n, 10)
			got := asked[uri]
			delete(asked, uri)
			want := 1
			if v.contract == "" {
				want = 0
			}
			switch {
			case len(got) > want:
				a.v.Doubled += len(got) - want
				a.v.problem("%s@%d was validated %d times, not %d", id, v.n, len(got), want)
			case len(got) < want && a.runs[v.execution].status == "SUCCEEDED":
				a.v.Missing++
				a.v.problem("%s@%d was never validated", id, v.n)
			}
			for _, r := range got {
				switch {
				case r.status == "SUCCEEDED" && rows[r.id] == 1:
				case r.status == "FAILED" && rows[r.id] == 0 && a.f.shot.Load() > 0 && slices.Contains(r.rules, "worker-crash"):
					a.v.Pipes.Crashed++
				case r.status == "FAILED" && rows[r.id] == 0 && slices.Contains(r.rules, "dataset-changed") && int(v.n) < len(list):
					a.v.Pipes.Changed++
				default:
					a.v.problem("%s, which validates %s@%d of %d, is %s with %d verdicts: %s", r.id, id, v.n, len(list), r.status, rows[r.id], r.findings)
				}
			}
		}
	}
	err = a.each(ctx, `SELECT trigger_name, occurrence, state, attempt, next_at, error FROM trigger_firings WHERE state='PENDING'`, func(scan func(...any) error) error {
		var name, occurrence, state, why string
		var attempt, next int64
		if err := scan(&name, &occurrence, &state, &attempt, &next, &why); err != nil {
			return err
		}
		a.v.problem("%s fired for %s and is %s at attempt %d, next at %s: %s", name, occurrence, state, attempt, time.UnixMicro(next).UTC().Format(time.RFC3339), why)
		return nil
	})
	if err != nil {
		return err
	}
	for uri := range asked {
		a.v.Strange++
		a.v.problem("%s was validated, which no run published", uri)
	}
	return nil
}

// leftovers holds that nothing is left on the machine.
func (a *autopsy) leftovers(c *cluster) {
	for _, name := range a.f.scratch() {
		a.v.Strange++
		a.v.problem("%s is left", name)
	}
	for _, pid := range a.f.workers(c) {
		a.v.Strange++
		a.v.problem("the worker %d is left", pid)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil && strings.Contains(string(mounts), c.dir) {
		a.v.Strange++
		a.v.problem("a mount of %s is left", c.dir)
	}
	var pids []string
	for _, n := range c.nodes {
		for _, pid := range n.pids {
			pids = append(pids, "caos-run-"+strconv.Itoa(pid)+"-")
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		for _, p := range pids {
			if strings.HasPrefix(e.Name(), p) {
				a.v.Strange++
				a.v.problem("the control group %s is left", path)
			}
		}
		return nil
	})
}
