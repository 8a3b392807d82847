package readiness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

func delay(version string) Subject {
	return Subject{ModelID: fly, Version: version, BaselineID: "BL-DLY-" + version, RootDigest: "SHA256:" + strings.Repeat("0", 64), SafetyLevel: "DAL-D",
		Project: "demo", Classification: "Internal"}
}

func (k *desk) open(s Subject) *Checklist {
	k.t.Helper()
	var c *Checklist
	k.must(func(tx *db.Tx) (err error) {
		c, err = k.OpenChecklist(tx, ShippedTemplate, s, By{Actor: "conny", Execution: "EXEC-1"})
		return err
	})
	return c
}

func (k *desk) refused(what string, err error, kind caos.Kind, field, rule string) {
	k.t.Helper()
	e := caos.AsError(err)
	if err == nil || e.Kind != kind || field != "" && e.Field != field || rule != "" && e.Rule != rule {
		k.t.Errorf("%s: got %v (%+v), want %s of %q by %q", what, err, e, kind, field, rule)
	} else if e.Hint == "" && kind != caos.NotFound && kind != caos.Conflict {
		k.t.Errorf("%s: %v has no remedy", what, err)
	}
}

func person(id string, roles ...string) caos.Principal {
	return caos.Principal{ID: id, Roles: roles, MFA: "totp"}
}

func (k *desk) complete(at ItemRef, done Completion, p caos.Principal) (*Item, error) {
	var i *Item
	err := k.do(func(tx *db.Tx) (err error) {
		i, err = k.CompleteItem(tx, at, done, Proof{}, p)
		return err
	})
	return i, err
}

func (k *desk) update(at ItemRef, c ItemChange, revision int64) (*Item, error) {
	var i *Item
	err := k.do(func(tx *db.Tx) (err error) {
		i, err = k.UpdateItem(tx, at, c, revision, By{Actor: "quinn"})
		return err
	})
	return i, err
}

