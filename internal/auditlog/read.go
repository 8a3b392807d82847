package auditlog

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/verify"
)

// reader reads committed data; *db.DB is one.
type reader = Reader

// Stored is a record as the log keeps it. Record and Salt are confidential, the rest is
// public.
type Stored struct {
	Generation int64  // 1, or higher after recoveries
	Index      int64  // of the leaf in its generation
	ID         string // of the record
	Type       Type
	Time       time.Time
	Hash       string // "SHA256:" and hex of the leaf's RFC 6962 hash
	Leaf       []byte // canonical JSON
	Record     []byte // canonical JSON; see ParseRecord
	Salt       [32]byte
}

const storedColumns = `r.seq, r.id, r.time_us, r.type, r.leaf, r.record, r.salt`

func scanStored(scan func(dest ...any) error) (*Stored, error) {
	var s Stored
	var seq, at int64
	var salt []byte
	if err := scan(&seq, &s.ID, &at, &s.Type, &s.Leaf, &s.Record, &salt); err != nil {
		return nil, err
	}
	copy(s.Salt[:], salt)
	s.Generation, s.Index = splitPosition(seq)
	s.Time = time.UnixMicro(at).UTC()
	s.Hash = verify.FormatHash(verify.RecordHash(s.Leaf))
	return &s, nil
}

// Get returns the record with an id, or a NotFound error.
func (l *Log) Get(ctx context.Context, id string) (*Stored, error) {
	s, err := scanStored(l.db.QueryRow(ctx, `SELECT `+storedColumns+` FROM audit_records r WHERE r.id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, caos.Errorf(caos.NotFound, "there is no audit record %q", clip(id)).WithField("id")
	}
	if err != nil {
		return nil, fmt.Errorf("read audit record: %w", err)
	}
	return s, nil
}

// Filter says which records List returns; empty fields do not matter. From is inclusive,
// To exclusive.
type Filter struct {
	Type      Type
	Actor     string
	Resource  string
	Execution string
	Project   string
	From, To  time.Time
	Limit     int // of a page; 0 means 100, the most is 1000
}

// Page is one page of a list.
type Page struct {
	Records []*Stored
	Next    string // cursor of the next page, "" if there is none
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// List returns records that match, latest first, by the time that the records state. The
// cursor is "" for the first page and then the Next of the page before; records that are
// added in between do not disturb it.
func (l *Log) List(ctx context.Context, f Filter, cursor string) (*Page, error) {
	limit := f.Limit
	switch {
	case limit == 0:
		limit = defaultPage
	case limit < 0 || limit > maxPage:
		return nil, caos.Errorf(caos.Invalid, "a page has 1 to %d records", maxPage).WithField("limit")
	}
	query, args, err := f.query(cursor, limit+1)
	if err != nil {
		return nil, err
	}
	rows, err := l.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	page := &Page{}
	for rows.Next() {
		s, err := scanStored(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list audit records: %w", err)
		}
		page.Records = append(page.Records, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list audit records: %w", err)
	}
	if len(page.Records) > limit {
		page.Records = page.Records[:limit]
		last := page.Records[limit-1]
		page.Next = mark{last.Time.UnixMicro(), position(last.Generation, last.Index)}.cursor()
	}
	return page, nil
}

// query writes the SELECT of a page. Every condition and the order are served by one
// index.
func (f Filter) query(cursor string, limit int) (string, []any, error) {
	var where []string
	var args []any
	and := func(cond string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			cond = strings.Replace(cond, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		where = append(where, cond)
	}
	from, at := `audit_records r`, "r"
	if f.Resource != "" {
		from, at = `audit_resources s JOIN audit_records r ON r.seq = s.seq`, "s"
		and(`s.resource = ?`, f.Resource)
	}
	if f.Type != "" {
		if !f.Type.Valid() {
			return "", nil, caos.Errorf(caos.Invalid, "%q is no record type", clip(string(f.Type))).WithField("type")
		}
		and(`r.type = ?`, string(f.Type))
	}
	if f.Actor != "" {
		and(`r.actor = ?`, f.Actor)
	}
	if f.Execution != "" {
		and(`r.execution = ? AND r.execution <> ''`, f.Execution)
	}
	if f.Project != "" {
		and(`r.project = ? AND r.project <> ''`, f.Project)
	}
	if !f.From.IsZero() {
		and(at+`.time_us >= ?`, f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		and(at+`.time_us < ?`, f.To.UnixMicro())
	}
	if cursor != "" {
		m, err := parseCursor(cursor)
		if err != nil {
			return "", nil, err
		}
		and(`(`+at+`.time_us, `+at+`.seq) < (?, ?)`, m.time, m.seq)
	}
	text := `SELECT ` + storedColumns + ` FROM ` + from
	if len(where) > 0 {
		text += ` WHERE ` + strings.Join(where, ` AND `)
	}
	args = append(args, int64(limit))
	return text + ` ORDER BY ` + at + `.time_us DESC, ` + at + `.seq DESC LIMIT $` + strconv.Itoa(len(args)), args, nil
}

// mark is the record that a page ended with.
type mark struct{ time, seq int64 }

// cursor writes a mark as text that means nothing to the caller.
func (m mark) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte("1." + strconv.FormatInt(m.time, 36) + "." + strconv.FormatInt(m.seq, 36)))
}

func parseCursor(s string) (mark, error) {
	bad := caos.Errorf(caos.Invalid, "the cursor is not one that this list gave").WithField("cursor").
		WithHint("begin again without a cursor")
	if len(s) > 64 {
		return mark{}, bad
	}
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return mark{}, bad
	}
	parts := strings.Split(string(text), ".")
	if len(parts) != 3 || parts[0] != "1" {
		return mark{}, bad
	}
	var m mark
	if m.time, err = strconv.ParseInt(parts[1], 36, 64); err != nil {
		return mark{}, bad
	}
	if m.seq, err = strconv.ParseInt(parts[2], 36, 64); err != nil || m.cursor() != s {
		return mark{}, bad
	}
	return m, nil
}

// Counts returns how many records there are by day, type and project, from the day of from
// to that of to, both inclusive; a zero time is no limit. The numbers are kept with every
// commit; Recount counts anew, and Verify compares the two.
func (l *Log) Counts(ctx context.Context, from, to time.Time) ([]Count, error) {
	return counts(ctx, l.db, `SELECT day, type, project, n FROM audit_counts WHERE day >= $1 AND day <= $2
		ORDER BY day, type, project`, from, to)
}

// Recount is Counts from the records themselves.
func (l *Log) Recount(ctx context.Context, from, to time.Time) ([]Count, error) {
	return counts(ctx, l.db, `SELECT time_us / 86400000000, type, project, count(*) FROM audit_records
		WHERE time_us / 86400000000 >= $1 AND time_us / 86400000000 <= $2 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, from, to)
}

func counts(ctx context.Context, d reader, query string, from, to time.Time) ([]Count, error) {
	first, last := int64(0), int64(1)<<40
	if !from.IsZero() {
		first = from.UnixMicro() / dayMicros
	}
	if !to.IsZero() {
		last = to.UnixMicro() / dayMicros
	}
	rows, err := d.Query(ctx, query, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Count
	for rows.Next() {
		var c Count
		if err := rows.Scan(&c.Day, &c.Type, &c.Project, &c.N); err != nil {
			return nil, fmt.Errorf("count audit records: %w", err)
		}
		all = append(all, c)
	}
	return all, rows.Err()
}
