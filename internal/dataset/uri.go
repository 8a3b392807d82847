package dataset

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"caos"
)

// placeholder is what a URI may hold of a run's interval.
var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// placeholders are those there are.
func placeholders() []string { return []string{"{yyyy}", "{mm}", "{dd}", "{interval}"} }

// hasPlaceholder reports whether a URI changes with the run's interval.
func hasPlaceholder(uri string) bool { return placeholder.MatchString(uri) }

// ExpandURI puts an interval into the placeholders of a URI: {yyyy} {mm} {dd} of its start in
// zone; {interval} both ends as days of the zone (2001-01-01_2001-02-01) or moments
// (20010101T000000Z_20010101T060000Z).
func ExpandURI(uri string, i *Interval, zone *time.Location) (string, error) {
	var bad error
	if zone == nil {
		zone = time.UTC
	}
	out := placeholder.ReplaceAllStringFunc(uri, func(p string) string {
		if !slices.Contains(placeholders(), p) {
			bad = caos.Errorf(caos.Invalid, "there is no placeholder %.40q", p).WithRule("uri-placeholder").WithHint("one of %s", strings.Join(placeholders(), ", "))
			return p
		}
		if i == nil {
			bad = caos.Errorf(caos.Invalid, "%s stands for a run's interval, and there is none", p).WithRule("interval-missing").
				WithHint("say what a run is about: interval: schedule, day or month")
			return p
		}
		start, end := i.Start.In(zone), i.End.In(zone)
		switch p {
		case "{yyyy}":
			return start.Format("2006")
		case "{mm}":
			return start.Format("01")
		case "{dd}":
			return start.Format("02")
		}
		if i.days(zone) {
			return start.Format(time.DateOnly) + "_" + end.Format(time.DateOnly)
		}
		const stamp = "20060102T150405Z"
		return i.Start.UTC().Format(stamp) + "_" + i.End.UTC().Format(stamp)
	})
	if bad == nil && strings.ContainsAny(out, "{}") {
		bad = caos.Errorf(caos.Invalid, "a brace is not part of a placeholder").WithRule("uri-placeholder").WithHint("one of %s", strings.Join(placeholders(), ", "))
	}
	return out, bad
}

// secretWord is how a part of a query is called that lets somebody in.
var secretWord = regexp.MustCompile(`(?i)token|signature|^sig$|secret|passw|credential|api.?key|^key$|^x-amz-`)

// checkURI refuses what cannot be a location whatever an installation allows.
func checkURI(uri string, target bool) *caos.Error {
	bad := func(rule, hint, format string, args ...any) *caos.Error {
		return caos.Errorf(caos.Invalid, format, args...).WithRule(rule).WithHint("%s", hint)
	}
	const form = "file:///folder/name.parquet, s3://bucket/key or https://host/path"
	if uri == "" || len(uri) > maxLocation {
		return bad("uri-form", form, "a location has 1 to %d bytes", maxLocation)
	}
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' || r == '\ufffd' }) {
		return bad("uri-form", "write a space as %20", "a location holds no white space, control character or backslash")
	}
	sample := Interval{Start: time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC), End: time.Date(2001, 2, 4, 0, 0, 0, 0, time.UTC)}
	plain, err := ExpandURI(uri, &sample, time.UTC)
	if err != nil {
		return caos.AsError(err)
	}
	u, err := url.Parse(plain)
	if err != nil || u.Opaque != "" {
		return bad("uri-form", form, "%.120q is not a location", uri)
	}
	scheme, _, _ := strings.Cut(uri, ":")
	switch {
	case scheme != "file" && scheme != "s3" && scheme != "https":
		return bad("uri-scheme", form, "locations are file:, s3: or https:, not %.20q", scheme)
	case target && scheme == "https":
		return bad("uri-scheme", "publish to file: or s3:", "nothing is published to https:")
	case u.User != nil:
		return bad("uri-secret", "credentials of buckets are in the configuration, as references into the vault", "a location holds no user and no password")
	case u.Fragment != "" || strings.Contains(plain, "#"):
		return bad("uri-form", "write a # as %23", "a location has no fragment")
	case (u.RawQuery != "" || u.ForceQuery) && scheme != "https":
		return bad("uri-form", "write a ? as %3F", "a location of %s: has no query", scheme)
	case scheme == "file" && u.Host != "":
		return bad("uri-form", "write file:///folder/name with three slashes", "a file: location has no host")
	case scheme != "file" && u.Host == "":
		return bad("uri-form", form, "the location names no %s", map[string]string{"s3": "bucket", "https": "host"}[scheme])
	case strings.Trim(u.Path, "/") == "":
		return bad("uri-form", "name a file, or a folder with / at its end", "the location names nothing in %s", plain)
	}
	for _, part := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return bad("uri-form", "write the path out", "a path has no empty part, . or ..")
		}
	}
	if one := canonicalURI(plain); scheme != "https" && one != plain {
		return bad("uri-form", "write it as "+canonicalURI(uri), "the location escapes what needs no escape, so that it could be written in two ways")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("uri-form", form, "the query of the location cannot be read")
	}
	for name := range query {
		if secretWord.MatchString(name) {
			return bad("uri-secret", "definitions are read by many, and never deleted: serve the file without, or from a bucket", "the query has %.40q, which looks like a credential", name)
		}
	}
	switch star := strings.Contains(plain, "*"); {
	case star && target:
		return bad("uri-pattern", "name one file, or a folder with / at its end", "a target is no pattern")
	case star && scheme == "https":
		return bad("uri-pattern", "name one file a source", "https: has no folders, so no patterns")
	case star && strings.Contains(u.Host, "*"):
		return bad("uri-pattern", form, "the bucket is no pattern")
	case strings.HasSuffix(u.Path, "/") && scheme == "https":
		return bad("uri-pattern", "name one file", "https: has no folders")
	}
	return nil
}

