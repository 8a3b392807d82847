package readiness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

func TestNearness(t *testing.T) {
	for _, c := range []struct{ now, due, stage, words string }{
		{"2026-11-20T23:59:59Z", "2026-11-28", "", ""},
		{"2026-11-21T00:00:00Z", "2026-11-28", "2026-11-28/7d", "is due in 7 days"},
		{"2026-11-26T12:00:00Z", "2026-11-28", "2026-11-28/7d", "is due in 2 days"},
		{"2026-11-27T00:00:00Z", "2026-11-28", "2026-11-28/1d", "tomorrow"},
		{"2026-11-28T23:59:59Z", "2026-11-28", "2026-11-28/1d", "today"},
		{"2026-11-29T00:00:00Z", "2026-11-28", "2026-11-28/late-1", "1 day ago"},
		{"2026-12-05T00:00:00Z", "2026-11-28", "2026-11-28/late-1", "7 days ago"},
		{"2026-12-06T00:00:00Z", "2026-11-28", "2026-11-28/late-2", "8 days ago"},
		{"2027-02-20T00:00:00Z", "2026-11-28", "2026-11-28/late-12", "84 days ago"},
		{"2027-02-21T00:00:00Z", "2026-11-28", "", ""},
		{"2026-11-28T00:00:00Z", "", "", ""},
		{"2026-11-28T00:00:00Z", "soon", "", ""},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if stage, words := nearness(now, c.due); stage != c.stage || !strings.Contains(words, c.words) {
			t.Errorf("%s at %s: %q, %q; want %q, %q", c.due, c.now, stage, words, c.stage, c.words)
		}
	}
}

// sent lets a node send all that is due at a moment, as the node of an installation does.
func (k *desk) sent(now time.Time) []Reminder {
	k.t.Helper()
	list, err := k.Due(context.Background(), now)
	k.ok(err)
	var out []Reminder
	for _, m := range list {
		k.must(func(tx *db.Tx) error {
			mine, err := k.Remind(tx, now, m)
			if mine != nil {
				out = append(out, *mine)
			}
			return err
		})
	}
	return out
}

func keys(list []Reminder) []string {
	out := []string{}
	for _, m := range list {
		out = append(out, m.Key)
	}
	slices.Sort(out)
	return out
}

func TestItemReminders(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		d.open(delay("1.0.0"))
		set := func(item, owner, due string) {
			t.Helper()
			_, err := d.update(at(item), ItemChange{Owner: &owner, DueOn: &due}, 0)
			d.ok(err)
		}
		set("2.1", "vera", "2026-11-30")
		set("2.2", "", "2026-11-30")
		set("2.3", "", "2026-12-15")
		expect := func(day string, want ...string) []Reminder {
			t.Helper()
			got := d.sent(d.on(day))
			for n := range want {
				want[n] = "item/CHK-DLY-1.0.0/" + want[n]
			}
			if !slices.Equal(keys(got), want) {
				t.Errorf("on %s: %v, want %v", day, keys(got), want)
			}
			if again := d.sent(d.on(day).Add(time.Hour)); len(again) != 0 {
				t.Errorf("on %s, an hour later: %v", day, keys(again))
			}
			return got
		}
		expect("2026-11-22")
		got := expect("2026-11-23", "2.1/2026-11-30/7d", "2.2/2026-11-30/7d")
		if len(got) == 2 {
			a, b := got[0], got[1]
			if !slices.Equal(a.People, []string{"vera"}) || len(a.Roles) != 0 || !slices.Equal(b.Roles, []string{"vv-lead"}) || len(b.People) != 0 ||
				a.Project != "demo" || a.Classification != "Internal" || !strings.Contains(a.Subject, "in 7 days") || !strings.Contains(a.Body, "Performance requirements met") || a.Link == "" {
				t.Errorf("%+v\n%+v", a, b)
			}
		}
		expect("2026-11-26")
		delete(d.people.roles, "vera") // her account is off: those with the role are told
		got = expect("2026-11-29", "2.1/2026-11-30/1d", "2.2/2026-11-30/1d")
		if len(got) == 2 && (len(got[0].People) != 0 || !slices.Equal(got[0].Roles, []string{"vv-lead"})) {
			t.Errorf("%+v", got[0])
		}
		_, err := d.complete(at("2.2"), Completion{Evidence: []string{"EVID-1"}}, person("sam"))
		d.ok(err)
		expect("2026-12-01", "2.1/2026-11-30/late-1") // of the day itself "1d" has told
		set("2.1", "", "2026-12-20")                  // another date is another occasion
		expect("2026-12-08", "2.3/2026-12-15/7d")     // the node was away for a week: what was missed is not told late
		expect("2026-12-14", "2.1/2026-12-20/7d", "2.3/2026-12-15/1d")
		d.must(func(tx *db.Tx) error { // the board has decided: what was open then is a condition, or nobody's any more
			d.insertReview(tx, "PRR-1", "DECIDED", time.Now())
			return nil
		})
		expect("2026-12-20")
		d.ok(d.ForgetReminders(context.Background(), d.on("2026-12-21")))
		if n := d.count(`SELECT COUNT(*) FROM reminders`); n != 8 {
			t.Errorf("%d reminders are remembered", n)
		}
		d.ok(d.ForgetReminders(context.Background(), d.on("2027-06-01")))
		if n := d.count(`SELECT COUNT(*) FROM reminders`); n != 0 {
			t.Errorf("%d reminders are remembered after months", n)
		}
	})
}

