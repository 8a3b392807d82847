package notify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"caos"
	"caos/internal/db"
)

// Options are what a Notifier is made of. DB, Stamps and People are required.
type Options struct {
	DB     *db.DB
	Stamps *caos.Stamper
	People People
	Alerts Alerts           // nil means that a parked message is only logged
	Sinks  []Sink           // none means the log alone
	Now    func() time.Time // nil means time.Now
	Log    *slog.Logger     // nil means slog.Default()

	Attempts int           // before a message is parked; 0 means 8
	First    time.Duration // pause after the first failure, doubled each time; 0 means 5 s
	Max      time.Duration // longest pause; 0 means 10 min
	Timeout  time.Duration // of one Deliver; 0 means 30 s
	Poll     time.Duration // how often messages of other nodes are looked for; 0 means 2 s
	Keep     time.Duration // how long notices are kept; 0 means 365 days

	after func(time.Duration) <-chan time.Time // tests wait in no time
}

// Notifier keeps notices and carries them out. Its methods may be called from any goroutine.
type Notifier struct {
	opt     Options
	db      *db.DB
	now     string // SQL of the database server's clock in microseconds
	workers []*worker

	mu      sync.Mutex
	cancel  context.CancelFunc
	closed  bool
	running sync.WaitGroup
}

