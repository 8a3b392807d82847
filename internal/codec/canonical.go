package codec

import (
	"encoding/json"

	"caos"

	"github.com/gowebpki/jcs"
)

// maxExact is the largest integer n such that n and n-1 are both exact in a float64,
// which is all that RFC 8785 numbers are.
const maxExact = 1 << 53

// Canonical returns the canonical JSON (RFC 8785) of what json.Marshal makes of v: the
// one text that is hashed, signed and stored. Integers beyond ±2^53 are refused, because
// the canonical form would silently be another number: send those as strings.
func Canonical(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "codec: %T cannot be written as JSON", v)
	}
	if err := exact(raw); err != nil {
		return nil, err
	}
	out, err := jcs.Transform(raw)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the document has no canonical form")
	}
	return out, nil
}

// exact refuses integers that a float64 cannot hold, in JSON text known to be well formed.
func exact(raw []byte) error {
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			i++
		case c >= '0' && c <= '9':
			start, whole, n := i, true, uint64(0)
			for i < len(raw) && numeric(raw[i]) {
				if raw[i] < '0' || raw[i] > '9' {
					whole = false
				} else if n <= maxExact {
					n = n*10 + uint64(raw[i]-'0')
				}
				i++
			}
			if whole && n > maxExact {
				return caos.Errorf(caos.Invalid, "the integer %s is beyond 2^53", clip(string(raw[start:i]))).
					WithHint("write it as a string")
			}
		default:
			i++
		}
	}
	return nil
}

func numeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}
