package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caos"
	"caos/bench/faults/freezing"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/registry"
	"caos/internal/sign"
	"caos/internal/verify"
)

// frozenCount is what a campaign of freezes counts besides.
type frozenCount struct {
	Versions, Frozen int
	Refused          int // second requests
	Stopped          int // freezes that a defect ended
	Again            int // versions that were frozen at the second try
	Cancelled        int // freezes, before the version was frozen or after
	Staged, Unnamed  int // versions that a kill met while they were being written, and between name and commit
	NoPassport       int // with a finding that says so
}

func (n frozenCount) String() string {
	if n.Versions == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d; kills met the writing of %d and %d between name and commit; a defect stopped %d, %d frozen again; %d cancelled; %d second requests refused",
		n.Frozen, n.Versions, n.Staged, n.Unnamed, n.Stopped, n.Again, n.Cancelled, n.Refused)
}

// look notes what a kill has left; with two nodes, also what the other one is at.
func (f *freezes) look(ctx context.Context, c *cluster) error {
	names := f.names()
	if len(names) == 0 {
		return nil
	}
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		return err
	}
	defer d.Close()
	rows, err := column(ctx, d, `SELECT baseline_id FROM baselines`)
	if err != nil {
		return err
	}
	for name := range names {
		switch {
		case strings.HasPrefix(name, "."):
			f.staged[name] = true
		case !slices.Contains(rows, name):
			f.unnamed[name] = true
		}
	}
	return nil
}

// column reads a query's one column.
func column(ctx context.Context, d *db.DB, sql string, args ...any) (out []string, err error) {
	rows, err := d.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// check looks at what a campaign of freezes left, after all nodes have ended.
func (f *freezes) check(ctx context.Context, c *cluster, t *traffic, w *witness, v *verdict) error {
	v.Freezes = frozenCount{Versions: f.versions, Refused: int(f.refused.Load()), Again: int(f.mended.Load()), Staged: len(f.staged), Unnamed: len(f.unnamed)}
	names := f.names() // opening the store clears up
	records, err := os.ReadDir(filepath.Join(f.folder, ".records"))
	if err != nil {
		return err
	}
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		return err
	}
	err = checkLog(ctx, c, d, w, v)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	desk, err := freezing.OpenAlone(ctx, c.url, c.dir)
	if err != nil {
		return err
	}
	defer desk.Close()
	x := &inquest{Desk: desk, t: t, v: v, names: names, beside: map[string]bool{}, trust: filepath.Join(c.dir, "trust.json"), tar: filepath.Join(c.dir, "baseline.tar")}
	for _, r := range records {
		x.beside[strings.TrimSuffix(r.Name(), ".json")] = true
	}
	if err := x.all(ctx, f.versions); err != nil {
		return err
	}
	v.Problems = append(v.Problems, t.problems...)
	return nil
}

// inquest compares versions, their executions, the registry, the folders and the log.
type inquest struct {
	*freezing.Desk
	t          *traffic
	v          *verdict
	trust, tar string          // files
	key        sign.Signer     // that signs baselines
	names      map[string]bool // of the folders of baselines and of what is staged
	beside     map[string]bool // ids of which there is a record beside
	byVersion  map[string][]frozenRun
	runs       map[string]frozenRun // by id
}

// frozenRun is an execution of one of the two hooks.
type frozenRun struct {
	id, hook, status, idem, parent, input, findings, steps string
}

func (r frozenRun) about() string {
	var in struct {
		ModelID      string `json:"model_id"`
		ModelVersion string `json:"model_version"`
	}
	_ = json.Unmarshal([]byte(r.input), &in)
	return in.ModelID + "@" + in.ModelVersion
}

