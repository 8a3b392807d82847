package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/worker/workertest"
)

// mutation is one mistake in the product, and the campaign that has to find it.
type mutation struct {
	name     string
	edits    []edit
	campaign campaign
	found    func(v *verdict) bool // whether the campaign says what is wrong
}

// edit replaces a text that stands exactly once in a file below the product's root.
type edit struct{ file, old, new string }

// slowDisk makes COMMIT take longer, so that less luck is needed to kill a node during it.
const slowDisk = "	time.Sleep(5 * time.Millisecond) // a slower disk\n"

const commits = "	if err := b.w.c.commit(); err != nil {\n"

// voteLater keeps a vote some time after its decision.
const voteLater = `func (r *Readiness) later(v *Review, d *Decision, b Ballot, conditions string) {
	go func() {
		time.Sleep(300 * time.Millisecond)
		_ = r.db.Update(context.Background(), func(tx *db.Tx) error {
			tx.Exec("INSERT INTO review_votes (prr_id, person, seq, decision_id, outcome, comment, conditions) VALUES ($1, $2, $3, $4, $5, $6, $7)",
				v.PRRID, d.Person, len(v.Votes)+1, d.DecisionID, d.Outcome, b.Comment, conditions)
			return nil
		})
	}()
}

`

// The steps of DATA.PIPELINE that check, and those that publish.
const (
	pipeChecks = "			engine.Call(4, \"Perform data quality checks\", \"check-quality\", h.checkQuality).Retry(pipelineRetry()),\n" +
		"			engine.InTx(4, \"Perform data quality checks\", \"judge-quality\", h.judgeQuality),\n"
	pipePublishes = "			engine.Call(3, etl, \"stage-targets\", h.stageTargets).Before(h.beginStaging).Retry(pipelineRetry()),\n" +
		"			engine.Each(\"targets\", (*pipelineState).staged, engine.Call(3, etl, \"commit-target\", h.commitTarget).Before(h.mayCommit).Retry(pipelineRetry())),\n"
)

