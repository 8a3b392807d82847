package dataset

import (
	"slices"
	"strings"
)

// The SQL of a definition is looked at here as words, to tell people early what cannot work
// and to put transforms in order. What a SELECT really is, and what it may do, the worker
// decides with the data engine's own parser.

// token is a word of SQL.
type token struct {
	kind byte   // 'w' word, 'i' quoted identifier, 's' string, 'n' number, or the character itself
	text string // lower case for words
}

// scanSQL splits a text into words, leaving out comments and white space. open names what
// was begun and never ended, "" if nothing.
func scanSQL(text string) (out []token, open string) {
	for i := 0; i < len(text); {
		c := text[i]
		rest := text[i:]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			i++
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return out, ""
			}
			i += end
		case strings.HasPrefix(rest, "/*"):
			n := comment(rest)
			if n < 0 {
				return out, "comment"
			}
			i += n
		case c == '\'':
			n := quoted(rest, '\'', false)
			if n < 0 {
				return out, "text in single quotes"
			}
			out = append(out, token{'s', strings.ReplaceAll(rest[1:n-1], "''", "'")})
			i += n
		case c == '"':
			n := quoted(rest, '"', false)
			if n < 0 {
				return out, "name in double quotes"
			}
			out = append(out, token{'i', strings.ReplaceAll(rest[1:n-1], `""`, `"`)})
			i += n
		case (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
			n := quoted(rest[1:], '\'', true)
			if n < 0 {
				return out, "text in single quotes"
			}
			out = append(out, token{'s', rest[2:n]})
			i += n + 1
		case c == '$' && dollar(rest) != "":
			tag := dollar(rest)
			end := strings.Index(rest[len(tag):], tag)
			if end < 0 {
				return out, "text in " + tag
			}
			out = append(out, token{'s', rest[len(tag) : len(tag)+end]})
			i += end + 2*len(tag)
		case letter(c):
			n := 1
			for n < len(rest) && (letter(rest[n]) || digit(rest[n]) || rest[n] == '$') {
				n++
			}
			out = append(out, token{'w', strings.ToLower(rest[:n])})
			i += n
		case digit(c):
			n := 1
			for n < len(rest) && (letter(rest[n]) || digit(rest[n]) || rest[n] == '.') {
				n++
			}
			out = append(out, token{'n', rest[:n]})
			i += n
		default:
			out = append(out, token{c, string(c)})
			i++
		}
	}
	return out, ""
}

// letter reports whether a byte can begin a name: everything beyond ASCII can.
func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// quoted is the length of what begins with a quote, -1 if it does not end. A doubled quote
// stands for itself, and after a backslash anything does if escapes count.
func quoted(s string, quote byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return -1
}

// comment is the length of a comment with those inside it, -1 if it does not end.
func comment(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// dollar is the tag that a dollar-quoted text begins with, such as $$ or $sql$; "" if it is none.
func dollar(s string) string {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '$':
			return s[:i+1]
		case !letter(s[i]) && (i == 1 || !digit(s[i])):
			return ""
		}
	}
	return ""
}

// sqlFacts is what the words of a SELECT show.
type sqlFacts struct {
	open       string          // what was begun and not ended
	first      string          // the first word, "(" for a parenthesis, "" if there is none
	statements int             // texts between semicolons that are not empty
	reads      []string        // names after FROM, JOIN and their commas, lower case, without those of WITH
	mentions   map[string]bool // every name that could be a table's
	files      []string        // texts in single quotes where a table belongs
	functions  []string        // functions that would read outside
	interval   bool            // it asks for the interval
}

// lookAt gathers what the words of a text show. words are sqlWords.
func lookAt(text string, words []string) sqlFacts {
	tokens, open := scanSQL(text)
	f := sqlFacts{open: open, mentions: map[string]bool{}}
	empty := true
	for _, t := range tokens {
		if t.kind == ';' {
			empty = true
			continue
		}
		if empty {
			f.statements++
			empty = false
		}
		if f.first == "" {
			f.first = t.text
		}
	}
	w := walker{tokens: tokens, facts: &f, with: withNames(tokens), words: words}
	w.walk()
	return f
}

// withNames are the names that WITH gives to parts of the statement: name AS ( or
// name (columns) AS (.
func withNames(tokens []token) map[string]bool {
	out := map[string]bool{}
	for i, t := range tokens {
		if t.kind != 'w' && t.kind != 'i' || i == 0 {
			continue
		}
		before := tokens[i-1].text
		if before != "with" && before != "recursive" && before != "," {
			continue
		}
		j := i + 1
		if j < len(tokens) && tokens[j].kind == '(' {
			for depth := 0; j < len(tokens); j++ {
				if tokens[j].kind == '(' {
					depth++
				} else if tokens[j].kind == ')' {
					if depth--; depth == 0 {
						break
					}
				}
			}
			j++
		}
		if j < len(tokens) && tokens[j].text == "as" {
			j++
			for j < len(tokens) && (tokens[j].text == "not" || tokens[j].text == "materialized") {
				j++
			}
			if j < len(tokens) && tokens[j].kind == '(' {
				out[strings.ToLower(t.text)] = true
			}
		}
	}
	return out
}

