package auditlog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos/internal/db"
	"caos/internal/verify"
)

// VerifyOptions say which log to check: exactly one of DB, Path and DataDir.
type VerifyOptions struct {
	DB      *db.DB // an open database
	Path    string // a SQLite file: of a server that runs or not, or a copy
	DataDir string // a data folder, which holds caos.db

	// Origin is the log's name by the installation's configuration, "" if it is not known.
	// Published checkpoints are found by the name that the database has; one that was
	// changed there would leave a shortened log nothing to be compared with.
	Origin string

	Published []Sink // places where checkpoints of the log were published
	// Held hands over what others have of the log; nil if nobody was asked. It is called once,
	// with what reads the database that is checked.
	Held      func(ctx context.Context, d Reader, each func(Held)) error
	Trust     []verify.Trust  // trust files that the auditor holds, beside the log's own KEY records
	OnProblem func(p Problem) // called for each problem, one at a time
	Workers   int             // 0 = one for each processor
}

// Summary is the outcome of Verify.
type Summary struct {
	Records     int64     // records that were re-hashed
	Generations int64     // logs: 1, and one more for each recovery
	Origin      string    // of the current log
	Size        int64     // leaves of the current log
	Root        tlog.Hash // its root by its head
	Checkpoints int       // published checkpoints that were compared
	Held        int       // trees that others have, which were compared
	Foreign     int       // published checkpoints of other logs, left alone
	Problems    int       // differences found; 0 means that the log is what it must be
	// Lost are the ranges of leaves that recoveries have stated as lost. They are facts
	// about the log's past, not problems of it.
	Lost []LostRange
	Took time.Duration
}

// LostRange is what a successor log says its predecessor has lost.
type LostRange struct {
	Generation int64
	Range
	Record string // id of the record that says so
}