func TestOpenChecklist(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		ctx := context.Background()
		c := d.open(delay("1.0.0"))
		if c.ChecklistID != "CHK-DLY-1.0.0" || len(c.Items) != 32 || c.TemplateVersion != "1.0" || c.OpenedBy != "conny" || c.ExecutionID != "EXEC-1" {
			t.Fatalf("%+v", c)
		}
		records := d.count(`SELECT COUNT(*) FROM audit_records`)
		if again := d.open(delay("1.0.0")); again.ChecklistID != c.ChecklistID || d.count(`SELECT COUNT(*) FROM audit_records`) != records {
			t.Errorf("opened again: %s", again.ChecklistID)
		}
		read, err := d.Checklist(ctx, c.ChecklistID)
		d.ok(err)
		critical, minor := read.Open()
		if len(critical) != 26 || len(minor) != 6 || read.Items[0].ItemID != "1.1" || read.Items[31].ItemID != "8.4" || read.Subject != c.Subject || read.Items[0].Fact != FactFrozen {
			t.Errorf("%d critical, %d minor, %+v", len(critical), len(minor), read.Subject)
		}
		small, err := ParseTemplate([]byte(smallTemplate()), "")
		d.ok(err)
		small.Project, small.Classification = "demo", "Internal"
		var second, third *Checklist
		d.must(func(tx *db.Tx) error {
			if _, err := d.RegisterTemplate(tx, small, By{Actor: "quinn"}); err != nil {
				return err
			}
			if second, err = d.OpenChecklist(tx, small.TemplateID, delay("1.0.0"), By{Actor: "quinn"}); err != nil {
				return err
			}
			third, err = d.OpenChecklist(tx, ShippedTemplate, delay("1.0.0-2"), By{Actor: "quinn"}) // its plain id is taken
			return err
		})
		if second.ChecklistID != "CHK-DLY-1.0.0-2" || third.ChecklistID != "CHK-DLY-1.0.0-2-2" {
			t.Errorf("%s, %s", second.ChecklistID, third.ChecklistID)
		}
		ids := []string{}
		d.must(func(tx *db.Tx) error {
			ids, err = d.ChecklistsOf(tx, "BL-DLY-1.0.0")
			return err
		})
		if !slices.Equal(ids, []string{"CHK-DLY-1.0.0", "CHK-DLY-1.0.0-2"}) {
			t.Errorf("of the baseline: %v", ids)
		}
		for _, b := range []struct {
			name, template string
			change         func(s *Subject)
			kind           caos.Kind
			field          string
		}{
			{"no template", "95-00-09-01-999", func(*Subject) {}, caos.NotFound, "template_id"},
			{"hostile template", "x'; DROP TABLE checklists --\x00", func(*Subject) {}, caos.NotFound, "template_id"},
			{"of another project", small.TemplateID, func(s *Subject) { s.Project = "other" }, caos.NotFound, "template_id"},
			{"less classified than the template", small.TemplateID, func(s *Subject) { s.Classification = "Public" }, caos.NotFound, "template_id"},
			{"model", ShippedTemplate, func(s *Subject) { s.ModelID = "DLY" }, caos.Invalid, "model_id"},
			{"version", ShippedTemplate, func(s *Subject) { s.Version = "one" }, caos.Invalid, "model_version"},
			{"no baseline", ShippedTemplate, func(s *Subject) { s.BaselineID = "" }, caos.Invalid, "baseline_id"},
			{"classification", ShippedTemplate, func(s *Subject) { s.Classification = "Secret" }, caos.Invalid, "classification"},
		} {
			s := delay("2.0.0")
			b.change(&s)
			err := d.do(func(tx *db.Tx) error {
				_, err := d.OpenChecklist(tx, b.template, s, By{Actor: "quinn"})
				return err
			})
			d.refused(b.name, err, b.kind, b.field, "")
		}
		if n := d.count(`SELECT COUNT(*) FROM checklists`); n != 3 {
			t.Errorf("%d checklists: a refusal left one", n)
		}
		for _, id := range []string{"CHK-NO", "", "\x00", "CHK-DLY-1.0.0'"} {
			if _, err := d.Checklist(ctx, id); caos.KindOf(err) != caos.NotFound {
				t.Errorf("%q: %v", id, err)
			}
		}
		list, next, err := d.Checklists(ctx, ChecklistFilter{ModelID: fly, Limit: 2}, "")
		d.ok(err)
		rest, end, err := d.Checklists(ctx, ChecklistFilter{ModelID: fly, Limit: 2}, next)
		d.ok(err)
		if len(list) != 2 || len(rest) != 1 || end != "" || list[0].ChecklistID != third.ChecklistID || rest[0].ChecklistID != c.ChecklistID {
			t.Errorf("lists: %d, %d, %q", len(list), len(rest), end)
		}
		if none, _, err := d.Checklists(ctx, ChecklistFilter{Project: "other"}, ""); err != nil || len(none) != 0 {
			t.Errorf("%v %v", none, err)
		}
	})
}

// The largest checklist opens within the time that one write may take.
func TestLargestChecklist(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		tpl := Template{TemplateID: "95-00-09-01-901", Version: "1", Title: "Large", Classification: "Internal"}
		for g := range 5 {
			group := Group{ID: fmt.Sprintf("G%d", g), Title: "Group"}
			for i := range 100 {
				group.Items = append(group.Items, TemplateItem{ItemID: fmt.Sprintf("%d.%d", g, i), Title: "Title", Question: strings.Repeat("q", 300), Criticality: CriticalItem})
			}
			tpl.Groups = append(tpl.Groups, group)
		}
		var c *Checklist
		d.must(func(tx *db.Tx) error {
			_, err := d.RegisterTemplate(tx, tpl, By{Actor: "quinn"})
			return err
		})
		begun := time.Now()
		d.must(func(tx *db.Tx) (err error) {
			c, err = d.OpenChecklist(tx, tpl.TemplateID, delay("1.0.0"), By{Actor: "quinn"})
			return err
		})
		t.Logf("500 items in %s", time.Since(begun))
		if len(c.Items) != 500 || d.count(`SELECT COUNT(*) FROM row_history`) != 500 {
			t.Errorf("%d items", len(c.Items))
		}
	})
}

func at(item string) ItemRef { return ItemRef{"CHK-DLY-1.0.0", item} }

