package readiness

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"caos"
)

// Bounds of what people write.
const (
	maxLine = 300  // bytes of a one-line field
	maxWord = 64   // bytes of a short name
	maxText = 4000 // bytes of a paragraph
	maxRefs = 100  // ids in one list
)

// dateLayout is how days are written: UTC.
const dateLayout = "2006-01-02"

// checkLine refuses a one-line text that is too long or has control characters.
func checkLine(field, v string, most int) error {
	if len(v) > most || !utf8.ValidString(v) || strings.ContainsFunc(v, Hidden) {
		return caos.Errorf(caos.Invalid, "the text is longer than %d bytes, is no UTF-8 or has control characters", most).WithField(field).
			WithHint("one line of at most %d bytes", most)
	}
	return nil
}

// Hidden reports whether a character controls how others are shown, or is not shown itself:
// control and format characters, line separators, fillers. People sign what they read, and
// it has to be what is there. The joiners that some scripts are spelled with stay.
func Hidden(r rune) bool {
	switch r {
	case 0x200c, 0x200d:
		return false
	case 0x2028, 0x2029, 0x034f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x2800, 0x3164, 0xffa0:
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// says reports whether a text has anything to read in it: no reason is given in signs that
// nobody sees.
func says(v string) bool {
	return strings.ContainsFunc(v, func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.S, unicode.P) && !strings.ContainsRune("\u115f\u1160\u3164\uffa0\u2800", r) // letters and signs that are blank
	})
}

// checkTitle is checkLine for a line that must say something.
func checkTitle(field, v string, most int) error {
	if !says(v) {
		return caos.Errorf(caos.Invalid, "the text is missing").WithField(field).WithHint("one line of at most %d bytes", most)
	}
	return checkLine(field, v, most)
}

// checkText refuses a text of several lines that is too long or is not text.
func checkText(field, v string) error {
	if len(v) > maxText {
		return caos.Errorf(caos.TooLarge, "the text is longer than %d bytes", maxText).WithField(field).
			WithHint("put long text into a document of its own")
	}
	if !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return Hidden(r) && r != '\n' && r != '\r' && r != '\t' }) {
		return caos.Errorf(caos.Invalid, "the text is no UTF-8 or has control characters").WithField(field).
			WithHint("plain text in UTF-8; lines may be broken")
	}
	return nil
}

// checkDate refuses what is not a day of this century; an empty one is none.
func checkDate(field, v string) error {
	if v == "" {
		return nil
	}
	t, err := time.Parse(dateLayout, v)
	if err != nil || t.Year() < 2000 || t.Year() > 2199 {
		return caos.Errorf(caos.Invalid, "%.40q is not a day", v).WithField(field).WithHint("write it as 2026-11-30")
	}
	return nil
}

// checkIDs refuses a list of ids that is too long, has one that is malformed, or one twice.
func checkIDs(field string, ids []string, most int) error {
	if len(ids) > most {
		return caos.Errorf(caos.TooLarge, "more than %d ids", most).WithField(field).WithHint("name the %d that say most", most)
	}
	seen := make(map[string]bool, len(ids))
	for i, id := range ids {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := caos.CheckID("resource", at, id); err != nil {
			return err
		}
		if seen[id] {
			return caos.Errorf(caos.Invalid, "%s is named twice", id).WithField(at).WithHint("name it once")
		}
		seen[id] = true
	}
	return nil
}

// readJSON reads what was stored as JSON.
func readJSON(text string, into any) error {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("readiness: read what is stored: %w", err)
	}
	return nil
}

// day is the UTC day of a moment.
func day(t time.Time) string { return t.UTC().Format(dateLayout) }