// Reader reads a database, whether a server has it open or it is a file.
type Reader interface {
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

// Held is what somebody outside has of a log.
type Held struct {
	From    string    // who has it, in words
	Origin  string    // of the log
	Size    int64     // leaves of the tree
	Root    tlog.Hash // that it has
	Signed  []byte    // the checkpoint, whose signature is checked; nil where only its tree is known
	Problem string    // what was found wrong already; "" for nothing. Then Size may be 0, and nothing is compared
}

// Verify checks a whole log without a server and without writing: every record against
// its commitment, leaf and columns, every tile, the head, the index of resources, the
// dashboard's numbers, and every published checkpoint. The log may grow meanwhile; what
// was there at the beginning is checked. Differences go to OnProblem; the error is only
// about what kept Verify from looking.
func Verify(ctx context.Context, opt VerifyOptions) (Summary, error) {
	start := time.Now()
	v := &verifier{opt: opt, h: newHasher(), counts: map[Count]int64{}}
	if v.opt.Workers <= 0 {
		v.opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.DataDir != "" {
		v.opt.Path = filepath.Join(opt.DataDir, "caos.db")
	}
	v.d = opt.DB
	if opt.DB == nil {
		file, err := openFile(ctx, v.opt.Path)
		if err != nil {
			return Summary{}, err
		}
		defer file.Close()
		v.d = file
	}
	if err := v.run(ctx); err != nil {
		return v.sum, fmt.Errorf("verify the audit log: %w", err)
	}
	v.sum.Took = time.Since(start)
	return v.sum, nil
}

// verifier is one run of Verify.
type verifier struct {
	opt VerifyOptions
	d   reader
	h   hasher
	sum Summary

	mu     sync.Mutex // guards what workers share: reports and counts
	counts map[Count]int64

	logs []*checkedLog
}

// checkedLog is one generation.
type checkedLog struct {
	head
	closed    bool
	agreed    int64 // of a closed log: the size up to which published checkpoints hold
	agreedTo  string
	lostTo    int64 // of a closed log: the last published size, as its successor says
	trust     verify.Trust
	trusted   bool
	byGroup   map[int64][]*published // checkpoints that end in a group
	resources []sum                  // by group, what audit_resources must hold
	latest    string                 // latest stamp that the log gave
	named     map[int64]bool         // leaves that were reported
	missing   bool                   // a record is not there
}

// published is a checkpoint from a sink.
type published struct {
	from string // who has it
	size int64
	root tlog.Hash
	tail tlog.Hash // root of the leaves in the unfinished group at its end
}

func (v *verifier) report(p Problem) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sum.Problems++
	if v.opt.OnProblem != nil {
		v.opt.OnProblem(p)
	}
}

func (v *verifier) problem(kind string, g int64, format string, args ...any) {
	v.report(Problem{Kind: kind, Generation: g, Index: -1, What: fmt.Sprintf(format, args...)})
}

func (v *verifier) run(ctx context.Context) error {
	stored, err := v.readLogs(ctx)
	if errors.Is(err, errNoLog) || errors.Is(err, errMalformed) {
		v.problem(BadHead, 1, "%v; nothing else can be checked", err)
		return nil
	}
	if err != nil {
		return err
	}
	v.checkName()
	if err := v.readSuccessions(ctx); err != nil {
		return err
	}
	if err := v.readPublished(ctx); err != nil {
		return err
	}
	if err := v.readHeld(ctx); err != nil {
		return err
	}
	if err := v.strayRows(ctx); err != nil {
		return err
	}
	index := v.readIndex(ctx) // beside the rest
	for _, l := range v.logs {
		if err := v.checkLog(ctx, l); err != nil {
			_, _ = index()
			return err
		}
	}
	sums, err := index()
	if err != nil {
		return err
	}
	if err := v.checkIndex(ctx, sums); err != nil {
		return err
	}
	v.checkCounts(stored)
	return nil
}

// checkName compares the names that the database has with what is known from elsewhere.
func (v *verifier) checkName() {
	h := v.logs[len(v.logs)-1].head
	if want := originOf(v.opt.Origin, h.generation); v.opt.Origin != "" && h.origin != want {
		v.problem(BadHead, h.generation, "the log is called %s, by the configuration it is %s", h.origin, want)
	}
	for _, t := range v.opt.Trust {
		if !slices.ContainsFunc(v.logs, func(l *checkedLog) bool { return l.origin == t.Origin }) {
			v.problem(BadKey, h.generation, "the trust file is of the log %s, this is %s", t.Origin, h.origin)
		}
	}
}

// renamed reports whether a checkpoint that names another log was signed by one of these:
// then it is not the checkpoint that is foreign, but the name in the database.
func (v *verifier) renamed(signed []byte, origin string) bool {
	return slices.ContainsFunc(v.logs, func(l *checkedLog) bool {
		trust := l.trust
		trust.Origin = origin
		_, err := verify.OpenLoggedCheckpoint(signed, trust)
		return l.trusted && err == nil
	})
}

// readLogs reads the head together with the numbers of the dashboard, in one statement so
// that they are of one moment, and the closed logs.
func (v *verifier) readLogs(ctx context.Context) (stored map[Count]int64, err error) {
	rows, err := v.d.Query(ctx, `SELECT h.generation, h.origin, h.size, h.root, h.last_time, coalesce(c.day, -1), coalesce(c.type, ''),
		coalesce(c.project, ''), coalesce(c.n, 0) FROM log_head h LEFT JOIN audit_counts c ON 1 = 1 WHERE h.one = 1`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var h head
	stored = map[Count]int64{}
	for rows.Next() {
		var c Count
		var n int64
		h, err = scanHead(func(dest ...any) error { return rows.Scan(append(dest, &c.Day, &c.Type, &c.Project, &n)...) })
		if err != nil {
			return nil, err
		}
		if c.Type != "" || c.Day >= 0 {
			stored[c] += n
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if h.generation == 0 {
		return nil, errNoLog
	}
	closed, err := v.readClosed(ctx, h)
	if err != nil {
		return nil, err
	}
	v.logs = append(closed, &checkedLog{head: h})
	v.sum.Generations, v.sum.Origin, v.sum.Size, v.sum.Root = h.generation, h.origin, h.size, h.root
	return stored, nil
}

// readClosed reads the logs that recoveries closed.
func (v *verifier) readClosed(ctx context.Context, h head) ([]*checkedLog, error) {
	rows, err := v.d.Query(ctx, `SELECT generation, origin, size, root, 0, agreed_size, agreed_note FROM log_closed
		ORDER BY generation`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	base := strings.TrimSuffix(h.origin, fmt.Sprintf("/%d", h.generation))
	var closed []*checkedLog
	for rows.Next() {
		l := &checkedLog{closed: true}
		l.head, err = scanHead(func(dest ...any) error { return rows.Scan(append(dest, &l.agreed, &l.agreedTo)...) })
		if err != nil && !errors.Is(err, errMalformed) {
			return nil, err
		}
		if err != nil || l.generation >= h.generation || l.origin != originOf(base, l.generation) {
			v.problem(BadSuccession, l.generation, "there is a closed log that cannot be a predecessor of this one")
			continue
		}
		closed = append(closed, l)
	}
	return closed, rows.Err()
}

// readSuccessions compares each closed log with what the first record of its successor
// says of it. That record is part of the successor's tree.
func (v *verifier) readSuccessions(ctx context.Context) error {
	for g := int64(1); g < v.sum.Generations; g++ {
		var l *checkedLog
		for _, c := range v.logs[:len(v.logs)-1] {
			if c.generation == g {
				l = c
			}
		}
		if l == nil {
			v.problem(BadSuccession, g, "generation %d is missing among the closed logs", g)
			continue
		}
		var id string
		var text []byte
		err := v.d.QueryRow(ctx, `SELECT id, record FROM audit_records WHERE seq = $1`, position(g+1, 0)).Scan(&id, &text)
		if err != nil {
			v.problem(BadSuccession, g, "the first record of its successor is missing")
			continue
		}
		d, err := parseRecovered(text)
		if err != nil {
			v.problem(BadSuccession, g, "the first record of its successor cannot be read: %v", err)
			continue
		}
		want := Closed{l.generation, l.origin, l.size, verify.FormatHash(l.root), l.agreed}
		if d.Predecessor != want {
			v.problem(BadSuccession, g, "it is not the log that the first record of its successor, %s, tells of", id)
		}
		if d.Published != nil {
			l.lostTo = d.Published.Size
		}
		if d.Lost != nil {
			v.sum.Lost = append(v.sum.Lost, LostRange{g, *d.Lost, id})
		}
	}
	return nil
}

// readPublished reads all published checkpoints and hands them to their logs.
func (v *verifier) readPublished(ctx context.Context) error {
	for _, l := range v.logs {
		l.byGroup = map[int64][]*published{}
		trust, err := trustOf(ctx, v.d, l.generation, l.origin)
		for _, t := range v.opt.Trust {
			if t.Origin != l.origin {
				continue
			}
			if err == nil && t.LogID != trust.LogID {
				v.problem(BadKey, l.generation, "the trust file is of the log %s, this is %s", t.LogID, trust.LogID)
			}
			trust, err = t, nil
		}
		if err != nil && l.size > 0 {
			v.problem(BadKey, l.generation, "the log's keys cannot be read: %v", err)
		}
		l.trust, l.trusted = trust, err == nil
	}
	// Signatures take longest, so they are checked beside the reading.
	found := make(chan []byte, 64)
	var wg sync.WaitGroup
	for range v.opt.Workers {
		wg.Go(func() {
			for signed := range found {
				v.take(ctx, signed)
			}
		})
	}
	defer wg.Wait()
	defer close(found)
	for _, s := range v.opt.Published {
		err := s.All(ctx, func(signed []byte) error {
			select {
			case found <- bytes.Clone(signed):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			return fmt.Errorf("read published checkpoints: %w", err)
		}
	}
	return nil
}

// readHeld asks what others have of the log and hands it to its logs.
func (v *verifier) readHeld(ctx context.Context) error {
	if v.opt.Held == nil {
		return nil
	}
	err := v.opt.Held(ctx, v.d, func(h Held) {
		i := slices.IndexFunc(v.logs, func(l *checkedLog) bool { return l.origin == h.Origin })
		if h.Problem != "" {
			v.problem(BadAnchor, v.sum.Generations, "%s: %s", h.From, h.Problem)
		}
		switch {
		case h.Size == 0:
			return
		case i < 0:
			v.problem(BadAnchor, v.sum.Generations, "%s: has a tree of the log %s, which is not in this database", h.From, h.Origin)
			return
		}
		v.sum.Held++
		v.place(ctx, v.logs[i], published{from: h.From, size: h.Size, root: h.Root}, h.Signed)
	})
	if err != nil {
		return fmt.Errorf("read what others have of the log: %w", err)
	}
	return nil
}

// take checks a published checkpoint as far as it can be checked before the leaves were
// read, and keeps it for then.
func (v *verifier) take(ctx context.Context, signed []byte) {
	current := v.logs[len(v.logs)-1]
	c, err := readNote(signed)
	if err != nil {
		v.problem(BadCheckpoint, current.generation, "a published checkpoint cannot be read: %v", err)
		return
	}
	if c.Origin == originOf(v.logs[0].origin, current.generation+1) {
		v.problem(BadCheckpoint, current.generation, "a checkpoint of a successor was published (size %d) that the database does not know", c.Size)
		return
	}
	i := slices.IndexFunc(v.logs, func(l *checkedLog) bool { return l.origin == c.Origin })
	if i < 0 && v.renamed(signed, c.Origin) {
		v.problem(BadCheckpoint, current.generation, "a key of this log signed a checkpoint of %d leaves for it under the name %s, and the database calls it %s", c.Size, c.Origin, current.origin)
	}
	v.mu.Lock()
	if i < 0 {
		v.sum.Foreign++
	} else {
		v.sum.Checkpoints++
	}
	v.mu.Unlock()
	if i < 0 {
		return
	}
	v.place(ctx, v.logs[i], published{size: c.Size, root: c.Root}, signed)
}

// place compares a tree that is known outside with the log as far as it can be compared
// before the leaves were read, and keeps it for then.
func (v *verifier) place(ctx context.Context, l *checkedLog, p published, signed []byte) {
	if l.trusted && signed != nil {
		if _, err := verify.OpenLoggedCheckpoint(signed, l.trust); err != nil {
			v.problem(p.kind(), l.generation, "%sthe published checkpoint of size %d: %v", p.who(), p.size, err)
			return
		}
	}
	switch {
	case l.closed && p.size > l.agreed && p.size <= l.lostTo:
		return // its loss is recorded in the successor
	case p.size > l.size && !l.closed && v.grewTo(ctx, l.generation, p.size):
		return // published since this look began, of leaves that it does not look at
	case p.size > l.size:
		v.problem(p.kind(), l.generation, "%sa checkpoint of %d leaves with the root %s was published and the log has %d: leaves %d to %d are lost, and nothing here shows that those before are what they were",
			p.who(), p.size, verify.FormatHash(p.root), l.size, l.size, p.size-1)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	g := p.size / tileWidth
	l.byGroup[g] = append(l.byGroup[g], &p)
}

// who says who has the tree, for the beginning of a sentence.
func (p published) who() string {
	if p.from == "" {
		return ""
	}
	return p.from + ": "
}

func (p published) kind() string {
	if p.from == "" {
		return BadCheckpoint
	}
	return BadAnchor
}

// grewTo reports whether a log that is in use has a size by now.
func (v *verifier) grewTo(ctx context.Context, generation, size int64) bool {
	now, err := readHead(ctx, v.d)
	return err == nil && now.generation == generation && now.size >= size
}

// strayRows finds rows outside the logs.
func (v *verifier) strayRows(ctx context.Context) error {
	for i, l := range v.logs {
		first, end := position(l.generation, l.size), position(l.generation+1, 0)
		query := `SELECT seq, id FROM audit_records WHERE seq >= $1 AND seq < $2 ORDER BY seq`
		args := []any{first, end}
		if i == len(v.logs)-1 {
			// The current log may grow: the head of this very moment counts.
			query = `SELECT r.seq, r.id FROM log_head h, audit_records r WHERE r.seq >= h.generation * 1099511627776 + h.size ORDER BY r.seq`
			args = nil
		}
		if err := v.extra(ctx, query, args); err != nil {
			return err
		}
	}
	return v.extra(ctx, `SELECT seq, id FROM audit_records WHERE seq < $1 ORDER BY seq`, []any{position(v.logs[0].generation, 0)})
}

func (v *verifier) extra(ctx context.Context, query string, args []any) error {
	rows, err := v.d.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var id string
		if err := rows.Scan(&seq, &id); err != nil {
			return err
		}
		g, index := splitPosition(seq)
		v.report(Problem{BadExtra, g, index, id, "the log has no leaf there"})
	}
	return rows.Err()
}

// checkCounts compares the dashboard's numbers with those of the records.
func (v *verifier) checkCounts(stored map[Count]int64) {
	if slices.ContainsFunc(v.logs, func(l *checkedLog) bool { return l.missing }) {
		return // that they differ says nothing new
	}
	for c, n := range v.counts {
		if stored[c] != n {
			v.problem(BadCount, v.sum.Generations, "%s of project %q on day %d: %d are counted, there are %d", c.Type, c.Project, c.Day, stored[c], n)
		}
	}
	for c, n := range stored {
		if _, there := v.counts[c]; !there && n != 0 {
			v.problem(BadCount, v.sum.Generations, "%s of project %q on day %d: %d are counted, there are none", c.Type, c.Project, c.Day, n)
		}
	}
}