func TestUpdateItem(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		d.open(delay("1.0.0"))
		sam, due, note, going := "sam", "2026-12-01", "First run on Monday.\nThen again.", ItemInProgress
		i, err := d.update(at("2.1"), ItemChange{Owner: &sam, DueOn: &due, Note: &note, Status: &going}, 1)
		d.ok(err)
		if i.Owner != sam || i.DueOn != due || i.Note != note || i.Status != going || i.Revision != 2 || !slices.Equal(i.Involved, []string{"sam"}) {
			t.Errorf("%+v", i)
		}
		if again, err := d.update(at("2.1"), ItemChange{Owner: &sam, DueOn: &due}, 2); err != nil || again.Revision != 2 {
			t.Errorf("nothing changed: %+v %v", again, err)
		}
		nobody := ""
		if i, err = d.update(at("2.1"), ItemChange{Owner: &nobody, DueOn: &nobody}, 0); err != nil || i.Owner != "" || i.DueOn != "" || !slices.Equal(i.Involved, []string{"sam"}) {
			t.Errorf("given back: %+v %v", i, err)
		}
		s := func(v string) *string { return &v }
		st := func(v ItemStatus) *ItemStatus { return &v }
		for _, c := range []struct {
			name     string
			at       ItemRef
			change   ItemChange
			revision int64
			kind     caos.Kind
			field    string
		}{
			{"stale", at("2.1"), ItemChange{Note: s("x")}, 2, caos.Conflict, "revision"},
			{"no checklist", ItemRef{"CHK-X", "2.1"}, ItemChange{}, 0, caos.NotFound, "checklist_id"},
			{"no item", at("9.9"), ItemChange{}, 0, caos.NotFound, "item_id"},
			{"nobody we know", at("2.1"), ItemChange{Owner: s("mallory")}, 0, caos.Invalid, "owner"},
			{"may know of nothing", at("2.1"), ItemChange{Owner: s("eve")}, 0, caos.Invalid, "owner"},
			{"no user id", at("2.1"), ItemChange{Owner: s("Robert'); --")}, 0, caos.Invalid, "owner"},
			{"past", at("2.1"), ItemChange{DueOn: s("2026-11-22")}, 0, caos.Invalid, "due_on"},
			{"no day", at("2.1"), ItemChange{DueOn: s("2026-02-30")}, 0, caos.Invalid, "due_on"},
			{"another form", at("2.1"), ItemChange{DueOn: s("30.11.2026")}, 0, caos.Invalid, "due_on"},
			{"far away", at("2.1"), ItemChange{DueOn: s("9999-01-01")}, 0, caos.Invalid, "due_on"},
			{"complete", at("2.1"), ItemChange{Status: st(ItemComplete)}, 0, caos.Invalid, "status"},
			{"not applicable", at("2.1"), ItemChange{Status: st(ItemNotApplicable)}, 0, caos.Invalid, "status"},
			{"no status", at("2.1"), ItemChange{Status: st("DONE")}, 0, caos.Invalid, "status"},
			{"long note", at("2.1"), ItemChange{Note: s(strings.Repeat("x", 4001))}, 0, caos.TooLarge, "note"},
			{"no text", at("2.1"), ItemChange{Note: s("a\x00b")}, 0, caos.Invalid, "note"},
		} {
			_, err := d.update(c.at, c.change, c.revision)
			d.refused(c.name, err, c.kind, c.field, "")
		}
		if _, err := d.update(at("2.1"), ItemChange{DueOn: s("2026-11-23")}, 0); err != nil {
			t.Errorf("due today: %v", err)
		}
	})
}

