package contract

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Names and values reach SQL through two functions, quoteName and quoteText. Nothing else in
// this package puts foreign text into a statement, but the query of a check of kind sql,
// which its author wrote as SQL.

// quoteName writes an identifier. Inside double quotes DuckDB gives meaning to the double
// quote alone.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText writes a string literal. DuckDB reads no backslash escapes in one.
func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// sayable reports whether a name can be written at all: SQL text cannot hold U+0000.
func sayable(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// class is what a column's type can do.
type class int

const (
	classOther class = iota // lists, structs, maps, blobs, intervals: counted, never compared
	classText               // VARCHAR, and what is compared as text: ENUM, UUID
	classInteger
	classDecimal
	classFloat
	classBool
	classDate
	classTime
	classTimestamp
	classTimestampTZ
)

func (c class) numeric() bool { return c == classInteger || c == classDecimal || c == classFloat }

// moment reports whether the values lie on the calendar.
func (c class) moment() bool {
	return c == classDate || c == classTimestamp || c == classTimestampTZ
}

// ordered reports whether minimum, maximum and bounds mean something.
func (c class) ordered() bool { return c.numeric() || c.moment() || c == classTime }

// classOf tells a DuckDB type's class.
func classOf(typ string) class {
	t := strings.ToUpper(strings.TrimSpace(typ))
	if strings.HasSuffix(t, "]") {
		return classOther
	}
	base, _, _ := strings.Cut(t, "(")
	switch strings.TrimSpace(base) {
	case "VARCHAR", "TEXT", "STRING", "CHAR", "BPCHAR", "UUID", "ENUM":
		return classText
	case "TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT":
		return classInteger
	case "DECIMAL", "NUMERIC":
		return classDecimal
	case "FLOAT", "REAL", "DOUBLE":
		return classFloat
	case "BOOLEAN", "BOOL":
		return classBool
	case "DATE":
		return classDate
	case "TIME":
		return classTime
	case "TIMESTAMP", "DATETIME", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP_US":
		return classTimestamp
	case "TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ":
		return classTimestampTZ
	}
	return classOther
}

// decimalShape returns the width and scale of DECIMAL(w,s); DuckDB's default is (18,3).
func decimalShape(typ string) (width, scale int) {
	_, rest, ok := strings.Cut(typ, "(")
	if !ok {
		return 18, 3
	}
	w, s, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(rest), ")"), ",")
	width, _ = strconv.Atoi(strings.TrimSpace(w))
	scale, _ = strconv.Atoi(strings.TrimSpace(s))
	return width, scale
}

// literal is a scalar of a contract: null, a boolean, a string, or a number as it is written.
type literal struct {
	null   bool
	isBool bool
	b      bool
	isText bool
	text   string // the string, or the number's digits
}

// UnmarshalJSON keeps a number's digits.
func (l *literal) UnmarshalJSON(raw []byte) error {
	s := strings.TrimSpace(string(raw))
	switch {
	case s == "null":
		*l = literal{null: true}
	case s == "true", s == "false":
		*l = literal{isBool: true, b: s == "true"}
	case strings.HasPrefix(s, `"`):
		t, err := unquoteJSON(raw)
		if err != nil {
			return err
		}
		*l = literal{isText: true, text: t}
	case strings.HasPrefix(s, "[") || strings.HasPrefix(s, "{"):
		return errScalar
	default:
		if f, err := strconv.ParseFloat(s, 64); err != nil || math.IsInf(f, 0) {
			return errNumber
		}
		*l = literal{text: s}
	}
	return nil
}

func (l literal) number() bool { return !l.null && !l.isBool && !l.isText }

// String shows the literal as people write it.
func (l literal) String() string {
	switch {
	case l.null:
		return "null"
	case l.isBool:
		return strconv.FormatBool(l.b)
	}
	return l.text
}

// operand is one side of a comparison with a column: the column's expression and the
// literal's, of one type, so that DuckDB never casts a column in a way that can fail.
type operand struct{ column, value string }