func (k *desk) insertReview(tx *db.Tx, id, status string, closes time.Time) {
	tx.Exec(`INSERT INTO reviews (prr_id, n, execution_id, model_id, version, baseline_id, root_digest, safety_level, checklist_id, members, prr_date, closes_at, status, best,
			report_id, report_version, report_digest, pdf_digest, facts_digest, editions, requested_by, recorded_by, enabled_by, decision, board_decision, policy_digest,
			project, classification, opened_at, decided_at, updated_at, revision)
		VALUES ($1, 1, 'EXEC-1', 'NN-DLY-001', '1.0.0', 'BL-DLY-1.0.0', '', 'DAL-D', 'CHK-DLY-1.0.0', '["bo","bea","mel"]', '2026-12-15', $2, $3, 'APPROVED',
			'95-00-09-02-001', '1.0', '', '', '', '[]', 'rita', 'rita', '', '', '', '', 'demo', 'Internal', 1, 0, 1, 1)`, id, closes.UnixMicro(), status)
}

// What was done, moved or decided between finding and sending is not told.
func TestNothingIsToldThatIsDone(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		d.open(delay("1.0.0"))
		for n, change := range []func(item string){
			func(item string) {
				_, err := d.complete(at(item), Completion{Evidence: []string{"EVID-1"}}, person("sam"))
				d.ok(err)
			},
			func(item string) {
				other := "2026-12-24"
				_, err := d.update(at(item), ItemChange{DueOn: &other}, 0)
				d.ok(err)
			},
			func(item string) { // put off to a day that is near, too: that is another occasion
				other := "2026-11-30"
				_, err := d.update(at(item), ItemChange{DueOn: &other}, 0)
				d.ok(err)
			},
			func(item string) {
				none := ""
				_, err := d.update(at(item), ItemChange{DueOn: &none}, 0)
				d.ok(err)
			},
		} {
			item, due := fmt.Sprintf("2.%d", n+1), "2026-11-24"
			_, err := d.update(at(item), ItemChange{DueOn: &due}, 0)
			d.ok(err)
			now := d.on("2026-11-23")
			list, err := d.Due(context.Background(), now)
			d.ok(err)
			list = slices.DeleteFunc(list, func(m Reminder) bool { return !strings.Contains(m.Key, item+"/2026-11-24") })
			if len(list) != 1 {
				t.Fatalf("%v", keys(list))
			}
			change(item)
			d.must(func(tx *db.Tx) error {
				m, err := d.Remind(tx, now, list[0])
				if m != nil {
					t.Errorf("told: %s", m.Key)
				}
				return err
			})
		}
		if n := d.count(`SELECT COUNT(*) FROM reminders`); n != 0 {
			t.Errorf("%d reminders are taken for sent", n)
		}
		err := d.do(func(tx *db.Tx) error {
			_, err := d.Remind(tx, d.now(), Reminder{Key: "made up"})
			return err
		})
		if caos.KindOf(err) != caos.Internal {
			t.Errorf("a reminder from nowhere: %v", err)
		}
	})
}

