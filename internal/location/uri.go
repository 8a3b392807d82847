package location

import (
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"caos"
)

// Bounds of what is read from outside.
const (
	maxURI     = 2048   // bytes
	maxFiles   = 10_000 // of one source, and of one publication
	maxListed  = 200_000
	maxDepth   = 16  // folders below each other
	maxSegment = 255 // bytes of one part of a path
)

// place is a location that was read from its URI.
type place struct {
	uri    string
	scheme string   // file, s3, https, http
	bucket string   // s3
	parts  []string // of the path, unescaped; for https none
	wild   []bool   // which parts have a * that stands for anything
	folder bool     // the URI ends with a slash: everything below
	url    *url.URL
}

// parse reads a location. Its errors have the field "uri".
func parse(uri string) (*place, error) {
	bad := func(format string, args ...any) *caos.Error {
		return caos.Errorf(caos.Invalid, format, args...).WithField("uri")
	}
	if uri == "" || len(uri) > maxURI {
		return nil, bad("a location has 1 to %d bytes", maxURI)
	}
	if !plainText(uri) {
		return nil, bad("the location holds characters that are not printed")
	}
	u, err := url.Parse(uri)
	if err != nil || u.Opaque != "" {
		return nil, bad("%.200q is not a location", uri).WithHint("such as file:///srv/data/flights.csv, s3://bucket/flights/ or https://host/flights.parquet; %%25 stands for %%")
	}
	if u.User != nil {
		return nil, bad("the location carries a user name or password").WithHint("name the keys of a bucket in caos.yaml, by reference to the vault")
	}
	p := &place{uri: uri, scheme: u.Scheme, url: u}
	switch u.Scheme {
	case "https", "http":
		if u.Hostname() == "" || u.Fragment != "" {
			return nil, bad("%.200q has no host, or a part behind #", uri)
		}
		return p, nil
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return nil, bad("files of other hosts are not read").WithHint("file:///path, with three slashes")
		}
	case "s3":
		if !bucketName.MatchString(u.Host) {
			return nil, bad("%.80q is not the name of a bucket", u.Host)
		}
		p.bucket = u.Host
	default:
		return nil, bad("the scheme %.20q is not read", u.Scheme).WithHint("file, s3 or https")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(uri, "#") {
		return nil, bad("a location has no part behind ? or #").WithHint("write %%3F and %%23 where a name has these characters")
	}
	return p, p.split(u.EscapedPath())
}

// split reads the path. A * that is not escaped stands for any characters but a slash.
func (p *place) split(escaped string) error {
	bad := caos.Errorf(caos.Invalid, "%.200q is not the path of a location", p.uri).WithField("uri")
	escaped, ok := strings.CutPrefix(escaped, "/")
	if !ok || escaped == "" {
		return bad.WithHint("name a file, a folder with a slash behind it, or a pattern with *")
	}
	escaped, p.folder = strings.CutSuffix(escaped, "/")
	for raw := range strings.SplitSeq(escaped, "/") {
		// A star that is meant is told from one that stands for itself, which is escaped.
		const mark = "\x00"
		part, err := url.PathUnescape(strings.ReplaceAll(raw, "*", "%00"))
		if err != nil || strings.Count(part, mark) != strings.Count(raw, "*") {
			return bad
		}
		wild := strings.Contains(part, mark)
		if err := checkName(strings.ReplaceAll(part, mark, "*")); err != nil {
			return caos.AsError(err).WithField("uri")
		}
		if ours(part) {
			return caos.Errorf(caos.Invalid, "what begins with %s is kept for publications under way", own).WithField("uri").WithRule("location-name").WithHint("name the target itself")
		}
		if !wild {
			p.parts, p.wild = append(p.parts, part), append(p.wild, false)
			continue
		}
		p.parts, p.wild = append(p.parts, part), append(p.wild, true)
	}
	if len(p.parts) > 4*maxDepth {
		return bad
	}
	return nil
}

