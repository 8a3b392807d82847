package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"caos"
	"caos/internal/db"
)

// maxStatement bounds what one statement says, in bytes of JSON.
const maxStatement = 256 << 10

// Statement is what an imported file stated, in its own words. It proves nothing and passes
// no gate: a baseline that a file states has no bytes here.
type Statement struct {
	StatementID    string          `json:"statement_id"`  // STMT-<24 hex digits>, made from the file, the entry and what it says
	SourceName     string          `json:"source_name"`   // name of the file
	SourceDigest   string          `json:"source_digest"` // SHA256:… of the file in which it was first found
	Section        string          `json:"section"`       // of the file
	Entry          string          `json:"entry"`         // what names it within the section, wherever it stands there
	Pointer        string          `json:"pointer"`       // where it stood: a JSON pointer, or /row/12
	Subject        string          `json:"subject"`       // id of what it is about, "" for the file itself
	Kind           string          `json:"kind"`          // such as model, baseline, link, readiness-item
	Body           json.RawMessage `json:"body"`          // what it says, whole
	Project        string          `json:"project"`
	Classification string          `json:"classification"`
	ImportedAt     time.Time       `json:"imported_at"`
	ImportedBy     string          `json:"imported_by"`
	EndedAt        *time.Time      `json:"ended_at"`      // when a later state of the file said something else; nil while it stands
	SupersededBy   string          `json:"superseded_by"` // the statement that took its place; "" if the file says nothing any more
}

func (s *Statement) check() error {
	for _, f := range []struct {
		name, text string
		most       int
	}{
		{"source_name", s.SourceName, maxLine}, {"section", s.Section, maxWord}, {"entry", s.Entry, 500}, {"pointer", s.Pointer, maxLine},
		{"subject", s.Subject, 200}, {"kind", s.Kind, maxWord},
	} {
		if err := checkLine(f.name, f.text, f.most); err != nil {
			return err
		}
	}
	if s.SourceName == "" || s.SourceDigest == "" || s.Section == "" {
		return caos.Errorf(caos.Internal, "a statement without a source or section")
	}
	if len(s.Body) > maxStatement {
		return caos.Errorf(caos.TooLarge, "%s of %s has %d bytes, the limit is %d", s.Pointer, s.SourceName, len(s.Body), maxStatement)
	}
	if !json.Valid(s.Body) {
		return caos.Errorf(caos.Internal, "what %s of %s says is not JSON", s.Pointer, s.SourceName)
	}
	return checkScope(s.Project, s.Classification)
}

// statementID makes the id of a statement that is made at a moment: what a file said, took
// back and says again is a further statement.
func statementID(s *Statement, at time.Time) string {
	return "STMT-" + digestOf(s.Project, s.SourceName, s.SourceDigest, s.Section, s.Entry, string(s.Body), strconv.FormatInt(at.UnixMicro(), 10))
}

// place is where a statement stands, as one short text.
func (s *Statement) place() string { return digestOf(s.Project, s.SourceName, s.Section, s.Entry) }

func digestOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// StatementKey names a statement within a file.
type StatementKey struct{ Section, Entry string }

// Key is what names the statement within its file.
func (s *Statement) Key() StatementKey { return StatementKey{s.Section, s.Entry} }

// Said is what became of a statement that was put.
type Said struct {
	Outcome Outcome
	Before  *Statement // what the file said before, nil if it said nothing
}