func mutations() []mutation {
	killing := campaign{dialect: db.SQLite, nodes: 1, least: 100, drain: 5 * time.Second, harm: kills(15, 200*time.Millisecond)}
	sleeping := campaign{dialect: db.PostgreSQL, nodes: 2, least: 100, drain: 5 * time.Second, think: 20 * time.Millisecond, harm: sleeps(2)}
	freezing := func() campaign {
		f := &freezes{versions: 16, size: 4 << 20, kills: 16}
		return campaign{dialect: db.SQLite, nodes: 1, least: f.versions, drain: 20 * time.Second, harm: f.harm, special: f}
	}
	reviewing := func(kills int) campaign {
		f := &reviews{versions: 16, kills: kills}
		return campaign{dialect: db.SQLite, nodes: 1, least: f.versions, drain: 10 * time.Second, harm: f.harm, special: f}
	}
	late := func() campaign {
		f := &reviews{versions: 12, kills: 2}
		return campaign{dialect: db.PostgreSQL, nodes: 2, least: f.versions, drain: 20 * time.Second, harm: f.sleep, special: f}
	}
	piping := func(kills int) campaign {
		f := &pipes{pipelines: 3, rounds: 8, kills: kills}
		return campaign{dialect: db.SQLite, nodes: 1, least: f.all(), drain: 40 * time.Second, harm: f.harm, special: f}
	}
	sleepy := func() campaign {
		f := &pipes{pipelines: 3, rounds: 8, kills: 8}
		return campaign{dialect: db.PostgreSQL, nodes: 2, least: f.all(), drain: 40 * time.Second, harm: f.harm, special: f}
	}
	doubting := campaign{dialect: db.SQLite, nodes: 1, least: 300, doubt: .2, drain: 5 * time.Second, harm: lasts(2 * time.Second)}
	return []mutation{
		{"a commit does not compare the version", []edit{{"internal/engine/row.go",
			"WHERE execution_id=$19 AND version=$20", "WHERE execution_id=$19 AND version>$20-1000000"}},
			sleeping, func(v *verdict) bool { return v.Doubled > 0 }},
		{"each try of a commit mints another record id", []edit{{"internal/engine/turn.go",
			"	for try := 1; ; try++ {\n		var out *row\n", "	for try := 1; ; try++ {\n		recordID = e.stamps.ID(\"AUDIT-\")\n		var out *row\n"}},
			doubting, func(v *verdict) bool { return says(v, "was refused") }},
		{"callers are told before COMMIT", []edit{{"internal/db/batch.go", commits,
			"	for i := range b.parts {\n		if p := &b.parts[i]; p.err == nil {\n			p.r.answer <- nil\n			p.r.answer = make(chan error, 1)\n		}\n	}\n" + slowDisk + commits}},
			killing, func(v *verdict) bool { return v.Lost > 0 }},
		{"the client's key is not kept", []edit{{"internal/engine/submit.go",
			"	if sub.IdemKey == \"\" {\n", "	{\n"}},
			killing, func(v *verdict) bool { return v.Lost > 0 }},
		{"nothing is recovered at the start", []edit{{"internal/engine/engine.go",
			"	for _, l := range all {\n		known :=", "	for _, l := range all[:0] {\n		known :="}},
			killing, func(v *verdict) bool { return v.Unfinished > 0 }},
		{"the key of a Call changes with the attempt", []edit{{"internal/engine/plan.go",
			"	k := r.ExecutionID + \"/\" + r.Step\n", "	k := r.ExecutionID + \"/\" + r.Step\n	if r.Attempt > 1 {\n		k += \"-again\"\n	}\n"}},
			killing, func(v *verdict) bool { return v.Strange > 0 }},
		{"effects are committed without the state now and then", []edit{{"internal/engine/turn.go",
			"	return t.save()\n", "	if t.prev != nil && t.now.UnixMicro()%50 == 0 {\n		return nil\n	}\n	return t.save()\n"}},
			killing, func(v *verdict) bool { return v.Doubled > 0 }},
		{"a change is saved without a record now and then", []edit{{"internal/engine/turn.go",
			"	receipt, err := t.e.log.Append(t.tx, t.recordNow())\n",
			"	if t.prev != nil && t.now.UnixMicro()%50 == 0 {\n		t.e = &Engine{db: t.e.db, log: unrecorded{}, queue: t.e.queue, stamps: t.e.stamps, now: t.e.now, hub: t.e.hub}\n	}\n	receipt, err := t.e.log.Append(t.tx, t.recordNow())\n"},
			{"internal/engine/doc.go", "package engine\n", "package engine\n\nimport (\n	\"caos/internal/auditlog\"\n	\"caos/internal/db\"\n)\n\n" +
				"type unrecorded struct{}\n\nfunc (unrecorded) Append(*db.Tx, auditlog.Record) (auditlog.Receipt, error) { return auditlog.Receipt{}, nil }\n"}},
			killing, func(v *verdict) bool { return says(v, "times and has") }},
		{"checkpoints are signed before COMMIT", []edit{
			{"internal/auditlog/checkpoint.go",
				"	h, err := readHead(ctx, l.db)\n	if err != nil {\n		return nil, err\n	}\n	if l.note != nil",
				"	h, err := readHead(ctx, l.db)\n	if err != nil {\n		return nil, err\n	}\n	l.mu.Lock()\n	if l.next != nil {\n		h = l.next.head\n	}\n	l.mu.Unlock()\n	if l.note != nil"},
			{"internal/db/batch.go", commits, strings.Repeat(slowDisk, 4) + commits}},
			killing, func(v *verdict) bool { return says(v, "checkpoint") }},
		{"a version is frozen although a gate changed meanwhile", []edit{{"internal/hook/model_freeze.go",
			"rejected(freezeVerdicts(facts, q))", "rejected(freezeVerdicts(facts, q)[:0])"}},
			freezing(), func(v *verdict) bool { return says(v, "after a defect of it had been registered") }},
		{"a baseline has its name before its files", []edit{{"internal/baseline/write.go",
			"	staging := stagingPre + id\n	if err := s.removeTree", "	staging := id\n	if err := s.removeTree"}},
			freezing(), func(v *verdict) bool { return v.Missing > 0 }},
		{"a freeze that fails leaves its baseline", []edit{{"internal/hook/model_freeze.go",
			"	if !s.Begun || s.Frozen {\n", "	if s.BaselineID != \"\" {\n"}},
			freezing(), func(v *verdict) bool { return v.Strange > 0 }},
		{"two freezes may claim one version", []edit{
			{"internal/hook/model_freeze_submit.go", "	case v.Freezing != \"\":\n", "	case v.Freezing == \"nobody\":\n"},
			{"internal/registry/state.go",
				"	if err := v.mayChange(); err != nil {\n		return err\n	}\n	n, err := tx.ExecRows(`UPDATE model_versions SET freezing = $1 WHERE model_id = $2 AND version = $3 AND state = 'REGISTERED' AND freezing = ''`,",
				"	n, err := tx.ExecRows(`UPDATE model_versions SET freezing = $1 WHERE model_id = $2 AND version = $3 AND state = 'REGISTERED'`,"}},
			freezing(), func(v *verdict) bool { return says(v, "the freeze ") }},
		{"a decision is kept without its record now and then", []edit{{"internal/readiness/decision.go",
			"	if err := r.recordDecision(tx, d, act); err != nil {\n", "	if d.RecordID = \"AUDIT-1\"; d.DecidedAt.UnixMicro()%4 == 0 {\n	} else if err := r.recordDecision(tx, d, act); err != nil {\n"}},
			reviewing(4), func(v *verdict) bool { return says(v, "has no record that fits") }},
		{"a vote is taken in a commit of its own now and then", []edit{
			{"internal/readiness/vote.go", "	n, err := tx.ExecRows(`INSERT INTO review_votes",
				"	if d.DecidedAt.UnixMicro()%3 == 0 {\n		r.later(v, d, b, string(conditions))\n		return &Vote{Decision: *d}, nil\n	}\n	n, err := tx.ExecRows(`INSERT INTO review_votes"},
			{"internal/readiness/readiness.go", "// now is the moment of a change", voteLater + "// now is the moment of a change"}},
			reviewing(16), func(v *verdict) bool { return says(v, "is no vote") }},
		{"the tally ignores the Chief Engineer", []edit{{"internal/verify/decisionpolicy.go",
			"		if !roles[r] {\n", "		if !roles[r] && r != RoleChiefEngineer {\n"}},
			reviewing(4), func(v *verdict) bool { return says(v, "and nothing was decided") }},
		{"a release is approved twice in one role", []edit{{"internal/readiness/authorization_decide.go",
			"		case d.Role == role:\n", "		case d.Role == role && d.Person == \"\":\n"}},
			reviewing(4), func(v *verdict) bool { return says(v, "times as qa-lead") }},
		{"a late node registers the report again", []edit{
			{"internal/engine/row.go", "WHERE execution_id=$19 AND version=$20", "WHERE execution_id=$19 AND version>$20-1000000"},
			{"internal/readiness/review.go", "	if v.Status != ReviewPreparing {\n", "	if v.Status != ReviewPreparing && v.Status != ReviewVoting {\n"},
			{"internal/hook/model_prr_report.go", "	s.Rendered = e\n", "	time.Sleep(time.Second) // a slower printer\n	s.Rendered = e\n"}},
			late(), func(v *verdict) bool { return says(v, "reports of no review") || says(v, "editions of the report") }},
		{"a pipeline publishes before it checks", []edit{
			{"internal/hook/data_pipeline.go",
				pipeChecks + pipePublishes, pipePublishes + pipeChecks},
			{"internal/hook/data_pipeline_publish.go", "err != nil || content != at.Checked {", "err != nil || content == \"\" {"}},
			piping(3), func(v *verdict) bool { return says(v, "whose source is bad") || says(v, "has no carrier") }},
		{"targets are made visible without an intent", []edit{{"internal/hook/data_pipeline_publish.go",
			"	at.Staged = st\n	if err == nil {\n		return nil\n	}\n",
			"	if err == nil {\n		err = h.locations.Commit(ctx, st)\n	}\n	if time.Sleep(200 * time.Millisecond); err == nil { // a slower disk\n		at.Staged = st\n		return nil\n	}\n"}},
			piping(16), func(v *verdict) bool {
				return says(v, "failed on a good source") || says(v, "are not those of version") || says(v, "is left beside")
			}},
		{"a pipeline's turn is not kept", []edit{{"internal/hook/data_pipeline_sources.go",
			"	s.Ahead, err = h.datasets.TakeTurn(tx, s.In.PipelineID, r.ExecutionID)\n", "	_, err = h.datasets.TakeTurn(tx, s.In.PipelineID, r.ExecutionID)\n"}},
			piping(3), func(v *verdict) bool { return says(v, "overlapped") }},
		{"what is visible is not taken back", []edit{{"internal/hook/data_pipeline_publish.go",
			"		if t.Staging || t.Staged != nil {\n", "		if (t.Staging || t.Staged != nil) && !t.Committed {\n"}},
			piping(3), func(v *verdict) bool {
				return says(v, "are not those of version") || says(v, "is left beside") || says(v, "no version was ever published")
			}},
		{"a node's scratch is not looked through", []edit{{"internal/hook/data_scratch.go",
			"		if !over {\n", "		if !over || removed == 0 {\n"}},
			sleepy(), func(v *verdict) bool { return says(v, "is left of the scratch folders") }},
	}
}

// says reports whether a problem of the campaign has the words.
func says(v *verdict, words string) bool {
	return strings.Contains(strings.Join(v.Problems, "\n"), words)
}

// overlay makes the file that tells the compiler to read changed copies.
func (m mutation) overlay(t *testing.T, dir string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root, filepath.FromSlash(e.file))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			t.Fatalf("%s: the text to change stands there %d times:\n%s", e.file, n, e.old)
		}
		replace[path] = filepath.Join(dir, filepath.Base(e.file))
		if err := os.WriteFile(replace[path], []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSeeded shows that each check of the campaigns can fail: on builds with one mistake
// each, the campaign has to say what is broken.
func TestSeeded(t *testing.T) {
	wanted(t, "seeded")
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			program, err := buildNode(dir, m.overlay(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			c := m.campaign
			if f, ok := c.special.(*pipes); ok {
				f.worker = workertest.TestProgram(t)
			}
			c.name = "seeded: " + m.name
			v := c.run(t, program)
			if !m.found(v) {
				t.Errorf("not found; the campaign says: %+v", *v)
			}
		})
	}
}