// own is how the names begin of what a publication keeps beside its target. It is not
// published yet or not any more, so nobody reads it, and nobody publishes into it.
const own = ".caos-"

func ours(name string) bool { return strings.HasPrefix(name, own) }

// plainText reports whether a text is UTF-8 without control characters and other signs that
// are not printed, such as those that turn the direction of writing around.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// checkName refuses a part of a path that would lead elsewhere, or hide what it is.
func checkName(part string) error {
	if part == "" || part == "." || part == ".." || len(part) > maxSegment || !plainText(part) || strings.ContainsAny(part, `/\`) {
		return caos.Errorf(caos.Invalid, "%.80q is no name in a path", part).WithRule("location-name").
			WithHint("no empty names, no . and .., no control characters, no backslash")
	}
	return nil
}

// pattern reports whether any part has a star.
func (p *place) pattern() bool {
	for _, w := range p.wild {
		if w {
			return true
		}
	}
	return false
}

// one reports whether the location names one file and not a set of them.
func (p *place) one() bool {
	return p.scheme == "https" || p.scheme == "http" || !p.folder && !p.pattern()
}

// fixed is the path up to the first star, which a listing begins with: whole parts.
func (p *place) fixed() []string {
	for i, w := range p.wild {
		if w {
			return p.parts[:i]
		}
	}
	if p.folder {
		return p.parts
	}
	return p.parts[:len(p.parts)-1]
}

// fits reports whether a path is one of those that the location stands for.
func (p *place) fits(parts []string) bool {
	if len(parts) < len(p.parts) || !p.folder && len(parts) != len(p.parts) || p.folder && len(parts) == len(p.parts) {
		return false
	}
	for i, part := range p.parts {
		if p.wild[i] && !starred(part, parts[i]) || !p.wild[i] && part != parts[i] {
			return false
		}
	}
	return true
}

// starred matches a name against a part of a pattern, in which \x00 stands for any
// characters. It takes time in proportion to both, whatever they are.
func starred(pattern, name string) bool {
	pieces := strings.Split(pattern, "\x00")
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		i := strings.Index(name, piece)
		if i < 0 {
			return false
		}
		name = name[i+len(piece):]
	}
	return true
}

// hidden reports whether a file found below a folder is one that tools keep for themselves:
// a name that begins with a dot or an underscore. One that a pattern names is not hidden.
func (p *place) hidden(parts []string) bool {
	for i := len(p.fixed()); i < len(parts); i++ {
		aside := strings.HasPrefix(parts[i], ".") || strings.HasPrefix(parts[i], "_")
		if ours(parts[i]) || aside && (i >= len(p.parts) || !strings.HasPrefix(p.parts[i], parts[i][:1])) {
			return true
		}
	}
	return false
}

// escape writes the parts of a path as they stand in a URI.
func escape(parts []string) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

// names gives files names that are safe on any file system and differ from each other.
type names struct{ taken map[string]int }

// of makes a name of the last part of a path.
func (n *names) of(base string) string {
	if n.taken == nil {
		n.taken = map[string]int{}
	}
	base = path.Base(base)
	safe := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return r
		}
		return '_'
	}, base)
	safe = strings.TrimLeft(safe, ".-")
	if len(safe) > 120 { // the end has the extension
		safe = safe[len(safe)-120:]
		safe = strings.TrimLeft(safe, ".-")
	}
	if safe == "" {
		safe = "file"
	}
	for {
		key := strings.ToLower(safe) // some file systems do not tell cases apart
		n.taken[key]++
		count := n.taken[key]
		if count == 1 {
			return safe
		}
		name, ext, dot := strings.Cut(safe, ".")
		if dot {
			ext = "." + ext
		}
		try := name + "-" + itoa(count) + ext
		if _, used := n.taken[strings.ToLower(try)]; !used {
			n.taken[strings.ToLower(try)] = 1
			return try
		}
	}
}