// PutStatements keeps up to MaxPut statements of one file and project, filling in their ids
// and moments, and ends those whose place they take. What the file said before in the same
// words is Unchanged. Nothing is recorded: RecordImport does that for the whole file.
func (r *Registry) PutStatements(tx *db.Tx, list []Statement, by By) ([]Said, error) {
	if len(list) > MaxPut {
		return nil, caos.Errorf(caos.TooLarge, "%d statements at once, the limit is %d", len(list), MaxPut)
	}
	if len(list) == 0 {
		return nil, nil
	}
	standing, err := r.standing(tx, list)
	if err != nil {
		return nil, err
	}
	now := r.now()
	out := make([]Said, len(list))
	for i := range list {
		s := &list[i]
		if err := s.check(); err != nil {
			return nil, err
		}
		if s.Project != list[0].Project || s.SourceName != list[0].SourceName {
			return nil, caos.Errorf(caos.Internal, "statements of several files at once")
		}
		old := standing[s.Key()]
		if old != nil {
			s.Classification = caos.Stricter(old.Classification, s.Classification)
		}
		out[i] = Said{Outcome: Created, Before: old}
		if old != nil && bytes.Equal(old.Body, s.Body) && old.Subject == s.Subject && old.Kind == s.Kind && old.Classification == s.Classification {
			*s, out[i].Outcome = *old, Unchanged
			continue
		}
		s.ImportedAt, s.ImportedBy, s.EndedAt, s.SupersededBy = now, by.Actor, nil, ""
		s.StatementID = statementID(s, now)
		if old != nil {
			out[i].Outcome = Updated
			endStatement(tx, old, s.StatementID, now)
		}
		tx.Exec(`INSERT INTO statements (`+statementColumns+`, place) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, '', $14)`,
			s.StatementID, s.SourceName, s.SourceDigest, s.Section, s.Entry, s.Pointer, s.Subject, s.Kind, string(s.Body), s.Project, s.Classification,
			now.UnixMicro(), by.Actor, s.place())
		standing[s.Key()] = s
	}
	return out, nil
}

// ReclassifyStatements raises what files stated about some subjects to a classification. The
// caller records why.
func (r *Registry) ReclassifyStatements(tx *db.Tx, subjects []string, classification string) error {
	for _, subject := range subjects {
		for _, less := range append(caos.Classifications(), "") {
			if caos.Sensitivity(less) < caos.Sensitivity(classification) {
				tx.Exec(`UPDATE statements SET classification = $1 WHERE subject = $2 AND classification = $3`, classification, subject, less)
			}
		}
	}
	return tx.Err()
}

func endStatement(tx *db.Tx, s *Statement, by string, now time.Time) {
	tx.ExecOne(caos.Errorf(caos.Conflict, "the statement %s was ended meanwhile", s.StatementID),
		`UPDATE statements SET ended_at = $1, superseded_by = $2 WHERE statement_id = $3 AND ended_at = 0`, now.UnixMicro(), by, s.StatementID)
}

// standing reads what the file of a list said before about the list's entries.
func (r *Registry) standing(tx *db.Tx, list []Statement) (map[StatementKey]*Statement, error) {
	out := map[StatementKey]*Statement{}
	places := make([]string, len(list))
	for i := range list {
		places[i] = list[i].place()
	}
	err := perID(within(tx), `SELECT `+statementColumns+` FROM statements WHERE place = {{id}} AND ended_at = 0`, places, func(scan func(...any) error) error {
		s, err := scanStatement(scan)
		if err == nil {
			out[s.Key()] = s
		}
		return err
	})
	return out, err
}

// endPage is how many statements one call of EndMissing looks at.
const endPage = 2000

// EndMissing ends what a file said before and says no more: the standing statements of the
// file for which gone is true. It looks at a part of them, those after a statement ("" to
// begin with), and returns what it ended, without what that said, and the statement to go on
// after, "" when all were looked at.
func (r *Registry) EndMissing(tx *db.Tx, file StatementFile, after string, gone func(*Statement) bool) (ended []Statement, next string, err error) {
	seen, last := 0, ""
	err = tx.Query(`SELECT statement_id, section, entry, subject, kind FROM statements
		WHERE project = $1 AND source_name = $2 AND statement_id > $3 AND ended_at = 0 ORDER BY statement_id LIMIT `+strconv.Itoa(endPage),
		[]any{file.Project, file.SourceName, after}, func(scan func(...any) error) error {
			if len(ended) == MaxPut { // the rest is for the next call
				next = last
				return nil
			}
			var s Statement
			if err := scan(&s.StatementID, &s.Section, &s.Entry, &s.Subject, &s.Kind); err != nil {
				return err
			}
			seen, last = seen+1, s.StatementID
			if gone(&s) {
				ended = append(ended, s)
			}
			return nil
		})
	if err != nil {
		return nil, "", err
	}
	if seen == endPage {
		next = last
	}
	now := r.now()
	for i := range ended {
		endStatement(tx, &ended[i], "", now)
	}
	return ended, next, nil
}

