package evidence

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"caos"
)

// condition gathers the WHERE of a list.
type condition struct {
	parts []string
	args  []any
}

func newWhere() *condition { return &condition{} }

// is adds column = v unless v is empty.
func (w *condition) is(column, v string) {
	if v != "" {
		w.args = append(w.args, v)
		w.parts = append(w.parts, column+" = $"+strconv.Itoa(len(w.args)))
	}
}

// before adds what comes after the cursor in an order of latest first.
func (w *condition) before(at, id, cursor string) error {
	if cursor == "" {
		return nil
	}
	us, last, err := readCursor(cursor)
	if err != nil {
		return err
	}
	n := len(w.args)
	w.args = append(w.args, us, us, last)
	w.parts = append(w.parts, "("+at+" < $"+strconv.Itoa(n+1)+" OR "+at+" = $"+strconv.Itoa(n+2)+" AND "+id+" < $"+strconv.Itoa(n+3)+")")
	return nil
}

func (w *condition) sql() string {
	if len(w.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.parts, " AND ")
}

func pageSize(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

func makeCursor(t time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(t.UnixMicro(), 10) + " " + id))
}

func readCursor(cursor string) (int64, string, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	at, id, ok := strings.Cut(string(b), " ")
	us, err2 := strconv.ParseInt(at, 10, 64)
	if err != nil || err2 != nil || !ok || len(id) > 200 || strings.ContainsRune(id, 0) {
		return 0, "", caos.Errorf(caos.Invalid, "the cursor is not one that a list returned").WithField("cursor").
			WithHint("start again without it")
	}
	return us, id, nil
}