func (x *inquest) all(ctx context.Context, versions int) (err error) {
	if x.key, err = x.Keys.Signer(sign.Baseline); err != nil {
		return err
	}
	trust, err := x.Log.Trust(ctx)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(trust)
	if err != nil {
		return err
	}
	if err := os.WriteFile(x.trust, raw, 0o600); err != nil {
		return err
	}
	if err := x.readRuns(ctx); err != nil {
		return err
	}
	x.checkRuns()
	for i := range versions {
		if err := x.version(ctx, freezing.Version(i), trust); err != nil {
			return err
		}
	}
	for name := range x.names { // each version has taken its own out
		x.v.Strange++
		x.v.problem("%s is left in the folder of baselines", name)
	}
	for id := range x.beside {
		x.v.Strange++
		x.v.problem("a record is left beside %s, which is not there", id)
	}
	return nil
}

func (x *inquest) readRuns(ctx context.Context) error {
	x.byVersion, x.runs = map[string][]frozenRun{}, map[string]frozenRun{}
	rows, err := x.DB.Query(ctx, `SELECT execution_id, hook_id, status, idem_key, COALESCE(parent,''), input, findings, steps FROM executions`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r frozenRun
		if err := rows.Scan(&r.id, &r.hook, &r.status, &r.idem, &r.parent, &r.input, &r.findings, &r.steps); err != nil {
			return err
		}
		x.runs[r.id] = r
		x.byVersion[r.about()] = append(x.byVersion[r.about()], r)
	}
	return rows.Err()
}

// checkRuns holds that all that was acknowledged is there, and nothing else, and has ended.
func (x *inquest) checkRuns() {
	x.v.Acked, x.v.Executions = len(x.t.acks), len(x.runs)
	told := map[string]bool{}
	for key, a := range x.t.acks {
		told[a.id] = true
		if r, ok := x.runs[a.id]; !ok || r.idem != freezing.Requester+"/"+freezing.FreezeHook+"/"+key {
			x.v.Lost++
			x.v.problem("%s was acknowledged as %s, which is not there", key, a.id)
		}
	}
	for _, r := range x.runs {
		switch r.status {
		case "SUCCEEDED":
		case "FAILED", "CANCELLED":
			x.v.Failed++
		default:
			x.v.Unfinished++
			x.v.problem("execution %s of %s is still %s", r.id, r.hook, r.status)
		}
		if r.parent == "" && !told[r.id] {
			x.v.Strange++
			x.v.problem("nobody was told of the execution %s of %s", r.id, r.about())
		}
	}
}

// version looks at one version: it is frozen, with all that belongs to that, or free, with
// nothing.
func (x *inquest) version(ctx context.Context, v freezing.Version, trust verify.Trust) error {
	row, err := x.Registry.Version(ctx, v.Model(), v.Number())
	if err != nil {
		return err
	}
	frozen := row.State == registry.Frozen
	if row.Freezing != "" {
		x.v.problem("%s is %s and claimed by %s", v.Baseline(), row.State, row.Freezing)
	}
	if want := map[bool]registry.State{true: registry.Frozen, false: registry.Registered}[frozen]; row.State != want {
		x.v.problem("%s is %s", v.Baseline(), row.State)
	}
	there, beside := x.names[v.Baseline()], x.beside[v.Baseline()]
	delete(x.names, v.Baseline())
	delete(x.beside, v.Baseline())
	if there != frozen || beside != frozen {
		x.v.Strange++
		owner, _ := x.Baselines.Owner(v.Baseline())
		x.v.problem("%s is %s; that there is a folder is %v, that there is a record beside it %v (by %q); executions: %+v", v.Baseline(), row.State, there, beside, owner, x.byVersion[row.ModelID+"@"+row.Version])
	}
	winner, err := x.outcome(ctx, v, frozen)
	if err != nil {
		return err
	}
	if err := x.once(ctx, v, frozen, winner); err != nil {
		return err
	}
	if err := x.order(ctx, v); err != nil {
		return err
	}
	if !frozen {
		return nil
	}
	x.v.Freezes.Frozen++
	if err := x.bytes(ctx, v, winner); err != nil {
		return err
	}
	return x.passport(ctx, v, winner, trust)
}