// StatementFile names a file whose statements are kept.
type StatementFile struct{ Project, SourceName string }

// ImportRecord is what is recorded of an import, or of a piece of a long one.
type ImportRecord struct {
	SourceName     string
	SourceDigest   string
	Project        string
	Classification string
	Resources      []string // ids of statements and of what was made of them; the first 1000 are recorded
	Details        map[string]any
}

// RecordImport appends the audit record of an import that changed something.
func (r *Registry) RecordImport(tx *db.Tx, rec ImportRecord, by By) error {
	details := map[string]any{"file": rec.SourceName, "digest": rec.SourceDigest}
	for k, v := range rec.Details {
		details[k] = v
	}
	const most = 1000
	if len(rec.Resources) > most {
		details["resources_left_out"] = len(rec.Resources) - most
		rec.Resources = rec.Resources[:most]
	}
	return r.record(tx, by, note{Event: "file imported", Resources: slices.Clone(rec.Resources), Project: rec.Project,
		Classification: rec.Classification, Details: details})
}

const statementColumns = `statement_id, source_name, source_digest, section, entry, pointer, subject, kind, body, project, classification,
	imported_at, imported_by, ended_at, superseded_by`

func scanStatement(scan func(...any) error) (*Statement, error) {
	var s Statement
	var imported, ended int64
	var body string
	err := scan(&s.StatementID, &s.SourceName, &s.SourceDigest, &s.Section, &s.Entry, &s.Pointer, &s.Subject, &s.Kind, &body, &s.Project,
		&s.Classification, &imported, &s.ImportedBy, &ended, &s.SupersededBy)
	s.Body, s.ImportedAt, s.EndedAt = json.RawMessage(body), db.Moment(imported), db.Optional(ended)
	return &s, err
}

// Statement returns a statement, or a NotFound error.
func (r *Registry) Statement(ctx context.Context, id string) (*Statement, error) {
	var s *Statement
	err := r.pool(ctx)(`SELECT `+statementColumns+` FROM statements WHERE statement_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		s, err = scanStatement(scan)
		return err
	})
	if err == nil && s == nil {
		err = caos.Errorf(caos.NotFound, "there is no statement %.80s", id).WithField("statement_id")
	}
	return s, err
}

// StatementFilter chooses statements; empty fields match all.
type StatementFilter struct {
	SourceName, SourceDigest, Section, Subject, Kind, Project string
	Ended                                                     bool // those that later states of the file took back, too
	Limit                                                     int  // of a page; 0 means 100, the most is 1000
}

// Statements lists statements, latest first. cursor is "" and then the one returned.
func (r *Registry) Statements(ctx context.Context, f StatementFilter, cursor string) ([]*Statement, string, error) {
	w := new(db.Where)
	w.Is("source_name", f.SourceName)
	w.Is("source_digest", f.SourceDigest)
	w.Is("section", f.Section)
	w.Is("subject", f.Subject)
	w.Is("kind", f.Kind)
	w.Is("project", f.Project)
	if !f.Ended {
		w.And("ended_at = 0")
	}
	return db.Page(r.pool(ctx), w, db.Listing[*Statement]{Columns: statementColumns, From: "statements", At: "imported_at", ID: "statement_id", Limit: f.Limit,
		Scan: scanStatement,
		Key:  func(s *Statement) (time.Time, string) { return s.ImportedAt, s.StatementID },
	}, cursor)
}
