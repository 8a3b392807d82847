package dataset

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/event"
)

// Severity of a lint finding.
const (
	LintError   = "error" // it cannot be registered
	LintWarning = "warning"
)

// LintFinding is something wrong with a definition, and what would mend it.
type LintFinding struct {
	Rule     string `json:"rule"` // transform-cycle
	Severity string `json:"severity"`
	Field    string `json:"field"` // transforms[2].sql
	Message  string `json:"message"`
	Remedy   string `json:"remedy,omitempty"`
}

// Err is the finding as the refusal of a definition.
func (f LintFinding) Err() error {
	return caos.Errorf(caos.Invalid, "%s", f.Message).WithField(f.Field).WithRule(f.Rule).WithHint("%s", f.Remedy)
}

// maxFindings bounds what is said about one definition.
const maxFindings = 200

var (
	pipelineVersion = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})$`)
	tableName       = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	projectWord     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	columnType      = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_ (),"\[\]]{0,499}$`)
	wherePath       = regexp.MustCompile(`^(source|subject|project|classification|data(\.[A-Za-z0-9_-]{1,64}){1,15})$`)
)

// linter gathers findings.
type linter struct {
	d    *Definition
	most Limits
	g    *graph
	out  []LintFinding

	sources, targets []place // of the sources and targets so far
}

// place is where something is, in each of the sample runs; nil if that cannot be said.
type place [][]string

func placeOf(uri string) place {
	var p place
	for _, i := range samples() {
		plain, err := ExpandURI(uri, &i, time.UTC)
		if err != nil {
			return nil
		}
		p = append(p, segments(plain))
	}
	return p
}

// meets reports whether two places are one, or one lies in the other, in some run.
func (p place) meets(q place) bool {
	for i := range min(len(p), len(q)) {
		if overlap(p[i], q[i]) {
			return true
		}
	}
	return false
}

func (l *linter) add(f LintFinding) {
	if len(l.out) < maxFindings {
		l.out = append(l.out, f)
	}
}

