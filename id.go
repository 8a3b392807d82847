package caos

import (
	"regexp"
	"strings"
	"time"
)

// The grammars of identifiers. SYSTEM is upper-case letters and digits without a hyphen;
// serials are three digits or more; versions are semantic versions without a build part.
// Every pattern is anchored and bounded, so that an identifier is safe in a path, a log
// line and a header.
var (
	modelID    = regexp.MustCompile(`^NN-[A-Z][A-Z0-9]{0,15}-[0-9]{3,6}$`)
	pipelineID = regexp.MustCompile(`^DP-[A-Z][A-Z0-9]{0,15}-[0-9]{3,6}$`)
	version    = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})(-[0-9A-Za-z][0-9A-Za-z.-]{0,31})?$`)
	packageID  = regexp.MustCompile(`^CERT-PKG-[A-Z0-9][A-Z0-9-]{0,47}$`)
	documentID = regexp.MustCompile(`^[0-9A-Za-z]{2,12}(-[0-9A-Za-z]{1,12}){2,5}$`)
	userID     = regexp.MustCompile(`^[a-z][a-z0-9._-]{1,63}$`)
	resourceID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$`)
	hookID     = regexp.MustCompile(`^CAOS\.PROD\.[A-Z]{2,16}\.[A-Z]{2,16}$`)
)

// IDPattern returns the regular expression of a kind of identifier, for JSON Schemas:
// "model", "pipeline", "version", "package", "document", "user", "resource" or "hook". It returns "" for
// any other word.
func IDPattern(kind string) string {
	if re := grammar(kind); re != nil {
		return re.String()
	}
	return ""
}

func grammar(kind string) *regexp.Regexp {
	switch kind {
	case "model":
		return modelID
	case "pipeline":
		return pipelineID
	case "version":
		return version
	case "package":
		return packageID
	case "document":
		return documentID
	case "user":
		return userID
	case "resource":
		return resourceID
	case "hook":
		return hookID
	}
	return nil
}

// CheckID returns an Invalid error that names field unless id is well formed for its kind
// (the kinds of IDPattern).
func CheckID(kind, field, id string) error {
	re := grammar(kind)
	if re == nil {
		return Errorf(Internal, "no grammar for identifiers of kind %q", kind)
	}
	if !re.MatchString(id) {
		return Errorf(Invalid, "%q is not a %s id", clip(id), kind).WithField(field).
			WithHint("a %s id matches %s", kind, re)
	}
	return nil
}

// ShortID is the form in which an id goes into the name of something made from it: any
// serial but 001 is shown, and the kind's prefix is dropped. ShortID("NN-FCS-001") is
// "FCS", ShortID("NN-FCS-002") is "FCS-002".
func ShortID(id string) string {
	_, rest, ok := strings.Cut(id, "-")
	if !ok {
		return id
	}
	return strings.TrimSuffix(rest, "-001")
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// StampLayout is how a moment is written inside an identifier: UTC, microseconds, no
// character that needs escaping in a path.
const StampLayout = "20060102T150405.000000Z"

// Stamp formats t for use inside an identifier.
func Stamp(t time.Time) string { return t.UTC().Format(StampLayout) }

// TimeLayout is how moments are written in JSON: RFC 3339, UTC, microseconds.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// FormatTime formats t for JSON output and for records.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeLayout) }