// New makes a Notifier. It delivers nothing before Start.
func New(opt Options) (*Notifier, error) {
	if opt.DB == nil || opt.Stamps == nil || opt.People == nil {
		return nil, errors.New("notify: Options.DB, Options.Stamps and Options.People are required")
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if len(opt.Sinks) == 0 {
		opt.Sinks = []Sink{LogSink{Log: opt.Log}}
	}
	if opt.Attempts <= 0 {
		opt.Attempts = 8
	}
	opt.First = orDefault(opt.First, 5*time.Second)
	opt.Max = orDefault(opt.Max, 10*time.Minute)
	opt.Timeout = orDefault(opt.Timeout, 30*time.Second)
	opt.Poll = orDefault(opt.Poll, 2*time.Second)
	opt.Keep = orDefault(opt.Keep, 365*24*time.Hour)
	if opt.after == nil {
		opt.after = time.After
	}
	n := &Notifier{opt: opt, db: opt.DB, now: "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"}
	if opt.DB.Dialect() == db.PostgreSQL {
		n.now = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
	}
	for _, s := range opt.Sinks {
		if slices.ContainsFunc(n.workers, func(w *worker) bool { return w.sink.Name() == s.Name() }) {
			return nil, fmt.Errorf("notify: two sinks are called %q", s.Name())
		}
		n.workers = append(n.workers, &worker{sink: s, wake: make(chan struct{}, 1)})
	}
	return n, nil
}

func orDefault(d, standard time.Duration) time.Duration {
	if d <= 0 {
		return standard
	}
	return d
}

// sql puts the server's clock into a statement.
func (n *Notifier) sql(text string) string { return strings.ReplaceAll(text, "{{now}}", n.now) }

// Send writes a notice for its people in the caller's transaction, once each, and hands it
// to the outbox. A role that nobody holds, and a notice that reaches nobody at all, are
// findings in the delivery, not errors: the caller shows them.
//
// Errors: Invalid, naming the field.
func (n *Notifier) Send(tx *db.Tx, notice Notice) (Delivery, error) {
	notice, err := notice.normalise()
	if err != nil {
		return Delivery{}, fmt.Errorf("send notice: %w", err)
	}
	d := Delivery{People: []string{}, Findings: []caos.Finding{}}
	for _, person := range notice.People {
		if person != "" {
			d.People = append(d.People, person)
		}
	}
	for _, role := range notice.Roles {
		holders, err := n.opt.People.WithRole(tx, role, notice.Project, notice.Classification)
		if err != nil {
			return Delivery{}, fmt.Errorf("send notice: who holds %s: %w", role, err)
		}
		if len(holders) == 0 {
			d.Findings = append(d.Findings, caos.Finding{
				Rule: "notice-role-vacant", Subject: role,
				Message: fmt.Sprintf("nobody who may know of it holds the role %s, which is to be told %q", role, notice.Subject),
				Remedy:  fmt.Sprintf("an admin grants the role %s, with the project and clearance that it takes, to somebody", role),
			})
		}
		d.People = append(d.People, holders...)
	}
	slices.Sort(d.People)
	d.People = slices.Compact(d.People)
	d.Reached = len(d.People)
	if d.Reached == 0 {
		d.Findings = append(d.Findings, caos.Finding{
			Rule: "notice-reaches-nobody", Subject: notice.Source,
			Message: fmt.Sprintf("the notice %q reached nobody", notice.Subject),
			Remedy:  "name people, or have an admin grant one of the roles it is for",
		})
		return d, nil
	}
	at := n.opt.Stamps.Next()
	d.NoticeID = "NOTICE-" + caos.Stamp(at)
	tx.Exec(`INSERT INTO notices (notice_id, subject, body, link, source, project, classification, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		d.NoticeID, notice.Subject, notice.Body, notice.Link, notice.Source, notice.Project, notice.Classification, at.UnixMicro())
	for _, person := range d.People {
		tx.Exec(`INSERT INTO notice_recipients (person, notice_id, created_at) VALUES ($1, $2, $3)`, person, d.NoticeID, at.UnixMicro())
		for _, s := range n.opt.Sinks {
			tx.Exec(`INSERT INTO notice_outbox (notice_id, person, sink, state, attempt, next_at, lease_until, lease, last_error, changed_at)
				VALUES ($1, $2, $3, 'PENDING', 0, 0, 0, '', '', $4)`, d.NoticeID, person, s.Name(), at.UnixMicro())
		}
	}
	tx.AfterCommit(n.nudge)
	return d, nil
}

func (n *Notifier) nudge() {
	for _, w := range n.workers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Received is a notice as its reader sees it.
type Received struct {
	NoticeID       string     `json:"notice_id"`
	Subject        string     `json:"subject"`
	Body           string     `json:"body"`
	Link           string     `json:"link"`
	Source         string     `json:"source"`
	Project        string     `json:"project"`
	Classification string     `json:"classification"`
	CreatedAt      time.Time  `json:"created_at"`
	ReadAt         *time.Time `json:"read_at"` // null until the reader said so
}

// Filter chooses a person's notices.
type Filter struct {
	Unread  bool   // only those not read yet
	Project string // "" for all
	Limit   int    // 0 means 50, the most is 500
}

// List reads a person's notices, the newest first. next is the cursor of the following
// page, "" after the last. Error: Invalid for a cursor that no List gave.
func (n *Notifier) List(ctx context.Context, person string, f Filter, cursor string) (page []Received, next string, err error) {
	where, args := []string{"r.person = $1"}, []any{clip(person, maxSubject)}
	if f.Project != "" {
		args = append(args, clip(f.Project, maxSubject))
		where = append(where, fmt.Sprintf("n.project = $%d", len(args)))
	}
	if f.Unread {
		where = append(where, "r.read_at IS NULL")
	}
	if cursor != "" {
		at, id, err := db.ParseCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		args = append(args, at, id)
		where = append(where, fmt.Sprintf("(r.created_at, r.notice_id) < ($%d, $%d)", len(args)-1, len(args)))
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	rows, err := n.db.Query(ctx, fmt.Sprintf(`SELECT n.notice_id, n.subject, n.body, n.link, n.source, n.project, n.classification, n.created_at, r.read_at
		FROM notice_recipients r JOIN notices n ON n.notice_id = r.notice_id WHERE %s
		ORDER BY r.created_at DESC, r.notice_id DESC LIMIT %d`, strings.Join(where, " AND "), f.Limit+1), args...)
	if err != nil {
		return nil, "", fmt.Errorf("list notices: %w", err)
	}
	defer rows.Close()
	page = []Received{}
	for rows.Next() {
		var r Received
		var created int64
		var read sql.NullInt64
		if err := rows.Scan(&r.NoticeID, &r.Subject, &r.Body, &r.Link, &r.Source, &r.Project, &r.Classification, &created, &read); err != nil {
			return nil, "", fmt.Errorf("list notices: %w", err)
		}
		r.CreatedAt = time.UnixMicro(created).UTC()
		if read.Valid {
			at := time.UnixMicro(read.Int64).UTC()
			r.ReadAt = &at
		}
		page = append(page, r)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list notices: %w", err)
	}
	if len(page) > f.Limit {
		page = page[:f.Limit]
		last := page[f.Limit-1]
		next = db.Cursor(last.CreatedAt, last.NoticeID)
	}
	return page, next, nil
}

// Unread counts a person's notices that they have not read.
func (n *Notifier) Unread(ctx context.Context, person string) (int64, error) {
	var count int64
	err := n.db.QueryRow(ctx, `SELECT count(*) FROM notice_recipients WHERE person = $1 AND read_at IS NULL`, clip(person, maxSubject)).Scan(&count)
	if err != nil {
		return 0, fmt.Errorf("count notices: %w", err)
	}
	return count, nil
}

// MarkRead notes that a person has read a notice; the first time counts. Error: NotFound
// for a notice that this person did not get.
func (n *Notifier) MarkRead(ctx context.Context, person, noticeID string) error {
	none := caos.Errorf(caos.NotFound, "there is no notice %q for %s", clip(noticeID, 80), clip(person, 80)).WithField("notice_id")
	return n.db.Write(ctx, func(tx *db.Tx) error {
		tx.ExecOne(none, `UPDATE notice_recipients SET read_at = COALESCE(read_at, $1) WHERE person = $2 AND notice_id = $3`,
			n.opt.Now().UnixMicro(), clip(person, maxSubject), clip(noticeID, maxSubject))
		return nil
	})
}
