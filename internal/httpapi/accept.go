package httpapi

import (
	"strconv"
	"strings"
)

// negotiate returns which of the offered media types a client accepts most, the first of
// them for one that names none: RFC 9110, section 12.5.1. Of types that are as welcome, the
// one offered first wins.
func negotiate(accept []string, offered ...string) string {
	best, bestQ := offered[0], 0.0
	text := strings.Join(accept, ",")
	if strings.TrimSpace(text) == "" || len(text) > 4096 {
		return best
	}
	for _, media := range offered {
		if q := welcome(text, media); q > bestQ {
			best, bestQ = media, q
		}
	}
	return best
}

// welcome is the quality that an Accept header gives to a media type: that of the range
// which names it most exactly.
func welcome(accept, media string) float64 {
	kind, _, _ := strings.Cut(media, "/")
	exact, q := 0, 0.0
	for one := range strings.SplitSeq(accept, ",") {
		parts := strings.Split(one, ";")
		fit := 0
		switch r := strings.ToLower(strings.TrimSpace(parts[0])); r {
		case media:
			fit = 3
		case kind + "/*":
			fit = 2
		case "*/*":
			fit = 1
		}
		if fit > exact {
			exact, q = fit, quality(parts[1:])
		}
	}
	return q
}

// quality reads the weight of a media range; 1 if it has none, 0 if it is malformed.
func quality(params []string) float64 {
	for _, p := range params {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
