package db

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Storable reports whether both databases can hold a text and be asked for it. PostgreSQL
// fails on any other, so that what is looked up by one has to be answered without asking.
func Storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// Where gathers the conditions of a list, which hold together. The zero value has none.
type Where struct {
	parts []string
	args  []any
}

// Is adds column = v unless v is empty. What no column can hold fits nothing.
func (w *Where) Is(column, v string) {
	if !Storable(v) {
		w.And("1 = 0")
	} else if v != "" {
		w.And(column+" = ?", v)
	}
}

// And adds a condition in which each ? stands for the next of args.
func (w *Where) And(condition string, args ...any) {
	var b strings.Builder
	for i, part := range strings.Split(condition, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(len(w.args)+i))
		}
		b.WriteString(part)
	}
	w.parts = append(w.parts, b.String())
	w.args = append(w.args, args...)
}

func (w *Where) sql() string {
	if len(w.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.parts, " AND ")
}

// Listing says what a list is of. The newest come first; ID tells those of one moment apart.
type Listing[T any] struct {
	Columns string // that Scan reads
	From    string // a table, or tables joined
	At, ID  string // what the list is ordered by: a column of microseconds, and a text
	Limit   int    // of a page, as it was asked for: 100 unless positive, at most 1000
	Scan    func(scan func(...any) error) (T, error)
	Key     func(T) (time.Time, string) // At and ID of an item
}

// Page reads one page of a list, and returns the cursor of the next, "" for none: it asks
// for one item more than it gives. A cursor that is none is refused as Invalid.
func Page[T any](q Query, w *Where, l Listing[T], cursor string) ([]T, string, error) {
	if cursor != "" {
		us, last, err := ParseCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		w.And("("+l.At+" < ? OR "+l.At+" = ? AND "+l.ID+" < ?)", us, us, last)
	}
	limit := 100
	if l.Limit > 0 {
		limit = min(l.Limit, 1000)
	}
	out := []T{}
	err := q(`SELECT `+l.Columns+` FROM `+l.From+w.sql()+` ORDER BY `+l.At+` DESC, `+l.ID+` DESC LIMIT `+strconv.Itoa(limit+1), w.args,
		func(scan func(...any) error) error {
			v, err := l.Scan(scan)
			out = append(out, v)
			return err
		})
	if err != nil {
		return nil, "", err
	}
	if len(out) <= limit {
		return out, "", nil
	}
	return out[:limit], Cursor(l.Key(out[limit-1])), nil
}