func TestCompleteItem(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		d.open(delay("1.0.0"))
		sam, quinn, vera := person("sam", "safety-engineer"), person("quinn", "qa-lead"), person("vera", "vv-lead")
		i, err := d.complete(at("2.1"), Completion{Evidence: []string{"EVID-1", "EVID-2"}}, vera)
		d.ok(err)
		if i.Status != ItemComplete || !slices.Equal(i.Evidence, []string{"EVID-1", "EVID-2"}) || i.CompletedBy != "vera" || i.CompletedAt == nil || i.DecisionID != "" {
			t.Errorf("%+v", i)
		}
		if i, err = d.complete(at("2.2"), Completion{Statement: "Ran the whole set twice."}, vera); err != nil || i.DecisionID == "" || i.Status != ItemComplete {
			t.Fatalf("%+v %v", i, err)
		}
		v, err := d.DecisionByID(context.Background(), i.DecisionID)
		d.ok(err)
		if v.What != "complete:CHK-DLY-1.0.0/2.2" || v.Outcome != "COMPLETE" || v.Person != "vera" || v.ModelID != fly || !strings.Contains(v.Meaning, "Ran the whole set twice.") || !strings.Contains(v.Meaning, "Robust") {
			t.Errorf("%+v", v)
		}
		owner := "quinn"
		_, err = d.update(at("6.4"), ItemChange{Owner: &owner}, 0)
		d.ok(err)
		nobody := ""
		_, err = d.update(at("6.4"), ItemChange{Owner: &nobody}, 0)
		d.ok(err)
		d.people.parties["sal"], d.people.roles["sal"] = []string{"quinn"}, []string{"safety-engineer"}
		d.hands.Store(&[]Hand{{Person: "olga", Part: "OWNER", Source: fly}})
		why := "It runs on no hardware of ours."
		service := caos.Principal{ID: "sam", Roles: []string{"qa-lead", "service"}, MFA: "totp"}
		behalf := caos.Principal{ID: "sam", Roles: []string{"safety-engineer"}, MFA: "totp", EnabledBy: "olga"}
		many := make([]string, 101)
		for n := range many {
			many[n] = fmt.Sprintf("EVID-%d", n)
		}
		for _, c := range []struct {
			name        string
			at          ItemRef
			done        Completion
			proof       Proof
			p           caos.Principal
			kind        caos.Kind
			field, rule string
		}{
			{"nothing", at("1.1"), Completion{}, Proof{}, vera, caos.Invalid, "evidence", RuleEvidenceRequired},
			{"spaces", at("1.1"), Completion{Statement: "  "}, Proof{}, vera, caos.Invalid, "evidence", RuleEvidenceRequired},
			{"unknown evidence", at("1.1"), Completion{Evidence: []string{"EVID-1", "DOC-X"}}, Proof{}, vera, caos.Invalid, "evidence", RuleEvidenceKnown},
			{"unknown evidence beside a statement", at("1.1"), Completion{Evidence: []string{"DOC-X"}, Statement: "Yes."}, Proof{}, vera, caos.Invalid, "evidence", RuleEvidenceKnown},
			{"no id", at("1.1"), Completion{Evidence: []string{"a b"}}, Proof{}, vera, caos.Invalid, "evidence[0]", ""},
			{"an id twice", at("1.1"), Completion{Evidence: []string{"EVID-1", "EVID-1"}}, Proof{}, vera, caos.Invalid, "evidence[1]", ""},
			{"too many", at("1.1"), Completion{Evidence: many}, Proof{}, vera, caos.TooLarge, "evidence", ""},
			{"long statement", at("1.1"), Completion{Statement: strings.Repeat("x", 1001)}, Proof{}, vera, caos.Invalid, "statement", ""},
			{"two lines", at("1.1"), Completion{Statement: "a\nb"}, Proof{}, vera, caos.Invalid, "statement", ""},
			{"written backwards", at("1.1"), Completion{Statement: "It is \u202etluaf on"}, Proof{}, vera, caos.Invalid, "statement", ""},
			{"a control character", at("1.1"), Completion{Statement: "It is\u0085so"}, Proof{}, vera, caos.Invalid, "statement", ""},
			{"twice", at("2.1"), Completion{Evidence: []string{"EVID-1"}}, Proof{}, vera, caos.Conflict, "status", ""},
			{"signed, nothing said", at("1.1"), Completion{Evidence: []string{"EVID-1"}}, Proof{Statement: "{}", Signature: "x"}, vera, caos.Invalid, "statement", ""},
			{"without a second factor", at("1.1"), Completion{Statement: "Yes."}, Proof{}, caos.Principal{ID: "vera"}, caos.StepUp, "", RuleFactor},
			{"another statement signed", at("1.1"), Completion{Statement: "Yes."}, Proof{Statement: "{}", Signature: "x"}, vera, caos.Denied, "statement", RuleFresh},
			{"a service", at("1.1"), Completion{Statement: "Yes."}, Proof{}, service, caos.Denied, "", RulePersonal},
			{"on behalf", at("1.1"), Completion{Statement: "Yes."}, Proof{}, behalf, caos.Denied, "", RulePersonal},
			{"nobody we know", at("1.1"), Completion{Statement: "Yes."}, Proof{}, person("mallory", "qa-lead"), caos.Denied, "", RulePersonal},
			{"not applicable, nothing said", at("6.4"), Completion{NotApplicable: true, Evidence: []string{"EVID-1"}}, Proof{}, sam, caos.Invalid, "statement", RuleNotApplicable},
			{"not applicable for a reason that nobody sees", at("6.4"), Completion{NotApplicable: true, Statement: "\u200b\u3164"}, Proof{}, sam, caos.Invalid, "statement", RuleNotApplicable},
			{"a statement that nobody sees", at("6.4"), Completion{Evidence: []string{"EVID-1"}, Statement: "\u2060"}, Proof{}, sam, caos.Invalid, "statement", ""},
			{"not applicable by another role", at("6.4"), Completion{NotApplicable: true, Statement: why}, Proof{}, vera, caos.Denied, "", RuleNotApplicable},
			{"not applicable by who owned it", at("6.4"), Completion{NotApplicable: true, Statement: why}, Proof{}, quinn, caos.Denied, "", RuleNotApplicable},
			{"not applicable by whom the owner made", at("6.4"), Completion{NotApplicable: true, Statement: why}, Proof{}, person("sal", "safety-engineer"), caos.Denied, "", RuleNotApplicable},
			{"not applicable by whom the model's owner made", at("6.4"), Completion{NotApplicable: true, Statement: why}, Proof{}, person("quill", "qa-lead"), caos.Denied, "", RuleSeparation},
		} {
			var proposed error
			err := d.do(func(tx *db.Tx) error {
				_, err := d.CompleteItem(tx, c.at, c.done, c.proof, c.p)
				return err
			})
			d.refused(c.name, err, c.kind, c.field, c.rule)
			_ = d.do(func(tx *db.Tx) error {
				_, proposed = d.ProposeCompletion(tx, c.at, c.done, c.p)
				return proposed
			})
			if c.proof == (Proof{}) && c.rule != RuleFactor && proposed == nil {
				t.Errorf("%s: proposed to be signed", c.name)
			}
		}
		if i, err = d.complete(at("6.4"), Completion{NotApplicable: true, Statement: why}, sam); err != nil || i.Status != ItemNotApplicable || i.DecisionID == "" {
			t.Errorf("%+v %v", i, err)
		}
		if v, err = d.DecisionByID(context.Background(), i.DecisionID); err != nil || v.Role != "safety-engineer" || v.Outcome != "NOT_APPLICABLE" {
			t.Errorf("%+v %v", v, err)
		}
		if n := d.count(`SELECT COUNT(*) FROM decisions`); n != 2 {
			t.Errorf("%d decisions: a refusal counted", n)
		}
		d.must(func(tx *db.Tx) error {
			_, err := d.ReopenItem(tx, at("2.2"), "again", By{Actor: "quinn"})
			return err
		})
		if again, err := d.complete(at("2.2"), Completion{Statement: "Ran the whole set twice."}, vera); err != nil || again.DecisionID == "" || again.DecisionID == i.DecisionID {
			t.Errorf("the same words about the item as it is now: %+v %v", again, err)
		}
		if n := d.count(`SELECT COUNT(*) FROM checklist_items WHERE status IN ('COMPLETE', 'NOT_APPLICABLE')`); n != 3 {
			t.Errorf("%d items are closed", n)
		}
	})
}

