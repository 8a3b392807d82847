package report

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxText  = 8000 // runes of one text that are shown; stores refuse longer ones long before
	maxMarks = 3    // combining marks on one letter: more of them paint over other lines
	unknown  = '\uFFFD'
)

// clean makes text from outside harmless to read: what cannot be seen, or changes the order
// in which the rest is read, is shown as a sign instead of obeyed. Line breaks are kept.
func clean(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	count, marks := 0, 0
	for i, r := range s {
		if count++; count > maxText {
			fmt.Fprintf(&b, " … (%d more characters)", utf8.RuneCountInString(s[i:]))
			break
		}
		if unicode.Is(unicode.M, r) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		switch {
		case r == '\t' || r == '\u00A0' || unicode.Is(unicode.Zs, r):
			r = ' '
		case r == '\u2028' || r == '\u2029' || r == '\u0085':
			r = '\n'
		case r == '\r':
			if strings.HasPrefix(s[i:], "\r\n") {
				continue
			}
			r = '\n'
		case r != '\n' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) || blank(r)):
			r = unknown
		}
		b.WriteRune(r)
	}
	return b.String()
}

// plain says that s is short ASCII text, as nearly all is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' || c >= 0x7F {
			return false
		}
	}
	return len(s) <= maxText
}

// blank are letters and signs that show nothing, which Unicode does not call controls.
func blank(r rune) bool {
	switch r {
	case '\u115F', '\u1160', '\u3164', '\uFFA0', '\u2800', '\u034F', '\u180B', '\u180C', '\u180D', '\u180F':
		return true
	}
	return r >= 0xFE00 && r <= 0xFE0F || r >= 0xE0000 && r <= 0xE0FFF || r&0xFFFE == 0xFFFE
}

// rightToLeft says that s has letters that are read from the right, which must not reorder
// what stands beside them.
func rightToLeft(s string) bool {
	for i := range len(s) {
		if s[i] < 0xD6 {
			continue // nothing below U+0590 begins with a higher byte
		}
		for _, r := range s[i:] {
			if r >= 0x590 && r <= 0x8FF || r >= 0xFB1D && r <= 0xFDFF || r >= 0xFE70 && r <= 0xFEFF || r >= 0x10800 && r <= 0x10FFF || r >= 0x1E800 && r <= 0x1EFFF {
				return true
			}
		}
		return false
	}
	return false
}

// webLink gives the address if it is one that a reader may be sent to.
func webLink(s string) string {
	u, err := url.Parse(s)
	if err != nil || len(s) > 2000 || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}

const (
	isoTime  = "2006-01-02 15:04:05"
	longTime = "2 January 2006, 15:04:05 UTC"
)

// instant shows a time as the tables do.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(isoTime)
}

// moment shows a time as sentences do.
func moment(t time.Time) string {
	if t.IsZero() {
		return "a time not stated"
	}
	return t.UTC().Format(longTime)
}

// size shows bytes exactly where that is short, and rounded otherwise.
func size(n int64) string {
	if n < 10_000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, unit := float64(n), ""
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if f < 999.5 {
			break
		}
		f, unit = f/1000, u
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + unit
}

// count is "1 file" or "2 files".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// number shows a measured value.
func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strings.Replace(strconv.FormatFloat(*v, 'g', 10, 64), "-", "−", 1)
}

// operators are signs of thresholds as they are printed.
func operator(s string) string {
	switch s {
	case "<=":
		return "≤"
	case ">=":
		return "≥"
	case "==":
		return "="
	case "!=":
		return "≠"
	}
	return s
}

// word turns a constant such as NOT_APPLICABLE into what people read: "not applicable".
func word(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "_", " "))
}

// sentence gives the text a capital letter and a full stop, if it has none.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(s)
	if r != utf8.RuneError {
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	if strings.ContainsRune(".!?…", rune(s[len(s)-1])) {
		return s
	}
	return s + "."
}

func (p Person) String() string {
	if p.Name == "" || p.Name == p.ID {
		return p.ID
	}
	if p.ID == "" {
		return p.Name
	}
	return p.Name + " (" + p.ID + ")"
}

// or is the first text that says something.
func or(texts ...string) string { return cmp.Or(texts...) }
