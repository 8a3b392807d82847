package readiness

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"caos"
	"caos/internal/codec"
)

// condition gathers the WHERE of a list.
type condition struct {
	parts []string
	args  []any
}

func newWhere() *condition { return &condition{} }

// is adds column = v unless v is empty. What no column can hold fits nothing: PostgreSQL
// would fail on it.
func (w *condition) is(column, v string) {
	if !storable(v) {
		w.parts = append(w.parts, "1 = 0")
	} else if v != "" {
		w.args = append(w.args, v)
		w.parts = append(w.parts, column+" = $"+strconv.Itoa(len(w.args)))
	}
}

// before adds what comes after the cursor in an order of latest first.
func (w *condition) before(at, id, cursor string) error {
	if cursor == "" {
		return nil
	}
	us, last, err := codec.ParseCursor(cursor)
	if err != nil {
		return err
	}
	if !storable(last) {
		return caos.Errorf(caos.Invalid, "this is no cursor").WithField("cursor").WithHint("take it from the page before")
	}
	n := len(w.args)
	w.args = append(w.args, us, us, last)
	w.parts = append(w.parts, "("+at+" < $"+strconv.Itoa(n+1)+" OR "+at+" = $"+strconv.Itoa(n+2)+" AND "+id+" < $"+strconv.Itoa(n+3)+")")
	return nil
}

// storable reports whether both databases can hold a text.
func storable(v string) bool { return utf8.ValidString(v) && !strings.Contains(v, "\x00") }

func (w *condition) sql() string {
	if len(w.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.parts, " AND ")
}

// pageSize bounds the length of a page: 100 unless told, at most 1000.
func pageSize(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

// listing says what a list is of. The newest come first; id tells those of one moment apart.
type listing[T any] struct {
	columns string // that scan reads
	table   string
	at, id  string // what the list is ordered by: a column of microseconds, and a text
	limit   int    // of a page, as it was asked for
	scan    func(scan func(...any) error) (*T, error)
	key     func(*T) (time.Time, string) // at and id of an item
}

// page reads one page of a list, and returns the cursor of the next, "" for none: it asks
// for one item more than it gives.
func page[T any](q query, w *condition, l listing[T], cursor string) ([]*T, string, error) {
	if err := w.before(l.at, l.id, cursor); err != nil {
		return nil, "", err
	}
	limit := pageSize(l.limit)
	out := []*T{}
	err := q(`SELECT `+l.columns+` FROM `+l.table+w.sql()+` ORDER BY `+l.at+` DESC, `+l.id+` DESC LIMIT `+strconv.Itoa(limit+1), w.args,
		func(scan func(...any) error) error {
			v, err := l.scan(scan)
			out = append(out, v)
			return err
		})
	if err != nil {
		return nil, "", err
	}
	if len(out) <= limit {
		return out, "", nil
	}
	return out[:limit], codec.Cursor(l.key(out[limit-1])), nil
}