// A level of safety that wants personal keys has no statement by a second factor alone.
func TestCompletionWantsKey(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		s := delay("1.0.0")
		s.SafetyLevel = "DAL-A"
		d.open(s)
		_, err := d.complete(at("1.1"), Completion{Statement: "Yes."}, person("vera", "vv-lead"))
		d.refused("TOTP for DAL-A", err, caos.Denied, "signature", RulePersonalKey)
		var p Proposal
		d.must(func(tx *db.Tx) (err error) {
			p, err = d.ProposeCompletion(tx, at("1.1"), Completion{Statement: "Yes."}, person("vera", "vv-lead"))
			return err
		})
		if !p.PersonalKey || !strings.Contains(p.Statement, "complete:CHK-DLY-1.0.0/1.1") || !strings.Contains(p.Meaning, "Yes.") {
			t.Errorf("%+v", p)
		}
		if i, err := d.complete(at("1.1"), Completion{Evidence: []string{"EVID-1"}}, caos.Principal{ID: "vera"}); err != nil || i.Status != ItemComplete {
			t.Errorf("evidence needs no key: %v", err)
		}
	})
}

func TestChecklistCompletes(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		c := d.open(delay("1.0.0"))
		events := func() int { return d.count(`SELECT COUNT(*) FROM events WHERE type = $1`, EventChecklistCompleted) }
		d.must(func(tx *db.Tx) error {
			done, err := d.CompleteFacts(tx, c.ChecklistID, map[string][]string{FactVV: {"FREEZE-1", "DOC-1"}, FactFrozen: {"BL-DLY-1.0.0"}, FactDocuments: nil, "": {"X"}}, By{Actor: "conny"})
			if !slices.Equal(done, []string{"1.1", "1.2"}) {
				t.Errorf("by facts: %v", done)
			}
			return err
		})
		d.must(func(tx *db.Tx) error {
			done, err := d.CompleteFacts(tx, c.ChecklistID, map[string][]string{FactVV: {"DOC-2"}}, By{Actor: "conny"})
			if len(done) != 0 {
				t.Errorf("again: %v", done)
			}
			return err
		})
		read, err := d.Checklist(context.Background(), c.ChecklistID)
		d.ok(err)
		critical, _ := read.Open()
		for n, i := range critical {
			if events() != 0 || d.count(`SELECT COUNT(*) FROM checklists WHERE completed_at > 0`) != 0 {
				t.Fatalf("complete with %d critical items open", len(critical)-n)
			}
			_, err := d.complete(at(i.ItemID), Completion{Evidence: []string{"EVID-1"}}, person("vera", "vv-lead"))
			d.ok(err)
		}
		if events() != 1 || d.count(`SELECT COUNT(*) FROM checklists WHERE completed_at > 0`) != 1 {
			t.Errorf("%d events", events())
		}
		_, err = d.complete(at("5.4"), Completion{Evidence: []string{"EVID-1"}}, person("vera", "vv-lead")) // a minor one says nothing new
		d.ok(err)
		reopen := func(item, reason string) error {
			return d.do(func(tx *db.Tx) error {
				_, err := d.ReopenItem(tx, at(item), reason, By{Actor: "quinn"})
				return err
			})
		}
		d.refused("no reason", reopen("2.1", " "), caos.Invalid, "reason", "")
		d.refused("an open one", reopen("6.4", "x"), caos.Conflict, "status", "")
		if events() != 1 {
			t.Errorf("%d events", events())
		}
		d.ok(reopen("2.1", "The test bench was wrong"))
		if read, err = d.Checklist(context.Background(), c.ChecklistID); err != nil || read.CompletedAt != nil {
			t.Errorf("%v %v", read.CompletedAt, err)
		}
		if i, err := read.item("2.1"); err != nil || i.Status != ItemInProgress || len(i.Evidence) != 0 || i.CompletedBy != "" || i.CompletedAt != nil {
			t.Errorf("%+v %v", i, err)
		}
		_, err = d.complete(at("2.1"), Completion{Evidence: []string{"EVID-2"}}, person("vera", "vv-lead"))
		d.ok(err)
		if events() != 2 {
			t.Errorf("%d events after it was completed again", events())
		}
	})
}

