package registry

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

// paged cuts what was read, which is one item more than a page if there is a next page, and
// returns the cursor of that page.
func paged[T any](items []T, limit int, key func(T) (time.Time, string)) ([]T, string) {
	if len(items) <= limit {
		return items, ""
	}
	return items[:limit], codec.Cursor(key(items[limit-1]))
}
