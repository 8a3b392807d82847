package readiness

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
)

// Bounds of reminders.
const (
	remindPage    = 500  // rows that one query reads
	maxReminders  = 5000 // of one call: the rest comes with the next
	remindWeeks   = 12   // how often something overdue is spoken of, once a week
	remindersKept = 60 * 24 * time.Hour
)

// Reminder is something that somebody should be told about once.
type Reminder struct {
	Key            string   `json:"key"`    // names the occasion: what, its date and how near that is
	People         []string `json:"people"` // user ids
	Roles          []string `json:"roles"`  // everybody who holds one of them, where there is nobody in person
	Subject        string   `json:"subject"`
	Body           string   `json:"body"`
	Link           string   `json:"link"` // below the API's base URL
	Project        string   `json:"project"`
	Classification string   `json:"classification"`

	noun, id string // what it is about
	role     string // who is told if its owner is here no more
}

// dated is a noun of things that have a date: how those are read whose date lies in a span, in the
// order of their ids, from after one on or that one alone.
type dated struct {
	noun     string
	sql      string // parameters: first and last date, id; {op} compares the id
	from, to any
	read     func(scan func(...any) error, now time.Time) (*Reminder, error)
}

// dated lists what has dates, for a moment.
func (r *Readiness) dated(now time.Time) []dated {
	first, week := day(now.AddDate(0, 0, -7*remindWeeks)), day(now.AddDate(0, 0, 7))
	return []dated{
		{"item", `SELECT i.checklist_id || '/' || i.item_id, i.checklist_id, i.item_id, i.title, i.criticality, i.owner, i.owner_role, i.due_on, c.model_id, c.version,
				c.project, c.classification
			FROM checklist_items i JOIN checklists c ON c.checklist_id = i.checklist_id
			WHERE i.status IN ('PLANNED', 'IN_PROGRESS') AND i.due_on <> '' AND i.due_on >= $1 AND i.due_on <= $2 AND i.checklist_id || '/' || i.item_id {op} $3
				AND NOT EXISTS (SELECT 1 FROM reviews v WHERE v.baseline_id = c.baseline_id AND v.status = 'DECIDED')`, first, week, itemReminder},
		{"risk", `SELECT risk_id, title, stands_level, owner, review_on, model_id, project, classification FROM risks
			WHERE status <> 'CLOSED' AND review_on >= $1 AND review_on <= $2 AND risk_id {op} $3`, first, day(now), riskReminder},
		{"condition", `SELECT k.condition_id, k.prr_id, k.text, k.owner, k.due_on, k.project, k.classification FROM review_conditions k
			JOIN reviews v ON v.prr_id = k.prr_id
			WHERE k.status = 'OPEN' AND v.status = 'CONDITIONAL' AND k.due_on >= $1 AND k.due_on <= $2 AND k.condition_id {op} $3`, first, week, conditionReminder},
		{"review", `SELECT prr_id, model_id, version, baseline_id, report_id, closes_at, project, classification FROM reviews
			WHERE status = 'VOTING' AND closes_at > $1 AND closes_at <= $2 AND prr_id {op} $3`, now.UnixMicro(), now.Add(72 * time.Hour).UnixMicro(), reviewReminder},
		{"release", `SELECT authorization_id, model_id, version, not_after, requested_by, project, classification FROM release_authorizations
			WHERE status = 'AUTHORISED' AND not_after > $1 AND not_after <= $2 AND authorization_id {op} $3`,
			now.UnixMicro(), now.AddDate(0, 0, 7).UnixMicro(), releaseReminder},
	}
}

// Due returns what people should be reminded of and were not yet: open checklist items 7 and
// 1 days before they are due and weekly after that, risks whose review is due, conditions as
// items, reviews 3 days and 1 day before the vote closes, release authorisations 7 days
// before they expire. At most 5000; the rest follows when these are sent.
func (r *Readiness) Due(ctx context.Context, now time.Time) ([]Reminder, error) {
	out := []Reminder{}
	for _, d := range r.dated(now) {
		after := ""
		for len(out) < maxReminders {
			list, last, err := d.rows(r.pool(ctx), ">", after, now)
			if err != nil {
				return nil, err
			}
			if list, err = unsent(r.pool(ctx), list); err != nil {
				return nil, err
			}
			out = append(out, list...)
			if after = last; after == "" {
				break
			}
		}
	}
	return out[:min(len(out), maxReminders)], nil
}

// rows reads reminders of one noun, and returns the last id of a full page.
func (d dated) rows(q query, op, id string, now time.Time) (list []Reminder, last string, err error) {
	n := 0
	err = q(strings.ReplaceAll(d.sql, "{op}", op)+` ORDER BY 1 LIMIT `+strconv.Itoa(remindPage), []any{d.from, d.to, id}, func(scan func(...any) error) error {
		m, err := d.read(scan, now)
		if err != nil {
			return err
		}
		n, last, m.noun = n+1, m.id, d.noun
		if m.Key != "" {
			m.Key = d.noun + "/" + m.id + "/" + m.Key
			list = append(list, *m)
		}
		return nil
	})
	if n < remindPage {
		last = ""
	}
	return list, last, err
}

