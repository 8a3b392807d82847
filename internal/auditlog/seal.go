package auditlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/db"
)

// sealed is what a transaction makes of the log once it is committed.
type sealed struct {
	head head
	edge *edge
}

var errMalformed = errors.New("the head of the audit log is malformed")

const headColumns = `SELECT generation, origin, size, root, last_time FROM log_head WHERE one = 1`

// scanHead reads a row of headColumns.
func scanHead(scan func(dest ...any) error) (head, error) {
	var h head
	var root []byte
	if err := scan(&h.generation, &h.origin, &h.size, &root, &h.lastTime); err != nil {
		return head{}, err
	}
	if len(root) != tlog.HashSize || h.size < 0 || h.size >= 1<<indexBits || h.generation < 1 {
		return head{}, errMalformed
	}
	h.root = tlog.Hash(root)
	return h, nil
}

// readHead reads the committed head.
func readHead(ctx context.Context, d reader) (head, error) {
	h, err := scanHead(d.QueryRow(ctx, headColumns).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return head{}, errNoLog
	}
	return h, err
}

// Begin locks the head, which makes one writer of all nodes, and reads the edge of the
// tree unless it is still the one this node knows. It is part of db.Sealer.
func (l *Log) Begin(tx *db.Tx) error {
	query := headColumns
	if tx.Dialect() == db.PostgreSQL {
		query += ` FOR UPDATE`
	}
	h, err := scanHead(tx.QueryRow(query).Scan)
	if err != nil {
		return fmt.Errorf("read the log's head: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next, l.given = nil, nil
	if l.edge != nil && h == l.head {
		return nil
	}
	if h.generation > l.head.generation {
		l.recovery, l.dispute = "", nil // another node opened a successor
	}
	l.head = h
	l.edge, err = loadEdge(tx, h)
	l.damage = ""
	switch {
	case tx.Err() != nil:
		l.edge = nil
		return tx.Err()
	case err != nil:
		l.edge, l.damage = nil, err.Error()
	case l.edge.root() != h.root:
		l.edge, l.damage = nil, "the tiles of the audit log do not hash to its root"
	}
	return nil
}

// loadEdge reads the unfinished tiles.
func loadEdge(tx *db.Tx, h head) (*edge, error) {
	var tails [maxLevels][]byte
	for level := range tails {
		if tailWidth(h.size, level) == 0 {
			continue
		}
		err := tx.QueryRow(`SELECT hashes FROM log_tiles WHERE generation = $1 AND level = $2 AND tile_index = $3`,
			h.generation, level, h.size>>(tileBits*(level+1))).Scan(&tails[level])
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	return edgeOf(h.size, tails)
}

// Seal writes what the transaction emitted: records, tiles and head. It is part of
// db.Sealer.
func (l *Log) Seal(tx *db.Tx, emitted []any) error {
	entries := make([]*entry, len(emitted))
	for i, v := range emitted {
		e, ok := v.(*entry)
		if !ok {
			return fmt.Errorf("a %T was emitted to the audit log", v)
		}
		entries[i] = e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ed := l.head, l.edge
	first := slices.IndexFunc(entries, func(e *entry) bool { return e.opens != nil })
	if first >= 0 {
		// What shares the transaction with a recovery belongs behind its first leaves.
		entries = slices.Concat(entries[first:], entries[:first])
		h, ed = entries[0].opens.open(tx, h), &edge{}
	}
	if ed == nil {
		return fmt.Errorf("the audit log cannot be extended: %s", l.damage)
	}
	if h.size+int64(len(entries)) >= 1<<indexBits {
		return fmt.Errorf("the audit log has no room for more leaves")
	}
	hashes := make([]tlog.Hash, len(entries))
	for i, e := range entries {
		hashes[i] = e.hash
	}
	grown, tiles := ed.grow(hashes)
	after := h
	after.size, after.root = grown.size, grown.root()
	for _, e := range entries {
		after.lastTime = max(after.lastTime, e.at)
	}
	writeRecords(tx, h, entries)
	writeTiles(tx, h.generation, tiles)
	stale := fmt.Errorf("another writer moved the head of the audit log")
	tx.ExecOne(stale, `UPDATE log_head SET size = $1, root = $2, last_time = $3 WHERE one = 1 AND generation = $4 AND size = $5`,
		after.size, after.root[:], after.lastTime, h.generation, h.size)
	l.next = &sealed{after, grown}
	return tx.Err()
}

// Done takes over what was committed, and forgets everything after an unknown outcome. It
// is part of db.Sealer.
func (l *Log) Done(committed, unknown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.next
	l.next, l.given = nil, nil
	switch {
	case unknown:
		l.edge = nil
	case committed && next != nil:
		if next.head.generation != l.head.generation {
			l.recovery, l.damage, l.dispute = "", "", nil
		}
		l.head, l.edge = next.head, next.edge
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

const recordColumns = `seq, id, time_us, type, actor, recorded_by, execution, project, classification, leaf, record, salt`

// writeRecords writes the rows of entries, whose first gets the index h.size.
func writeRecords(tx *db.Tx, h head, entries []*entry) {
	if tx.Dialect() == db.PostgreSQL {
		unnestRecords(tx, h, entries)
	} else {
		insertion{`INSERT INTO audit_records (` + recordColumns + `) VALUES `, ``, 12, len(entries)}.rows(tx, func(args []any, i int) []any {
			e := entries[i]
			r := e.record
			return append(args, position(h.generation, h.size+int64(i)), r.ID, r.Time.UnixMicro(), string(r.Type), r.Actor,
				r.RecordedBy, r.Execution, r.Project, r.Classification, string(e.leaf), string(e.text), e.salt[:])
		})
	}
	writeResources(tx, h, entries)
	writeCounts(tx, entries)
}

// unnestRecords is one statement and one round trip, however many the rows.
func unnestRecords(tx *db.Tx, h head, entries []*entry) {
	n := len(entries)
	seq, at, salt := make([]int64, n), make([]int64, n), make([][]byte, n)
	var text [9][]string
	for i := range text {
		text[i] = make([]string, n)
	}
	for i, e := range entries {
		r := e.record
		seq[i], at[i], salt[i] = position(h.generation, h.size+int64(i)), r.Time.UnixMicro(), e.salt[:]
		for c, s := range [9]string{r.ID, string(r.Type), r.Actor, r.RecordedBy, r.Execution, r.Project, r.Classification, string(e.leaf), string(e.text)} {
			text[c][i] = s
		}
	}
	tx.Exec(`INSERT INTO audit_records (`+recordColumns+`) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[],
		$5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[])`,
		seq, text[0], at, text[1], text[2], text[3], text[4], text[5], text[6], text[7], text[8], salt)
}

// writeResources writes one row for each different resource of each record.
func writeResources(tx *db.Tx, h head, entries []*entry) {
	type row struct {
		resource string
		time     int64
		seq      int64
	}
	var all []row
	for i, e := range entries {
		for j, s := range e.record.Resources {
			if slices.Contains(e.record.Resources[:j], s) {
				continue
			}
			all = append(all, row{s, e.record.Time.UnixMicro(), position(h.generation, h.size+int64(i))})
		}
	}
	insertion{`INSERT INTO audit_resources (resource, time_us, seq) VALUES `, ``, 3, len(all)}.rows(tx, func(args []any, i int) []any {
		return append(args, all[i].resource, all[i].time, all[i].seq)
	})
}

// Count is how many records of a type and project there are of a day.
type Count struct {
	Day     int64 // days since 1970 UTC
	Type    Type
	Project string
	N       int64
}

const dayMicros = 24 * 60 * 60 * 1_000_000

// writeCounts adds to the numbers of the dashboard.
func writeCounts(tx *db.Tx, entries []*entry) {
	var all []Count
	for _, e := range entries {
		c := Count{Day: e.record.Time.UnixMicro() / dayMicros, Type: e.record.Type, Project: e.record.Project}
		i := slices.IndexFunc(all, func(o Count) bool { return o.Day == c.Day && o.Type == c.Type && o.Project == c.Project })
		if i < 0 {
			i, all = len(all), append(all, c)
		}
		all[i].N++
	}
	in := insertion{
		into:     `INSERT INTO audit_counts (day, type, project, n) VALUES `,
		conflict: ` ON CONFLICT (day, type, project) DO UPDATE SET n = audit_counts.n + excluded.n`,
		columns:  4, n: len(all),
	}
	in.rows(tx, func(args []any, i int) []any {
		return append(args, all[i].Day, string(all[i].Type), all[i].Project, all[i].N)
	})
}

func writeTiles(tx *db.Tx, generation int64, tiles []tile) {
	for _, t := range tiles {
		tx.Exec(`INSERT INTO log_tiles (generation, level, tile_index, hashes) VALUES ($1, $2, $3, $4)
			ON CONFLICT (generation, level, tile_index) DO UPDATE SET hashes = excluded.hashes`,
			generation, t.level, t.index, t.data)
	}
}

// insertion is an INSERT of many rows.
type insertion struct {
	into     string // up to VALUES
	conflict string // what follows the rows
	columns  int
	n        int // rows
}

// rows runs it in statements of few sizes, so that the texts can be kept prepared. row
// appends the values of row i.
func (in insertion) rows(tx *db.Tx, row func(args []any, i int) []any) {
	for from := 0; from < in.n; {
		count := 1
		for _, size := range [...]int{64, 16, 4} {
			if in.n-from >= size {
				count = size
				break
			}
		}
		args := make([]any, 0, count*in.columns)
		for i := range count {
			args = row(args, from+i)
		}
		tx.Exec(in.into+placeholders(tx.Dialect(), count, in.columns)+in.conflict, args...)
		from += count
	}
}

// placeholders returns "($1,$2),($3,$4)" for two rows of two columns. On SQLite they have
// no numbers: its driver looks each number up in a list, which took a quarter of all time.
func placeholders(dialect db.Dialect, count, columns int) string {
	var b strings.Builder
	b.Grow(count * columns * 5)
	for i := range count * columns {
		switch {
		case i == 0:
			b.WriteByte('(')
		case i%columns == 0:
			b.WriteString("),(")
		default:
			b.WriteByte(',')
		}
		if dialect == db.SQLite {
			b.WriteByte('?')
			continue
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(i + 1))
	}
	b.WriteByte(')')
	return b.String()
}

// refusal says why a record of a type cannot be taken now.
func (l *Log) refusal(t Type) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.damage != "":
		return caos.Errorf(caos.Unavailable, "the audit log cannot be extended: %s", l.damage).
			WithHint("run caos audit verify, restore the database or run caos recover")
	case l.recovery != "" && !duringRecovery(t):
		return caos.Errorf(caos.Unavailable, "the audit log is in recovery mode: %s", l.recovery).
			WithHint("restore the complete log, or have two people run caos recover; until then it can be read, verified and used for rollbacks")
	}
	return nil
}
