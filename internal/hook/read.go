package hook

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"caos"
)

// indexed is the path of a list's element in an error: "affected_resources[2]".
func indexed(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// maxExact is the largest integer that the canonical form of a record holds exactly.
const maxExact = 1 << 53

// exactIntegers refuses integers that a record could not hold: its canonical form would
// silently be about another number. path is that of v, "" for the whole input.
func exactIntegers(path string, v any) error {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := exactIntegers(strings.TrimPrefix(path+"."+name, "."), v[name]); err != nil {
				return err
			}
		}
	case []any:
		for i := range v {
			if err := exactIntegers(indexed(path, i), v[i]); err != nil {
				return err
			}
		}
	case json.Number:
		digits := strings.TrimPrefix(string(v), "-")
		if strings.Trim(digits, "0123456789") != "" {
			return nil // a fraction or an exponent says that it is about a magnitude
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err != nil || n > maxExact {
			return caos.Errorf(caos.Invalid, "the integer %s is beyond 2^53, which a record cannot hold exactly", clip(string(v))).
				WithField(path).WithHint("write it as a string")
		}
	}
	return nil
}

// firstModel returns the first model id in a list of resources, "" when there is none.
func firstModel(resources []string) string {
	for _, r := range resources {
		if caos.CheckID("model", "", r) == nil {
			return r
		}
	}
	return ""
}
