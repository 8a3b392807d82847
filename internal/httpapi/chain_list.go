package httpapi

import (
	"time"

	"caos/internal/auth"
	"caos/internal/db"
)

// A cursor has the key of a row in it, and a transaction's id, or what is recorded, is not for
// everybody. The lists of the chain give away no row's key but those that the caller sees.

// The most that is read for a page whose caller sees hardly anything: rows at once, and how
// often.
const (
	stride  = 1000
	strides = 20
)

// lister reads a list for somebody.
type lister[T any] struct {
	read     func(cursor string, limit int) (list []*T, next string, err error)
	resource func(*T) auth.Resource
	key      func(*T) (time.Time, string) // by which the list is ordered
}

// page is the page behind a cursor. It goes on reading until there is something that the
// caller sees, and ends at a row that they see.
func (l lister[T]) page(sees auth.Visibility, limit int, cursor string) (Page[*T], error) {
	if limit <= 0 {
		limit = 100
	}
	most := limit
	for round := 1; ; round++ {
		list, next, err := l.read(cursor, limit)
		if err != nil {
			return Page[*T]{}, err
		}
		page := visible(sees, list, next, l.resource)
		n := len(page.Items)
		switch {
		case n > most:
			page.Items = page.Items[:most]
			page.NextCursor = db.Cursor(l.key(page.Items[most-1]))
			return page, nil
		case next == "":
			return page, nil
		case n > 0:
			page.NextCursor = db.Cursor(l.key(page.Items[n-1]))
			return page, nil
		case round == strides: // the moment alone; of several rows in it only what was read
			at, _ := l.key(list[len(list)-1])
			page.NextCursor = db.Cursor(at, " ")
			return page, nil
		}
		cursor, limit = next, stride
	}
}