// unsent leaves out the reminders that were sent.
func unsent(q query, list []Reminder) ([]Reminder, error) {
	sent := map[string]bool{}
	for part := range slices.Chunk(list, 100) {
		args, marks := make([]any, len(part)), make([]string, len(part))
		for i := range part {
			args[i], marks[i] = part[i].Key, "$"+strconv.Itoa(i+1)
		}
		err := q(`SELECT key FROM reminders WHERE key IN (`+strings.Join(marks, ", ")+`)`, args, func(scan func(...any) error) error {
			var key string
			err := scan(&key)
			sent[key] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(list, func(m Reminder) bool { return sent[m.Key] }), nil
}

// Remind takes a reminder that Due returned, for the transaction that sends it: whoever gets
// one back sends it, and nobody else ever does. Nil if it was sent before, or if what it is
// about is done meanwhile, has another date, or is nobody's to do any more. What comes back
// names who has to be told now.
func (r *Readiness) Remind(tx *db.Tx, now time.Time, m Reminder) (*Reminder, error) {
	all := r.dated(now)
	i := slices.IndexFunc(all, func(d dated) bool { return d.noun == m.noun })
	if i < 0 {
		return nil, caos.Errorf(caos.Internal, "the reminder %.80s does not come from Due", m.Key)
	}
	list, _, err := all[i].rows(within(tx), "=", m.id, now)
	if err != nil || len(list) == 0 || list[0].Key != m.Key {
		return nil, err
	}
	m = list[0]
	if m.noun == "review" {
		if m.People, err = r.waitedFor(tx, m.id); err != nil || len(m.People) == 0 {
			return nil, err
		}
	}
	if err := r.present(tx, &m); err != nil {
		return nil, err
	}
	n, err := tx.ExecRows(`INSERT INTO reminders (key, sent_at) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, m.Key, now.UnixMicro())
	if err != nil || n == 0 {
		return nil, err
	}
	return &m, nil
}

// present leaves out people whose accounts are off or who may not know of it any more:
// whoever holds the role is told instead.
func (r *Readiness) present(tx *db.Tx, m *Reminder) error {
	var here []string
	for _, id := range m.People {
		known, err := r.MayKnow(tx, id, m.Project, m.Classification)
		if err != nil {
			return err
		}
		if known {
			here = append(here, id)
		}
	}
	if len(here) == 0 && len(m.Roles) == 0 && m.role != "" {
		m.Roles = []string{m.role}
	}
	m.People = codec.Listed(here)
	return nil
}

// waitedFor returns who could still vote on a review: members and chief engineers who have
// not voted and are not barred.
func (r *Readiness) waitedFor(tx *db.Tx, prrID string) ([]string, error) {
	v, err := r.ReviewIn(tx, prrID)
	if err != nil {
		return nil, err
	}
	people, err := r.people.WithRole(tx, "chief-engineer", v.Project, v.Classification)
	if err != nil {
		return nil, err
	}
	board, err := r.people.WithRole(tx, "prr-board", v.Project, v.Classification)
	if err != nil {
		return nil, err
	}
	for _, m := range v.Members {
		if slices.Contains(board, m) && !slices.Contains(people, m) {
			people = append(people, m)
		}
	}
	barred, err := r.Barred(tx, v.Subject)
	if err != nil {
		return nil, err
	}
	people = slices.DeleteFunc(slices.Clone(people), func(id string) bool {
		return len(barred[id]) > 0 || slices.ContainsFunc(v.Votes, func(b *Vote) bool { return b.Person == id })
	})
	slices.Sort(people)
	return people, nil
}

// ForgetReminders removes what was sent so long ago that its occasion cannot come again.
func (r *Readiness) ForgetReminders(ctx context.Context, now time.Time) error {
	return r.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`DELETE FROM reminders WHERE sent_at < $1`, now.Add(-remindersKept).UnixMicro())
		return nil
	})
}

// nearness says which occasion it is when something is due on a day, and in words; "" for
// none yet, or none any more.
func nearness(now time.Time, due string) (stage, words string) {
	on, err := time.Parse(dateLayout, due)
	if err != nil {
		return "", ""
	}
	today := now.UTC().Truncate(24 * time.Hour)
	switch days := int(on.Sub(today) / (24 * time.Hour)); {
	case days > 7:
		return "", ""
	case days > 1:
		return due + "/7d", fmt.Sprintf("is due in %d days, on %s", days, due)
	case days == 1:
		return due + "/1d", "is due tomorrow, on " + due
	case days == 0:
		return due + "/1d", "is due today, on " + due
	case -days > 7*remindWeeks:
		return "", ""
	default:
		return due + "/late-" + strconv.Itoa((-days-1)/7+1), fmt.Sprintf("was due on %s, %s ago", due, plural(-days, "day"))
	}
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// audience is who has to do something: its owner, or everybody in a role if it has none.
func (m *Reminder) audience(owner, role string) {
	m.People, m.Roles, m.role = []string{}, []string{}, role
	if owner != "" {
		m.People = append(m.People, owner)
	} else if role != "" {
		m.Roles = append(m.Roles, role)
	}
}

func itemReminder(scan func(...any) error, now time.Time) (*Reminder, error) {
	var m Reminder
	var at ItemRef
	var title, criticality, owner, role, due, model, version string
	if err := scan(&m.id, &at.ChecklistID, &at.ItemID, &title, &criticality, &owner, &role, &due, &model, &version, &m.Project, &m.Classification); err != nil {
		return nil, err
	}
	stage, words := nearness(now, due)
	m.audience(owner, role)
	m.Key, m.Link = stage, "/v1/checklists/"+at.ChecklistID
	m.Subject = fmt.Sprintf("Item %s of %s %s", at.ItemID, at.ChecklistID, words)
	m.Body = fmt.Sprintf("%s (%s), of the readiness checklist of %s %s, %s and is open.\nComplete it with evidence: caos checklist complete %s %s --evidence ID",
		title, strings.ToLower(criticality), model, version, words, at.ChecklistID, at.ItemID)
	return &m, nil
}

func riskReminder(scan func(...any) error, now time.Time) (*Reminder, error) {
	var m Reminder
	var title, level, owner, due, model string
	if err := scan(&m.id, &title, &level, &owner, &due, &model, &m.Project, &m.Classification); err != nil {
		return nil, err
	}
	stage, words := nearness(now, due)
	m.audience(owner, "safety-engineer")
	m.Key, m.Link = stage, "/v1/risks/"+m.id
	m.Subject = fmt.Sprintf("The review of the risk %s %s", m.id, words)
	m.Body = fmt.Sprintf("The risk %s of %s (%s): its review %s.\nReview it: caos risk review %s --note TEXT", title, model, level, words, m.id)
	return &m, nil
}

func conditionReminder(scan func(...any) error, now time.Time) (*Reminder, error) {
	var m Reminder
	var prr, text, owner, due string
	if err := scan(&m.id, &prr, &text, &owner, &due, &m.Project, &m.Classification); err != nil {
		return nil, err
	}
	stage, words := nearness(now, due)
	m.audience(owner, "release-manager")
	m.Key, m.Link = stage, "/v1/reviews/"+prr
	m.Subject = fmt.Sprintf("The condition %s %s", m.id, words)
	m.Body = fmt.Sprintf("The condition of %s %s and is open: %s\nSomebody other than its owner closes it with evidence: caos condition close %s --evidence ID",
		prr, words, text, m.id)
	return &m, nil
}

func reviewReminder(scan func(...any) error, now time.Time) (*Reminder, error) {
	var m Reminder
	var model, version, baseline, report string
	var closes int64
	if err := scan(&m.id, &model, &version, &baseline, &report, &closes, &m.Project, &m.Classification); err != nil {
		return nil, err
	}
	end := db.Moment(closes)
	stage, left := "/3d", end.Sub(now)
	if left <= 24*time.Hour {
		stage = "/1d"
	}
	m.audience("", "") // who has not voted: Remind asks
	m.Key, m.Link = strconv.FormatInt(closes, 10)+stage, "/v1/reviews/"+m.id
	m.Subject = fmt.Sprintf("Your vote on %s is waited for until %s", m.id, caos.FormatTime(end))
	m.Body = fmt.Sprintf("The review of %s %s (%s) waits for your vote. Its report is %s.\nRead it: caos review report %s --out report.html; then: caos vote %s approve, conditional or reject",
		model, version, baseline, report, m.id, m.id)
	return &m, nil
}

func releaseReminder(scan func(...any) error, _ time.Time) (*Reminder, error) {
	var m Reminder
	var model, version, requested string
	var until int64
	if err := scan(&m.id, &model, &version, &until, &requested, &m.Project, &m.Classification); err != nil {
		return nil, err
	}
	m.audience(requested, "")
	m.Roles = []string{"release-manager"}
	m.Key, m.Link = strconv.FormatInt(until, 10)+"/7d", "/v1/release-authorizations/"+m.id
	m.Subject = fmt.Sprintf("The release authorisation %s expires at %s", m.id, caos.FormatTime(db.Moment(until)))
	m.Body = fmt.Sprintf("%s %s may be deployed under %s until %s. What is deployed after that needs a new authorisation.", model, version, m.id, caos.FormatTime(db.Moment(until)))
	return &m, nil
}