// Of many nodes that remind at once, one sends each reminder; and a transaction that fails
// has sent nothing.
func TestRemindersOfManyNodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url := dbtest.URL(t, dialect)
		node := func(slot int) *desk { return newDesk(t, dbtest.OpenWith(t, db.Options{URL: url}), slot) }
		nodes := []*desk{node(0)}
		nodes[0].open(delay("1.0.0"))
		due := "2026-11-25"
		for g := 2; g <= 8; g++ {
			_, err := nodes[0].update(at(fmt.Sprintf("%d.2", g)), ItemChange{DueOn: &due}, 0)
			nodes[0].ok(err)
		}
		now := nodes[0].on("2026-11-24")
		list, err := nodes[0].Due(context.Background(), now)
		nodes[0].ok(err)
		lost := fmt.Errorf("the node dies")
		if err := nodes[0].do(func(tx *db.Tx) error {
			if m, err := nodes[0].Remind(tx, now, list[0]); m == nil || err != nil {
				t.Errorf("%+v %v", m, err)
			}
			return lost
		}); err == nil {
			t.Fatal("it did not die")
		}
		if dialect == db.PostgreSQL { // SQLite has one node, which may still remind twice at once
			nodes = append(nodes, node(1), node(2))
		}
		var mu sync.Mutex
		told := map[string]int{}
		var wait sync.WaitGroup
		for _, n := range nodes {
			for range 2 {
				wait.Go(func() {
					for _, m := range n.sent(now) {
						mu.Lock()
						told[m.Key]++
						mu.Unlock()
					}
				})
			}
		}
		wait.Wait()
		if len(told) != 7 {
			t.Errorf("%d of 7 told", len(told))
		}
		for key, n := range told {
			if n != 1 {
				t.Errorf("%s: %d times", key, n)
			}
		}
		if again := nodes[0].sent(now.Add(time.Hour)); len(again) != 0 {
			t.Errorf("an hour later: %v", keys(again))
		}
	})
}

