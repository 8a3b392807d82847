package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caos/internal/db"
)

// mutation is one mistake in the product, and the campaign that has to find it.
type mutation struct {
	name     string
	file     string // below the product's root
	old, new string // old stands there exactly once
	campaign campaign
	finds    string // part of the problem that is reported
}

func mutations() []mutation {
	killing := campaign{dialect: db.SQLite, nodes: 1, least: 100, drain: 5 * time.Second, harm: kills(15, 200*time.Millisecond)}
	sleeping := campaign{dialect: db.PostgreSQL, nodes: 2, least: 100, drain: 5 * time.Second, think: 20 * time.Millisecond, harm: sleeps(2)}
	doubting := campaign{dialect: db.SQLite, nodes: 1, least: 300, doubt: .2, drain: 5 * time.Second, harm: lasts(2 * time.Second)}
	return []mutation{
		{name: "a commit does not compare the version", file: "internal/engine/row.go",
			old: "WHERE execution_id=$19 AND version=$20", new: "WHERE execution_id=$19 AND version>$20-1000000",
			campaign: sleeping, finds: "happened 2 times"},
		{name: "each try of a commit mints another record id", file: "internal/engine/turn.go",
			old: "	for try := 1; ; try++ {\n		var out *row\n", new: "	for try := 1; ; try++ {\n		recordID = e.stamps.ID(\"AUDIT-\")\n		var out *row\n",
			campaign: doubting, finds: "was refused"},
		{name: "callers are told before COMMIT", file: "internal/db/batch.go",
			old: "	if err := b.w.c.commit(); err != nil {\n",
			new: "	for i := range b.parts {\n		if p := &b.parts[i]; p.err == nil {\n			p.r.answer <- nil\n			p.r.answer = make(chan error, 1)\n		}\n	}\n" +
				"	time.Sleep(3 * time.Millisecond) // a slower disk\n	if err := b.w.c.commit(); err != nil {\n",
			campaign: killing, finds: "is not there"},
		{name: "the client's key is not kept", file: "internal/engine/submit.go",
			old: "	if sub.IdemKey == \"\" {\n", new: "	{\n",
			campaign: killing, finds: "is not there"},
		{name: "nothing is recovered at the start", file: "internal/engine/engine.go",
			old: "e.queue, e.sweep = newLocalQueue(e.now), e.recover", new: "e.queue, e.sweep = newLocalQueue(e.now), func(context.Context) error { return nil }",
			campaign: killing, finds: "is still"},
		{name: "the key of a Call changes with the attempt", file: "internal/engine/plan.go",
			old: "	k := r.ExecutionID + \"/\" + r.Step\n", new: "	k := r.ExecutionID + \"/\" + r.Step\n	if r.Attempt > 1 {\n		k += \"-again\"\n	}\n",
			campaign: killing, finds: "nobody asked for"},
		{name: "an effect is made in a transaction of its own", file: "internal/engine/turn.go",
			old: "	if err := t.forward(); err != nil {\n		return err\n	}\n	return t.save()\n",
			new: "	if err := t.forward(); err != nil {\n		return err\n	}\n	if t.next.Version%7 == 3 {\n		return nil\n	}\n	return t.save()\n",
			campaign: killing, finds: "happened"},
		{name: "checkpoints are signed for what is not committed", file: "internal/auditlog/checkpoint.go",
			old: "	h, err := readHead(ctx, l.db)\n	if err != nil {\n		return nil, err\n	}\n	if l.note != nil",
			new: "	h, err := readHead(ctx, l.db)\n	if err != nil {\n		return nil, err\n	}\n	l.mu.Lock()\n	if l.next != nil {\n		h = l.next.head\n	}\n	l.mu.Unlock()\n	if l.note != nil",
			campaign: killing, finds: "checkpoint"},
	}
}

// overlay makes the file that tells the compiler to read a changed copy.
func (m mutation) overlay(t *testing.T, dir string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, filepath.FromSlash(m.file))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("%s: the text to change stands there %d times:\n%s", m.file, n, m.old)
	}
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
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
			c.name = "seeded: " + m.name
			v := c.run(t, program)
			if all := strings.Join(v.Problems, "\n"); !strings.Contains(all, m.finds) {
				t.Errorf("not found; the campaign says: %s", all)
			} else {
				t.Logf("found:\n%s", all)
			}
		})
	}
}