// compare writes how column col of a type is compared with l. ok is false if a value of that
// type can never equal l; strings are read as dates and times where the column has them.
func compare(col, typ string, l literal) (o operand, ok bool) {
	cls := classOf(typ)
	o.column = col
	switch {
	case l.null:
		return o, false
	case cls == classText && l.isText:
		return operand{asText(col, typ), quoteText(l.text)}, sayableText(l.text)
	case cls == classBool && l.isBool:
		o.value = strings.ToUpper(strconv.FormatBool(l.b))
		return o, true
	case cls == classFloat && l.isText:
		v, special := map[string]string{"nan": "nan", "inf": "inf", "infinity": "inf", "-inf": "-inf", "-infinity": "-inf"}[strings.ToLower(l.text)]
		o.value = "CAST('" + v + "' AS " + floatType(typ) + ")"
		return o, special
	case cls.numeric() && l.number():
		return compareNumber(col, typ, l.text), true
	case (cls.moment() || cls == classTime) && l.isText:
		o.value, ok = momentLiteral(cls, l.text)
		o.column = plainMoment(col, typ)
		return o, ok
	}
	return o, false
}

func sayableText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func floatType(typ string) string {
	if t := strings.ToUpper(typ); t == "FLOAT" || t == "REAL" {
		return "FLOAT"
	}
	return "DOUBLE"
}

func compareNumber(col, typ, digits string) operand {
	f, _ := strconv.ParseFloat(digits, 64)
	asDouble := operand{"CAST(" + col + " AS DOUBLE)", doubleLiteral(f)}
	r, ok := new(big.Rat).SetString(digits)
	if !ok || len(digits) > 60 {
		return asDouble
	}
	switch classOf(typ) {
	case classInteger:
		if r.IsInt() && r.Num().BitLen() <= 63 && !strings.Contains(strings.ToUpper(typ), "HUGE") {
			return operand{col, r.Num().String()} // bare, so that it takes the column's type
		}
	case classDecimal:
		width, scale := decimalShape(typ)
		s := r.FloatString(scale)
		exact, _ := new(big.Rat).SetString(s)
		if exact.Cmp(r) == 0 && len(strings.TrimLeft(strings.ReplaceAll(s, ".", ""), "-0")) <= width {
			return operand{col, "CAST(" + quoteText(s) + " AS " + strings.ToUpper(typ) + ")"}
		}
	case classFloat:
		if floatType(typ) == "FLOAT" && math.Abs(f) < math.MaxFloat32 {
			return operand{col, "CAST(" + doubleLiteral(f) + " AS FLOAT)"}
		}
		return operand{col, doubleLiteral(f)}
	}
	return asDouble
}

// doubleLiteral writes a finite float64 so that DuckDB reads the same one.
func doubleLiteral(f float64) string {
	return "CAST('" + strconv.FormatFloat(f, 'g', -1, 64) + "' AS DOUBLE)"
}

// momentLiteral reads a date or time written as in ISO 8601. What has no zone is UTC.
func momentLiteral(cls class, s string) (string, bool) {
	if cls == classTime {
		for _, layout := range []string{"15:04:05.999999", "15:04"} {
			if t, err := time.Parse(layout, s); err == nil {
				return "TIME '" + t.Format("15:04:05.000000") + "'", true
			}
		}
		return "", false
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", time.RFC3339Nano} {
		t, err := time.Parse(layout, s)
		if err != nil || t.Year() < 1 || t.Year() > 9999 {
			continue
		}
		if cls == classDate {
			if t = t.UTC(); t.Hour()+t.Minute()+t.Second()+t.Nanosecond() != 0 {
				return "", false
			}
		}
		return momentText(cls, t), true
	}
	return "", false
}

// plainMoment brings timestamps of other resolutions to microseconds: that way round the cast
// cannot overflow.
func plainMoment(col, typ string) string {
	if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(typ)), "TIMESTAMP_") {
		return "CAST(" + col + " AS TIMESTAMP)"
	}
	return col
}

func momentText(cls class, t time.Time) string {
	t = t.UTC()
	switch cls {
	case classDate:
		return "DATE '" + t.Format("2006-01-02") + "'"
	case classTimestampTZ:
		return "TIMESTAMPTZ '" + t.Format("2006-01-02 15:04:05.000000") + "+00'"
	}
	return "TIMESTAMP '" + t.Format("2006-01-02 15:04:05.000000") + "'"
}

// asText writes a column as text where its type is compared as text but is not VARCHAR.
func asText(col, typ string) string {
	switch strings.ToUpper(strings.TrimSpace(typ)) {
	case "VARCHAR", "TEXT", "STRING", "CHAR", "BPCHAR":
		return col
	}
	return "CAST(" + col + " AS VARCHAR)"
}