func (l *linter) wrong(rule, field, remedy, format string, args ...any) {
	l.add(LintFinding{Rule: rule, Severity: LintError, Field: field, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (l *linter) doubt(rule, field, remedy, format string, args ...any) {
	l.add(LintFinding{Rule: rule, Severity: LintWarning, Field: field, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// refused adds an error as somebody else's check gave it.
func (l *linter) refused(rule, field string, err error) {
	if err == nil {
		return
	}
	e := caos.AsError(err)
	if e.Rule != "" {
		rule = e.Rule
	}
	l.wrong(rule, field, e.Hint, "%s", e.Message)
}

func indexed(list string, n int) string { return list + "[" + strconv.Itoa(n) + "]" }

// Lint says what is wrong with a definition, looking at nothing else; errors first, and both
// in the order of the definition. Whether its locations are allowed and its contracts exist
// is looked up elsewhere. Zero fields of most are the package's own bounds.
func Lint(d Definition, most Limits) []LintFinding {
	l := &linter{d: &d, most: most}
	l.words()
	if !l.counts() {
		return l.out
	}
	l.g = d.graph()
	l.tableNames()
	for i := range d.Sources {
		l.source(i)
	}
	for i := range d.Transforms {
		l.transform(i)
	}
	for i := range d.Targets {
		l.target(i)
	}
	if loop := l.g.cycle(&d); loop != nil {
		l.wrong("transform-cycle", "transforms", "take one of them out of the circle", "%s: each waits for the one before it", strings.Join(loop, " → "))
	} else {
		l.unused()
	}
	l.times()
	l.compute()
	l.events()
	if d.Contract != "" {
		_, _, err := ParseContractRef(d.Contract)
		l.refused("contract-form", "contract", err)
	}
	slices.SortStableFunc(l.out, func(a, b LintFinding) int { return strings.Compare(a.Severity, b.Severity) }) // error, warning
	return l.out
}

// FirstError is the refusal of a definition by its first error, nil if it has none.
func FirstError(findings []LintFinding) error {
	for _, f := range findings {
		if f.Severity == LintError {
			return f.Err()
		}
	}
	return nil
}

func (l *linter) words() {
	d := l.d
	l.refused("pipeline-id", "pipeline_id", caos.CheckID("pipeline", "pipeline_id", d.PipelineID))
	if !pipelineVersion.MatchString(d.PipelineVersion) {
		l.wrong("pipeline-version", "pipeline_version", `write two numbers in quotes, such as "1.0"`, "%.40q is not a version X.Y", d.PipelineVersion)
	}
	if strings.TrimSpace(d.Title) == "" || len(d.Title) > maxTitle || !printable(d.Title) || strings.Contains(d.Title, "\n") {
		l.wrong("title", "title", "say in a line what the pipeline is for", "a title is one line of 1 to %d bytes", maxTitle)
	}
	if len(d.Description) > maxText || !printable(d.Description) {
		l.wrong("description", "description", "shorten it", "a description is text of at most %d bytes", maxText)
	}
	if d.Owner != "" {
		l.refused("owner", "owner", caos.CheckID("user", "owner", d.Owner))
	}
	if d.Project != "" && !projectWord.MatchString(d.Project) {
		l.wrong("project", "project", "a project matches "+projectWord.String(), "%.80q is not a project", d.Project)
	}
	if d.Classification != "" {
		l.refused("classification", "classification", caos.CheckWord("classification", d.Classification, caos.Classifications()))
	}
}

// printable reports whether a text has no control characters but line ends and tabs.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == '\ufffd' })
}

// counts refuses what is too much to look at, and reports whether the rest is worth it.
func (l *linter) counts() bool {
	d, ok := l.d, true
	for _, c := range []struct {
		field       string
		have        int
		least, most int
	}{
		{"sources", len(d.Sources), 1, maxSources}, {"transforms", len(d.Transforms), 0, maxTransforms},
		{"targets", len(d.Targets), 1, maxTargets}, {"events", len(d.Events), 0, maxEvents},
	} {
		switch {
		case c.have > c.most:
			l.wrong("too-many", c.field, "split the pipeline: one may start another by its event", "%d %s, %d at most", c.have, c.field, c.most)
			ok = false
		case c.have < c.least:
			l.wrong("too-few", c.field, "name at least one", "a pipeline without %s does nothing", c.field)
		}
	}
	return ok
}

// tableNames looks at the names of what SQL sees, and of targets, which are no tables.
func (l *linter) tableNames() {
	seen := map[string]string{}
	one := func(field, name string, table bool) {
		switch {
		case !tableName.MatchString(name):
			l.wrong("name-form", field, "a name matches "+tableName.String(), "%.80q is not a name", name)
		case table && reserved(name):
			l.wrong("name-reserved", field, "choose another, such as "+name+"_data", "%s is a word of SQL, or of the data engine", name)
		}
	}
	for i, s := range l.d.Sources {
		field := indexed("sources", i) + ".name"
		one(field, s.Name, true)
		l.twice(seen, field, s.Name)
	}
	for i, t := range l.d.Transforms {
		field := indexed("transforms", i) + ".name"
		one(field, t.Name, true)
		l.twice(seen, field, t.Name)
	}
	seen = map[string]string{}
	for i, t := range l.d.Targets {
		field := indexed("targets", i) + ".name"
		one(field, t.Name, false)
		l.twice(seen, field, t.Name)
	}
}

// twice refuses a name that SQL cannot tell from another.
func (l *linter) twice(seen map[string]string, field, name string) {
	key := strings.ToLower(name)
	if before, ok := seen[key]; ok && name != "" {
		l.wrong("name-twice", field, "SQL does not tell upper case from lower: choose another name", "%.80q is the name of %s, too", name, strings.TrimSuffix(before, ".name"))
	}
	seen[key] = field
}

// reserved reports whether a table cannot have a name: words of SQL, and what begins like
// the tables of the data engine and of checks.
func reserved(name string) bool {
	_, word := slices.BinarySearch(sqlWords(), name)
	return word || strings.HasPrefix(name, "duckdb_") || strings.HasPrefix(name, "pg_") || strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, "caos_") ||
		slices.Contains([]string{"information_schema", "main", "temp", "system", "memory"}, name)
}

func (l *linter) source(n int) {
	s, at := l.d.Sources[n], indexed("sources", n)
	l.sources = append(l.sources, nil)
	if err := checkURI(s.URI, false); err != nil {
		l.refused("uri-form", at+".uri", err)
	} else if l.sources[n] = placeOf(s.URI); hasPlaceholder(s.URI) && l.d.Interval == IntervalNone {
		l.noInterval(at + ".uri")
	}
	formats := []string{FormatParquet, FormatCSV, FormatJSON, FormatNDJSON}
	if s.Format == "" {
		l.wrong("format", at+".format", "write format: one of "+strings.Join(formats, ", "), "the end of the location does not say how the data is written")
	} else if !slices.Contains(formats, s.Format) {
		l.wrong("format", at+".format", "one of "+strings.Join(formats, ", "), "%.40q is not a format of sources", s.Format)
	}
	l.compression(at, s.Format, s.Compression, "none", "gzip", "zstd")
	if s.Format == FormatParquet && s.Compression != "" {
		l.wrong("compression", at+".compression", "leave it out", "a parquet file says by itself how it is compressed")
	}
	l.columns(at+".columns", s.Columns)
	if s.Optional && len(s.Columns) == 0 && !s.Reference {
		l.wrong("optional-columns", at+".columns", "list its columns with their types", "%.80s is optional and nobody could say what columns it has when it is not there", s.Name)
	}
	if s.CSV != nil {
		l.csv(at, s)
	}
	switch {
	case s.MaxRejected < 0 || s.MaxRejected > 1e9:
		l.wrong("max-rejected", at+".max_rejected", "0 fails with the first bad row", "%d is not between 0 and 1000000000 rows", s.MaxRejected)
	case s.MaxRejected > 0 && s.Format != FormatCSV:
		l.wrong("max-rejected", at+".max_rejected", "leave it out", "bad rows can be left out of CSV alone")
	}
}

func (l *linter) noInterval(field string) {
	l.wrong("interval-missing", field, "add interval: schedule, day or month", "it depends on a run's interval, and runs have none")
}

func (l *linter) compression(at, format, compression string, known ...string) {
	if compression != "" && !slices.Contains(known, compression) {
		l.wrong("compression", at+".compression", "one of "+strings.Join(known, ", ")+", or leave it out", "%.40q is not a compression of %s", compression, format)
	}
}

func (l *linter) columns(field string, columns []Column) {
	if len(columns) > maxColumns {
		l.wrong("too-many", field, "expect those that matter", "%d columns, %d at most", len(columns), maxColumns)
		return
	}
	seen := map[string]string{}
	for i, c := range columns {
		at := indexed(field, i)
		if c.Name == "" || len(c.Name) > 255 || !printable(c.Name) {
			l.wrong("column-name", at+".name", "write it as it stands in the data", "a column's name has 1 to 255 bytes")
		}
		l.twice(seen, at+".name", c.Name)
		if !columnType.MatchString(c.Type) || strings.Count(c.Type, "(") != strings.Count(c.Type, ")") || strings.Count(c.Type, "[") != strings.Count(c.Type, "]") ||
			strings.Count(c.Type, `"`)%2 != 0 {
			l.wrong("column-type", at+".type", "such as BIGINT, VARCHAR, DATE or DECIMAL(10,2)", "%.80q is not a type of the data engine", c.Type)
		}
	}
}

func (l *linter) csv(at string, s Source) {
	at += ".csv"
	if s.Format != FormatCSV {
		l.wrong("csv", at, "leave it out", "the source is %.20s", s.Format)
		return
	}
	if c := s.CSV.Delimiter; len(c) > 4 || strings.ContainsAny(c, "\r\n\x00") {
		l.wrong("csv", at+".delimiter", "a comma is assumed", "a delimiter has 1 to 4 bytes and is no line end")
	}
	for _, c := range []struct{ field, text string }{{"quote", s.CSV.Quote}, {"escape", s.CSV.Escape}} {
		if len(c.text) > 1 || c.text != "" && (c.text[0] < ' ' || c.text[0] > '~') {
			l.wrong("csv", at+"."+c.field, `a double quote is assumed`, "it is one ASCII character")
		}
	}
	if len(s.CSV.Null) > 40 || !printable(s.CSV.Null) {
		l.wrong("csv", at+".null", "an empty field is no value already", "it is a text of at most 40 bytes")
	}
	if known := []string{"", "utf-8", "utf-16", "latin-1"}; !slices.Contains(known, s.CSV.Encoding) {
		l.wrong("csv", at+".encoding", "one of utf-8, utf-16, latin-1", "%.40q is not an encoding that can be read", s.CSV.Encoding)
	}
	for _, c := range []struct{ field, text string }{{"date_format", s.CSV.DateFormat}, {"timestamp_format", s.CSV.TimestampFormat}} {
		if len(c.text) > 60 || !printable(c.text) || c.text != "" && !strings.Contains(c.text, "%") {
			l.wrong("csv", at+"."+c.field, "such as %d.%m.%Y", "it is a form of strptime of at most 60 bytes")
		}
	}
}

func (l *linter) transform(n int) {
	t, f, at := l.d.Transforms[n], l.g.facts[n], indexed("transforms", n)
	for i, name := range t.After {
		if _, ok := l.g.steps[strings.ToLower(name)]; !ok {
			l.wrong("transform-unknown", indexed(at+".after", i), l.meant(name, false), "there is no transform %.80q", name)
		}
	}
	l.sql(at+".sql", t, f)
	for _, name := range f.reads {
		i, source := l.g.sources[name]
		_, step := l.g.steps[name]
		switch {
		case !source && !step:
			l.doubt("table-unknown", at+".sql", l.meant(name, true), "it reads %.80q, which is no source and no transform", name)
		case source && l.d.Sources[i].Reference:
			l.doubt("reference-read", at+".sql", "leave reference out of "+indexed("sources", i), "it reads %s, which is for checks of integrity alone", name)
		}
	}
	if f.interval && l.d.Interval == IntervalNone {
		l.noInterval(at + ".sql")
	}
}

func (l *linter) sql(at string, t Transform, f sqlFacts) {
	const one = "a transform is one SELECT; give further ones a name of their own"
	switch {
	case len(t.SQL) > maxSQL:
		l.wrong("too-many", at, "split it into several transforms", "%d bytes, %d at most", len(t.SQL), maxSQL)
	case !printable(t.SQL):
		l.wrong("sql-text", at, "take them out", "there are control characters in it")
	case f.open != "":
		l.wrong("sql-open", at, "end it", "a %s is begun and not ended", f.open)
	case f.statements == 0:
		l.wrong("sql-empty", at, "write a SELECT", "there is no statement in it")
	case f.statements > 1:
		l.wrong("sql-several", at, one, "there are %d statements in it", f.statements)
	case !slices.Contains([]string{"select", "with", "from", "values", "pivot", "unpivot", "table", "("}, f.first):
		l.wrong("sql-not-select", at, one, "it begins with %.40s", strings.ToUpper(f.first))
	}
	if len(f.files) > 0 {
		l.wrong("sql-file", at, "make the file a source and read that by its name", "it reads %.80q, which is not a table", f.files[0])
	}
	if len(f.functions) > 0 {
		l.wrong("sql-outside", at, "make the file a source and read that by its name", "%.60s() looks outside the run, which no SQL may", f.functions[0])
	}
}

// meant says which names there are, and which is probably meant.
func (l *linter) meant(name string, sources bool) string {
	var known []string
	for _, t := range l.d.Transforms {
		known = append(known, t.Name)
	}
	if sources {
		for _, s := range l.d.Sources {
			known = append(known, s.Name)
		}
	}
	best, least := "", 3
	for _, k := range known {
		if far := distance(strings.ToLower(name), strings.ToLower(k)); far < least {
			best, least = k, far
		}
	}
	switch {
	case best != "":
		return "is it " + best + "?"
	case len(known) == 0:
		return "there is none"
	}
	return "there are " + names(known, func(s string) string { return s })
}

// distance is how many letters two names differ by, counted up to names of 63 letters.
func distance(a, b string) int {
	if len(a) > 63 || len(b) > 63 {
		return 63
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func (l *linter) target(n int) {
	t, at := l.d.Targets[n], indexed("targets", n)
	_, source := l.g.sources[strings.ToLower(t.From)]
	_, step := l.g.steps[strings.ToLower(t.From)]
	switch {
	case t.From == "":
		l.wrong("target-from", at+".from", l.meant("", true), "it does not say what it is made of")
	case !source && !step:
		l.wrong("target-from", at+".from", l.meant(t.From, true), "there is no transform or source %.80q", t.From)
	}
	if !slices.Contains([]string{FormatParquet, FormatCSV}, t.Format) {
		l.wrong("format", at+".format", "one of parquet, csv", "%.40q is not a format of targets", t.Format)
	} else if t.Format == FormatParquet {
		l.compression(at, t.Format, t.Compression, "zstd", "snappy", "gzip", "none")
	} else {
		l.compression(at, t.Format, t.Compression, "none", "gzip", "zstd")
	}
	if t.Header != nil && t.Format != FormatCSV {
		l.wrong("header", at+".header", "leave it out", "a target of %.20s has no header to leave out", t.Format)
	}
	l.columnNames(at+".partition_by", t.PartitionBy)
	l.columnNames(at+".order_by", t.OrderBy)
	if t.Contract != "" {
		_, _, err := ParseContractRef(t.Contract)
		l.refused("contract-form", at+".contract", err)
	}
	l.targets = append(l.targets, nil)
	if err := checkURI(t.URI, true); err != nil {
		l.refused("uri-form", at+".uri", err)
		return
	}
	l.targets[n] = placeOf(t.URI)
	l.targetPlace(n, t, at+".uri")
}

func (l *linter) columnNames(field string, list []string) {
	if len(list) > 20 {
		l.wrong("too-many", field, "choose those that matter", "%d columns, 20 at most", len(list))
		return
	}
	seen := map[string]string{}
	for i, c := range list {
		if c == "" || len(c) > 255 || !printable(c) {
			l.wrong("column-name", indexed(field, i), "write it as the transform calls it", "a column's name has 1 to 255 bytes")
		}
		l.twice(seen, indexed(field, i), c)
	}
}

// targetPlace looks at where a target goes, beside the other places of the definition.
func (l *linter) targetPlace(n int, t Target, at string) {
	switch {
	case hasPlaceholder(t.URI) && l.d.Interval == IntervalNone:
		l.noInterval(at)
	case !hasPlaceholder(t.URI) && l.d.Interval != IntervalNone:
		l.doubt("target-replaced", at, "put {yyyy}-{mm}-{dd} or {interval} into it to keep them apart", "every run replaces what the run of another interval published")
	}
	if len(t.PartitionBy) > 0 && !strings.HasSuffix(t.URI, "/") {
		l.wrong("target-folder", at, "end it with /", "a partitioned target is a folder")
	}
	for i, other := range l.targets[:n] {
		if other.meets(l.targets[n]) {
			l.wrong("target-overlap", at, "give each target a place of its own", "it is the place of %s, or one lies in the other", indexed("targets", i))
		}
	}
	for i, s := range l.sources {
		if s.meets(l.targets[n]) {
			l.wrong("target-is-source", at, "publish to another place: a run must not change what it reads", "it is the place of %s, or one lies in the other", indexed("sources", i))
		}
	}
}

// unused finds what nobody asks for.
func (l *linter) unused() {
	steps, sources := map[int]bool{}, map[int]bool{}
	for _, t := range l.d.Targets {
		l.g.needs(l.d, t.From, steps, sources)
	}
	for i, s := range l.d.Sources {
		if !sources[i] && !s.Reference {
			l.doubt("source-unused", indexed("sources", i), "take it out, or mark it reference: true if checks look it up", "no target is made of %s", s.Name)
		}
	}
	for i, t := range l.d.Transforms {
		if !steps[i] {
			l.doubt("transform-unused", indexed("transforms", i), "take it out, or make a target of it", "no target is made of %s", t.Name)
		}
	}
}

func (l *linter) times() {
	d := l.d
	if !slices.Contains([]string{IntervalNone, IntervalSchedule, IntervalDay, IntervalMonth}, d.Interval) {
		l.wrong("interval", "interval", "one of schedule, day, month, or leave it out", "%.40q is not an interval of runs", d.Interval)
	}
	if d.Interval == IntervalSchedule && d.Schedule == nil {
		l.wrong("interval", "interval", "add a schedule, or choose day or month", "the interval is the schedule's, and there is no schedule")
	}
	if d.Schedule == nil {
		return
	}
	if _, err := event.NextTick(d.Schedule.Cron, d.Schedule.Zone, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		e := caos.AsError(err)
		l.refused(e.Field, "schedule."+e.Field, err)
	}
}

func (l *linter) compute() {
	request, err := l.d.Compute.Request()
	if err != nil {
		l.refused("compute", caos.AsError(err).Field, err)
		return
	}
	over := func(field, have, most string) {
		l.wrong("compute-limit", "compute."+field, "ask for less, or have the node's limit raised", "%s is more than a run may have here: %s", have, most)
	}
	if m := l.most.MemoryBytes; m > 0 && request.MemoryBytes > m {
		over("memory", FormatSize(request.MemoryBytes), FormatSize(m))
	}
	if m := l.most.Threads; m > 0 && request.Threads > m {
		over("threads", strconv.Itoa(request.Threads), strconv.Itoa(m))
	}
	if m := l.most.ScratchBytes; m > 0 && request.ScratchBytes > m {
		over("scratch", FormatSize(request.ScratchBytes), FormatSize(m))
	}
	if m := l.most.Timeout; m > 0 && request.Timeout > m {
		over("timeout", request.Timeout.String(), m.String())
	}
}

func (l *linter) events() {
	for i, e := range l.d.Events {
		at := indexed("events", i)
		if len(e.Type) > 100 || event.CheckPattern("type", e.Type) != nil {
			l.refused("event-type", at+".type", caos.Errorf(caos.Invalid, "%.80q is not a type of events", e.Type).WithHint("such as caos.pipeline.succeeded"))
			continue
		}
		if len(e.Where) > 20 {
			l.wrong("too-many", at+".where", "20 at most", "%d conditions", len(e.Where))
		}
		for _, key := range sorted(e.Where) {
			switch v := e.Where[key].(type) {
			case nil, bool, float64:
			case string:
				if len(v) > 1000 {
					l.wrong("event-where", at+".where", "shorten it", "the value of %.40q has more than 1000 bytes", key)
				}
			default:
				l.wrong("event-where", at+".where", "a text, a number, true, false or null", "the value of %.40q is not one that can be compared", key)
			}
			if !wherePath.MatchString(key) {
				l.wrong("event-where", at+".where", "subject, source, project, classification or data.<field>", "%.40q is not a field of an event", key)
			}
		}
		if !ofOthers(e.Where, l.d.PipelineID) && hearsRuns(e.Type) {
			l.wrong("event-loop", at, `name another pipeline or its dataset in where, such as {"data.pipeline_id": "DP-RAW-001"} or {"data.dataset_id": "DP-RAW-001.flights"}`,
				"the pipeline would be started by its own end")
		}
	}
}

// ofOthers reports whether conditions leave out every event about the pipeline and what it
// publishes.
func ofOthers(where map[string]any, pipeline string) bool {
	if id, ok := where["data.pipeline_id"]; ok && id != pipeline {
		return true
	}
	id, ok := where["data.dataset_id"].(string)
	return ok && id != pipeline && !strings.HasPrefix(id, pipeline+".")
}

// hearsRuns reports whether a pattern takes the events that a run of a pipeline makes.
func hearsRuns(pattern string) bool {
	return slices.ContainsFunc([]string{"caos.pipeline.completed", "caos.pipeline.succeeded", EventDatasetPublished},
		func(t string) bool { return event.Match(pattern, t) })
}

func sorted(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