// walker goes through a statement and keeps, for each level of parentheses, whether a table
// may stand there.
type walker struct {
	tokens []token
	facts  *sqlFacts
	with   map[string]bool
	words  []string // sqlWords, sorted
	levels []level
}

type level struct {
	from     bool // a FROM clause: a comma goes before another table
	table    bool // the next word is a table
	function bool // arguments: FROM is a word of extract, trim …
}

// clauseEnds are the words that end a FROM clause.
func clauseEnds() []string {
	return []string{"where", "group", "order", "having", "limit", "offset", "union", "except", "intersect", "window", "qualify", "select", "sample", "values"}
}

func (w *walker) walk() {
	w.levels = []level{{}}
	for i, t := range w.tokens {
		top := &w.levels[len(w.levels)-1]
		table := top.table
		switch {
		case t.kind == '(':
			function := i > 0 && w.calls(w.tokens[i-1]) && !w.begins(i+1)
			w.levels = append(w.levels, level{function: function, from: table && !function, table: table && !function})
			top.table = false
		case t.kind == ')':
			if len(w.levels) > 1 {
				w.levels = w.levels[:len(w.levels)-1]
			}
		case t.kind == ';':
			w.levels = []level{{}}
		case t.kind == ',':
			top.table = top.from
		case t.kind == 's' && table:
			w.facts.files = append(w.facts.files, t.text)
			top.table = false
		case t.kind == 's':
			if (t.text == "interval_start" || t.text == "interval_end") && i > 1 && w.tokens[i-1].kind == '(' && w.tokens[i-2].text == "getvariable" {
				w.facts.interval = true
			}
		case t.kind == 'w' || t.kind == 'i':
			w.word(i, t, top)
		}
	}
}

// calls reports whether a parenthesis behind a word holds the arguments of a function.
func (w *walker) calls(t token) bool {
	if t.kind != 'w' {
		return t.kind == 'i'
	}
	if slices.Contains([]string{"extract", "trim", "substring", "overlay", "position"}, t.text) {
		return true
	}
	_, reserved := slices.BinarySearch(w.words, t.text)
	return !reserved
}

// begins reports whether a query begins at a token.
func (w *walker) begins(i int) bool {
	return i < len(w.tokens) && w.tokens[i].kind == 'w' && slices.Contains([]string{"select", "with", "from", "values"}, w.tokens[i].text)
}

func (w *walker) word(i int, t token, top *level) {
	if t.kind == 'w' {
		switch {
		case t.text == "from" && !top.function, t.text == "join":
			top.from, top.table = true, true
			return
		case slices.Contains(clauseEnds(), t.text):
			top.from, top.table = false, false
			return
		case t.text == "lateral" || t.text == "only":
			return
		}
	}
	called := i+1 < len(w.tokens) && w.tokens[i+1].kind == '('
	part := i > 0 && w.tokens[i-1].kind == '.'
	qualifies := i+1 < len(w.tokens) && w.tokens[i+1].kind == '.'
	name := strings.ToLower(t.text)
	if called && t.kind == 'w' && !part && readsOutside(name) && !slices.Contains(w.facts.functions, name) {
		w.facts.functions = append(w.facts.functions, name)
	}
	if !called && !part {
		w.facts.mentions[name] = true
		if top.table && !qualifies && !w.with[name] && !slices.Contains(w.facts.reads, name) {
			w.facts.reads = append(w.facts.reads, name)
		}
	}
	top.table = false
}

// readsOutside reports whether a function reads files, settings or the environment. The
// worker refuses more than these; these get a better answer.
func readsOutside(name string) bool {
	return strings.HasPrefix(name, "read_") || strings.HasSuffix(name, "_scan") || strings.HasPrefix(name, "parquet_") || strings.HasPrefix(name, "duckdb_") ||
		slices.Contains([]string{"glob", "sniff_csv", "getenv", "query", "query_table", "current_setting"}, name)
}

// sqlWords are the words that the data engine does not take for a name, or only in places.
// Names of tables are none of them, so that people need not quote their own names. Sorted.
func sqlWords() []string {
	return strings.Fields(`all analyse analyze and anti any array as asc asof asymmetric at authorization between bigint binary bit boolean both by case cast char
		character check coalesce collate collation column columns concurrently constraint create cross current_catalog current_date current_role
		current_schema current_time current_timestamp current_user dec decimal default deferrable desc describe distinct do else end escape except exists
		extract false fetch filter float for foreign freeze from full generated glob grant group grouping_id having if ilike in initially inner inout int
		integer intersect interval into is isnull join lambda lateral leading left like limit localtime localtimestamp map materialized natural nchar
		none not notnull null nullif numeric offset on only or order out outer over overlaps overlay partition pivot pivot_longer pivot_wider placing
		position positional precision primary qualify range real recursive references returning right row rows sample select semi session_user setof
		show similar smallint some struct substring summarize symmetric table tablesample then time timestamp to trailing treat trim true try_cast
		union unique unpivot user using values varchar variadic verbose when where window with within
		xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlparse xmlpi xmlroot xmlserialize xmltable`)
}