// Risks, conditions, votes and authorisations have their own occasions.
func TestOtherReminders(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		closes := time.Date(2026, 12, 16, 0, 0, 0, 0, time.UTC)
		d.must(func(tx *db.Tx) error {
			d.insertReview(tx, "PRR-1", "VOTING", closes)
			_, err := d.CreateRisk(tx, Risk{ModelID: fly, Title: "Drift", Likelihood: 2, Impact: 2, Owner: "sam", ReviewOn: "2026-12-10", Project: "demo", Classification: "Internal"}, By{Actor: "vera"})
			return err
		})
		d.must(func(tx *db.Tx) error {
			tx.Exec(`INSERT INTO review_conditions (condition_id, prr_id, n, text, owner, due_on, asked_by, status, evidence, note, closed_by, closed_at, decision_id, model_id, version,
					baseline_id, project, classification, opened_at, revision)
				VALUES ('COND-1', 'PRR-1', 1, 'Show the spare part', 'mel', '2026-12-19', '[]', 'OPEN', '[]', '', '', 0, '', 'NN-DLY-001', '1.0.0', 'BL-DLY-1.0.0', 'demo', 'Internal', 1, 1)`)
			tx.Exec(`INSERT INTO release_authorizations (authorization_id, model_id, version, n, baseline_id, root_digest, safety_level, prr_id, status, platforms, strategies, not_before,
					not_after, rationale, scope, scope_digest, opened_at, opened_by, execution_id, requested_at, requested_by, requesters, policy_digest, ended_at, record_id, revoked_at,
					revoked_by, revoke_reason, project, classification, updated_at, revision)
				VALUES ('REL-1', 'NN-DLY-001', '1.0.0', 1, 'BL-DLY-1.0.0', '', 'DAL-D', 'PRR-1', 'AUTHORISED', '[]', '[]', 0, $1, '', '', '', 1, 'rita', '', 1, 'rita', '[]', '', 1, '', 0, '', '',
					'demo', 'Internal', 1, 1)`, time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC).UnixMicro())
			return nil
		})
		vote := func(stage string) string { return fmt.Sprintf("review/PRR-1/%d/%s", closes.UnixMicro(), stage) }
		expect := func(now time.Time, want ...string) []Reminder {
			t.Helper()
			got := d.sent(now)
			if !slices.Equal(keys(got), want) {
				t.Errorf("at %s: %v, want %v", now, keys(got), want)
			}
			return got
		}
		risk := "risk/" + riskOf(d) + "/2026-12-10/"
		expect(d.on("2026-12-09"))
		got := expect(d.on("2026-12-10"), risk+"1d")
		if len(got) == 1 && !slices.Equal(got[0].People, []string{"sam"}) {
			t.Errorf("%+v", got)
		}
		expect(d.on("2026-12-11"), risk+"late-1")
		d.hands.Store(&[]Hand{{Person: "bea", Part: "VV_AUTHOR", Source: "DOC"}})
		got = expect(d.on("2026-12-13"), "release/REL-1/1797724800000000/7d", vote("3d"))
		if len(got) == 2 && !slices.Equal(got[0].People, []string{"bo", "chief"}) { // bea is barred, mel has not the role
			t.Errorf("who votes: %+v", got[0])
		}
		d.must(func(tx *db.Tx) error {
			tx.Exec(`INSERT INTO decisions (decision_id, act, what, subject, digest, meaning, outcome, person, role, roles, parties, proof, key_id, statement, signature, record_id,
					policy_digest, model_id, decided_at, project, classification)
				VALUES ('DEC-1', 'vote', 'vote', 'PRR-1', '', '', 'APPROVED', 'bo', '', '[]', '[]', 'server', '', '', '', '', '', '', 1, '', '')`)
			tx.Exec(`INSERT INTO review_votes (prr_id, person, seq, decision_id, outcome, comment, conditions) VALUES ('PRR-1', 'bo', 1, 'DEC-1', 'APPROVED', '', '[]')`)
			return nil
		})
		got = expect(d.on("2026-12-15"), vote("1d"))
		if len(got) == 1 && !slices.Equal(got[0].People, []string{"chief"}) {
			t.Errorf("who votes still: %+v", got[0])
		}
		d.must(func(tx *db.Tx) error {
			tx.Exec(`UPDATE reviews SET status = 'CONDITIONAL'`)
			tx.Exec(`UPDATE release_authorizations SET status = 'REVOKED'`)
			return nil
		})
		got = expect(d.on("2026-12-16"), "condition/COND-1/2026-12-19/7d")
		if len(got) == 1 && (!slices.Equal(got[0].People, []string{"mel"}) || !strings.Contains(got[0].Body, "Show the spare part")) {
			t.Errorf("%+v", got[0])
		}
		d.must(func(tx *db.Tx) error {
			tx.Exec(`UPDATE reviews SET status = 'DECIDED'`)
			return nil
		})
		expect(d.on("2026-12-18"), risk+"late-2")
	})
}

func riskOf(d *desk) (id string) {
	d.ok(d.d.Reader(context.Background())(`SELECT risk_id FROM risks`, nil, func(scan func(...any) error) error { return scan(&id) }))
	return id
}

// Thousands of due items are found page by page, and each once.
func TestManyReminders(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		const lists = 40
		for n := range lists {
			c := d.open(delay(fmt.Sprintf("1.%d.0", n)))
			d.must(func(tx *db.Tx) error {
				tx.Exec(`UPDATE checklist_items SET due_on = '2026-11-25' WHERE checklist_id = $1`, c.ChecklistID)
				return nil
			})
		}
		now := d.on("2026-11-24")
		list, err := d.Due(context.Background(), now)
		d.ok(err)
		seen := map[string]bool{}
		for _, m := range list {
			seen[m.Key] = true
		}
		if len(list) != lists*32 || len(seen) != len(list) {
			t.Errorf("%d found, %d of them different, want %d", len(list), len(seen), lists*32)
		}
	})
}
