package caos

import (
	"slices"
	"strings"
)

// CheckWord refuses what is not one of the words; an empty v is refused too unless "" is
// among them.
func CheckWord(field, v string, words []string) error {
	if !slices.Contains(words, v) {
		return Errorf(Invalid, "%.40q is not known here", v).WithField(field).WithHint("one of %s", strings.Join(words, ", "))
	}
	return nil
}

// CheckRevision refuses a change of what has an id by somebody who saw another revision than
// the one it has; 0 is any.
func CheckRevision(id string, seen, is int64) error {
	if seen == 0 || seen == is {
		return nil
	}
	return Errorf(Conflict, "%s is at revision %d, not %d: somebody changed it", id, is, seen).WithField("revision").
		WithHint("read it again, and repeat the change if it still fits")
}
