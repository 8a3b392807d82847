package db

import (
	b64 "encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"caos"
)

// maxCursor bounds a cursor's text: no id of ours comes near it.
const maxCursor = 600

// Cursor is where a page of a list ended: at the item with this moment and id. Its text is
// opaque to clients and safe in a URL.
func Cursor(at time.Time, id string) string {
	return b64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", at.UnixMicro(), id))
}

// ParseCursor reads what Cursor wrote: microseconds since 1970, and the id. Anything else
// is an Invalid error that names the field cursor.
func ParseCursor(cursor string) (at int64, id string, err error) {
	bad := caos.Errorf(caos.Invalid, "not a cursor of this list").WithField("cursor").WithHint("use the next_cursor of the page before, unchanged")
	if len(cursor) > maxCursor {
		return 0, "", bad
	}
	text, err := b64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, "", bad
	}
	first, id, ok := strings.Cut(string(text), " ")
	at, err = strconv.ParseInt(first, 10, 64)
	if !ok || err != nil || id == "" || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return 0, "", bad
	}
	return at, id, nil
}