// The past is what it was: every revision of an item can be read again.
func TestChecklistAt(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		c := d.open(delay("1.0.0"))
		before := c.OpenedAt
		vera := "vera"
		i, err := d.update(at("2.1"), ItemChange{Owner: &vera}, 0)
		d.ok(err)
		owned := i.UpdatedAt
		i, err = d.complete(at("2.1"), Completion{Evidence: []string{"EVID-1"}}, person("vera"))
		d.ok(err)
		done := i.UpdatedAt
		d.must(func(tx *db.Tx) error {
			_, err := d.ReopenItem(tx, at("2.1"), "again", By{Actor: "quinn"})
			return err
		})
		for _, c := range []struct {
			at     time.Time
			status ItemStatus
			owner  string
		}{{before, ItemPlanned, ""}, {owned.Add(-time.Microsecond), ItemPlanned, ""}, {owned, ItemPlanned, "vera"}, {done, ItemComplete, "vera"}, {done.Add(time.Hour), ItemInProgress, "vera"}} {
			d.must(func(tx *db.Tx) error {
				was, err := d.ChecklistAt(tx, ShippedTemplate, "BL-DLY-1.0.0", c.at)
				if err != nil {
					return err
				}
				i, err := was.item("2.1")
				if len(was.Items) != 32 || i.Status != c.status || i.Owner != c.owner || i.Question == "" {
					t.Errorf("at %s: %+v", c.at, i)
				}
				return err
			})
		}
		d.must(func(tx *db.Tx) error {
			none, err := d.ChecklistAt(tx, ShippedTemplate, "BL-DLY-1.0.0", before.Add(-time.Microsecond))
			if none != nil {
				t.Errorf("before it was opened: %+v", none)
			}
			if none, err := d.ChecklistAt(tx, ShippedTemplate, "BL-DLY-9.0.0", done); none != nil || err != nil {
				t.Errorf("none: %+v %v", none, err)
			}
			rows, e := d.PastOf(tx, nounItem, "BL-DLY-1.0.0", done)
			if len(rows) != 32 || e != nil {
				t.Errorf("%d rows, %v", len(rows), e)
			}
			return err
		})
	})
}

