package contract

import (
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"caos"
)

// propertyPlaceholder and objectPlaceholder are how a query names its column and its table;
// the standard's text has {property} and {object}, its schema ${column} and ${table}.
var (
	propertyPlaceholder = regexp.MustCompile(`\$?\{(property|column)\}`)
	objectPlaceholder   = regexp.MustCompile(`\$?\{(object|table)\}`)
)

const (
	maxPattern     = 1000   // bytes
	maxPatternCost = 20_000 // instructions and ranges, far below what RE2 has room for
)

// checkPattern refuses what is not a regular expression in RE2's syntax, which Go and DuckDB
// share, or is so large that DuckDB might not compile it.
func checkPattern(p, path string) error {
	if p == "" || len(p) > maxPattern || !sayableText(p) {
		return invalid(path, "a pattern has 1 to %d bytes", maxPattern)
	}
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		return invalid(path, "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: ")).
			WithHint("the syntax is RE2's: no look-around and no back-references")
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return caos.Wrap(caos.Invalid, err, "the pattern cannot be compiled").WithField(path)
	}
	cost := 0
	for i := range prog.Inst {
		cost += 1 + len(prog.Inst[i].Rune)
	}
	if cost > maxPatternCost {
		return caos.Errorf(caos.TooLarge, "the pattern is too large once its repetitions are written out").WithField(path)
	}
	return nil
}

// anchored reports whether a pattern begins with ^ and ends with $, so that finding it
// anywhere and matching the whole value are one. DuckDB is ten times faster at the latter
// on columns with few distinct values.
func anchored(p string) bool {
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) < 2 {
		return false
	}
	last := re.Sub[len(re.Sub)-1]
	return re.Sub[0].Op == syntax.OpBeginText && last.Op == syntax.OpEndText
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

func literalFloat(l literal) (float64, error) { return strconv.ParseFloat(l.text, 64) }