// outcome compares a version with the executions that froze it, and returns the one that
// did. One that was cancelled after its version had been frozen is among them.
func (x *inquest) outcome(ctx context.Context, v freezing.Version, frozen bool) (winner frozenRun, err error) {
	won := 0
	froze, err := column(ctx, x.DB, `SELECT execution_id FROM baselines WHERE baseline_id=$1`, v.Baseline())
	if err != nil {
		return winner, err
	}
	for _, r := range x.byVersion[v.Model()+"@"+v.Number()] {
		if r.hook != freezing.FreezeHook {
			continue
		}
		switch {
		case r.status == "CANCELLED" && cancelled(v) && !slices.Contains(froze, r.id):
			x.v.Freezes.Cancelled++
		case r.status == "CANCELLED" && cancelled(v):
			x.v.Freezes.Cancelled++
			fallthrough
		case r.status == "SUCCEEDED":
			won++
			winner = r
		case defective(v) && found(r, "defects"):
			x.v.Freezes.Stopped++
		case defective(v) && found(r, "documents-same"):
			x.v.Freezes.Stopped++ // the list was mended meanwhile
		default:
			x.v.problem("the freeze %s of %s is %s: %s", r.id, v.Baseline(), r.status, r.findings)
		}
	}
	if won > 1 {
		x.v.Doubled += won - 1
	}
	if won != map[bool]int{true: 1}[frozen] {
		x.v.problem("%s was frozen by %d executions; that it is frozen is %v", v.Baseline(), won, frozen)
	}
	if !frozen && (again(v) || !defective(v) && !cancelled(v)) {
		x.v.Missing++
		x.v.problem("%s was not frozen, though nothing stands against it", v.Baseline())
	}
	return winner, nil
}

// found reports whether an execution has a finding by a rule.
func found(r frozenRun, rule string) bool {
	var list []caos.Finding
	_ = json.Unmarshal([]byte(r.findings), &list)
	return slices.ContainsFunc(list, func(f caos.Finding) bool { return f.Rule == rule })
}

// once counts what a freeze leaves: one of each, or nothing.
func (x *inquest) once(ctx context.Context, v freezing.Version, frozen bool, winner frozenRun) error {
	want := 0
	if frozen {
		want = 1
	}
	for _, c := range []struct {
		what, sql string
		args      []any
	}{
		{"rows of the baseline", `SELECT count(*) FROM baselines WHERE model_id=$1 AND version=$2`, []any{v.Model(), v.Number()}},
		{"MODEL_FREEZE records", `SELECT count(*) FROM audit_records r JOIN audit_resources x ON x.seq=r.seq WHERE r.type='MODEL_FREEZE' AND x.resource=$1`, []any{v.Baseline()}},
		{"events of the freeze", `SELECT count(*) FROM events WHERE type='caos.model.frozen' AND subject=$1 AND envelope LIKE $2`, []any{v.Model(), "%\"" + v.Baseline() + "\"%"}},
	} {
		var n int
		if err := x.DB.QueryRow(ctx, c.sql, c.args...).Scan(&n); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		x.count(v, c.what, n, want)
	}
	passports := want
	if found(winner, "passport-not-made") {
		passports = 0
		x.v.Freezes.NoPassport++
	}
	for _, c := range []struct {
		what, sql string
		args      []any
		want      int
	}{
		{"industrialisation records", `SELECT count(*) FROM industrialisations WHERE model_id=$1 AND version=$2`, []any{v.Model(), v.Number()}, want},
		{"notices", `SELECT count(*) FROM notices WHERE link=$1`, []any{"/v1/baselines/" + v.Baseline()}, want},
		{"passports", `SELECT count(*) FROM passports WHERE model_id=$1 AND version=$2`, []any{v.Model(), v.Number()}, passports},
		{"claims of passports", `SELECT count(*) FROM passport_claims WHERE model_id=$1 AND version=$2`, []any{v.Model(), v.Number()}, passports},
	} {
		var n int
		if err := x.DB.QueryRow(ctx, c.sql, c.args...).Scan(&n); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		if n > 0 || winner.status != "CANCELLED" { // what comes after the freeze may have been cancelled
			x.count(v, c.what, n, c.want)
		}
	}
	return nil
}