// Of many who complete an item at once, one does.
func TestCompleteAtOnce(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		d.open(delay("1.0.0"))
		var wins atomic.Int32
		var wait sync.WaitGroup
		for n := range 20 {
			wait.Go(func() {
				done := Completion{Evidence: []string{fmt.Sprintf("EVID-%d", n)}}
				if n%2 == 0 {
					done.Statement = "Seen."
				}
				if _, err := d.complete(at("3.2"), done, person("sam", "safety-engineer")); err == nil {
					wins.Add(1)
				} else if caos.KindOf(err) != caos.Conflict {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if wins.Load() != 1 || d.count(`SELECT COUNT(*) FROM row_history WHERE id = 'CHK-DLY-1.0.0/3.2'`) != 2 || d.count(`SELECT COUNT(*) FROM decisions`) > 1 {
			t.Errorf("%d completed it", wins.Load())
		}
	})
}

func TestImportItems(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		c := d.open(delay("1.0.0"))
		note := "mine"
		_, err := d.update(at("4.1"), ItemChange{Note: &note}, 0)
		d.ok(err)
		stated := []StatedItem{{"Model / Safety Approved", "t.csv states: status COMPLETE", "FMEA complete"}, {"data / data pipelines  operational", "t.csv states: status IN_PROGRESS", "85% complete"},
			{"Model / No Such Item", "x", ""}, {"3.1", "t.csv states: again", "other"}}
		var out *ImportedItems
		put := func(list []StatedItem) error {
			return d.do(func(tx *db.Tx) (err error) {
				out, err = d.ImportItems(tx, c.ChecklistID, list, By{Actor: "carla"})
				return err
			})
		}
		d.ok(put(stated))
		if !slices.Equal(out.Changed, []string{"3.1", "4.1"}) || out.Meant != 2 || !slices.Equal(out.Unknown, []string{"Model / No Such Item"}) {
			t.Errorf("%+v", out)
		}
		read, err := d.Checklist(context.Background(), c.ChecklistID)
		d.ok(err)
		for _, i := range read.Items {
			if i.Status != ItemPlanned || (i.Imported != "") != (i.ItemID == "3.1" || i.ItemID == "4.1") {
				t.Errorf("%+v", i)
			}
		}
		a, _ := read.item("3.1")
		b, _ := read.item("4.1")
		if a.Note != "FMEA complete" || a.Imported != "t.csv states: status COMPLETE\nt.csv states: again" || b.Note != "mine" {
			t.Errorf("%+v %+v", a, b)
		}
		records := d.count(`SELECT COUNT(*) FROM audit_records`)
		d.ok(put(stated))
		if len(out.Changed) != 0 || d.count(`SELECT COUNT(*) FROM audit_records`) != records {
			t.Errorf("a second time: %+v", out)
		}
		long := []StatedItem{}
		for range 20 {
			long = append(long, StatedItem{Name: "3.1", Stated: strings.Repeat("x", 900)})
		}
		d.ok(put(long))
		if read, err = d.Checklist(context.Background(), c.ChecklistID); err != nil || len(read.Items[8].Imported) > maxText || read.Items[8].ItemID != "3.1" {
			t.Errorf("%d bytes, %v", len(read.Items[8].Imported), err)
		}
		d.refused("control character", put([]StatedItem{{"3.1", "a\x00", ""}}), caos.Invalid, "stated", "")
		d.refused("too many", put(make([]StatedItem, 501)), caos.TooLarge, "items", "")
	})
}