// canonicalURI writes a location of file: or s3: in the one way in which definitions have it:
// locations are compared as texts, and two texts for one place would hide that it is one. What
// would mean something else is escaped, and nothing more.
func canonicalURI(uri string) string {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme != "file" && scheme != "s3" {
		return uri
	}
	escapes := strings.NewReplacer("%", "%25", " ", "%20", "?", "%3F", "#", "%23", "*", "%2A", "{", "%7B", "}", "%7D")
	var b strings.Builder
	b.WriteString(scheme + "://")
	from := 0
	for i := 0; i <= len(rest); i++ {
		if i < len(rest) && !strings.ContainsRune("/*{}", rune(rest[i])) {
			continue
		}
		part := rest[from:i]
		if plain, err := url.PathUnescape(part); err == nil && !strings.Contains(plain, "/") {
			part = escapes.Replace(plain)
		}
		b.WriteString(part)
		if i < len(rest) {
			b.WriteByte(rest[i])
		}
		from = i + 1
	}
	return b.String()
}

// segments are the parts of a location: scheme, host and path.
func segments(uri string) []string {
	scheme, rest, _ := strings.Cut(uri, "://")
	return append([]string{scheme}, strings.Split(strings.TrimSuffix(rest, "/"), "/")...)
}

// overlaps reports whether two locations are the same, or one lies in the other.
func overlaps(a, b string) bool { return overlap(segments(a), segments(b)) }

// overlap is overlaps by segments. Patterns stand for all that they match.
func overlap(x, y []string) bool {
	pattern := func(parts []string) bool { return strings.Contains(parts[len(parts)-1], "*") }
	for i := range min(len(x), len(y)) {
		if x[i] == y[i] {
			continue
		}
		if !fits(x[i], y[i]) && !fits(y[i], x[i]) {
			return false
		}
	}
	switch {
	case len(x) < len(y):
		return !pattern(x) // what it matches are files, and nothing lies in a file
	case len(x) > len(y):
		return !pattern(y)
	}
	return true
}

// fits reports whether a pattern, in which * alone stands for anything, matches a name.
func fits(pattern, name string) bool {
	if !strings.Contains(pattern, "*") {
		return false
	}
	ok, _ := path.Match(strings.ReplaceAll(strings.ReplaceAll(pattern, "[", `\[`), "?", `\?`), name)
	return ok
}

// samples are a run's intervals by which locations with placeholders are compared.
func samples() []Interval {
	return []Interval{
		{Start: time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC), End: time.Date(2001, 2, 4, 0, 0, 0, 0, time.UTC)},
		{Start: time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2011, 12, 1, 0, 0, 0, 0, time.UTC)},
		{Start: time.Date(2021, 10, 11, 6, 0, 0, 0, time.UTC), End: time.Date(2021, 10, 11, 12, 0, 0, 0, time.UTC)},
	}
}