func (x *inquest) count(v freezing.Version, what string, n, want int) {
	switch {
	case n > want:
		x.v.Doubled += n - want
	case n < want:
		x.v.Missing += want - n
	default:
		return
	}
	x.v.problem("%s has %d %s, not %d", v.Baseline(), n, what, want)
}

// order holds that no version was frozen after a defect of it was registered and before
// that was closed. The log has the order of the commits.
func (x *inquest) order(ctx context.Context, v freezing.Version) error {
	types, err := column(ctx, x.DB, `SELECT r.type FROM audit_records r JOIN audit_resources x ON x.seq=r.seq
 WHERE x.resource=$1 AND r.type IN ('DATA','MODEL_FREEZE') ORDER BY r.seq`, v.DefectList())
	if err != nil {
		return err
	}
	lists := 0
	for _, typ := range types {
		switch {
		case typ != "MODEL_FREEZE":
			lists++
		case lists == 2:
			x.v.problem("%s was frozen after a defect of it had been registered", v.Baseline())
		}
	}
	if want := 1; lists < want || defective(v) && lists < 2 {
		x.v.Missing++
		x.v.problem("%s has %d lists of defects in the log", v.Baseline(), lists)
	}
	return nil
}

// bytes reads a baseline again, and once more from its export, as its recipient does.
func (x *inquest) bytes(ctx context.Context, v freezing.Version, winner frozenRun) error {
	b, err := x.Registry.Baseline(ctx, v.Baseline())
	if err != nil {
		return err
	}
	problems, err := x.Baselines.Verify(ctx, b.BaselineID, x.key.Public(), nil)
	if err != nil {
		return err
	}
	for _, p := range problems {
		x.v.problem("%s: %s is %s: %s", b.BaselineID, p.Path, p.Kind, p.Message)
	}
	owner, err := x.Baselines.Owner(b.BaselineID)
	if err != nil || owner != winner.id || b.ExecutionID != winner.id {
		x.v.problem("%s was written by %q and is recorded of %s; frozen by %s (%v)", b.BaselineID, owner, b.ExecutionID, winner.id, err)
	}
	bundle, err := x.Baselines.Bundle(b.BaselineID)
	if sum := sha256.Sum256(bundle); err != nil || "SHA256:"+hex.EncodeToString(sum[:]) != b.BundleDigest {
		x.v.problem("the bundle of %s is not the recorded one (%v)", b.BaselineID, err)
	}
	var said bytes.Buffer
	if err := export(ctx, x.Baselines, b.BaselineID, x.tar); err != nil {
		x.v.problem("export of %s: %v", b.BaselineID, err)
	} else if code := verify.Main([]string{"--trust", x.trust, x.tar}, &said, &said, false); code != verify.ExitOK {
		x.v.problem("the export of %s does not verify: %s", b.BaselineID, said.String())
	}
	return nil
}

func export(ctx context.Context, s *baseline.Store, id, file string) error {
	w, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(s.Export(ctx, id, w), w.Close())
}

// passport checks the passport of a frozen version against the log's trust file.
func (x *inquest) passport(ctx context.Context, v freezing.Version, winner frozenRun, trust verify.Trust) error {
	if found(winner, "passport-not-made") {
		return nil
	}
	list, _, err := x.Passports.List(ctx, dpp.Filter{ModelID: v.Model()}, "")
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Version != v.Number() {
			continue
		}
		raw, err := x.Passports.Credential(p)
		if err != nil {
			x.v.problem("%s: %v", p.PassportID, err)
			continue
		}
		if _, err := verify.CheckCredential(raw, trust); err != nil {
			x.v.problem("%s: %v", p.PassportID, err)
		}
		if p.Event != dpp.Freeze || p.BaselineID != v.Baseline() || x.runs[p.ExecutionID].parent != winner.id {
			x.v.problem("%s is of %s of %s and made by %s, whose parent is not %s", p.PassportID, p.Event, p.BaselineID, p.ExecutionID, winner.id)
		}
	}
	return nil
}
