package hook

import (
	"fmt"

	"caos"
)

// indexed is the path of a list's element in an error: "affected_resources[2]".
func indexed(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// firstModel returns the first model id in a list of resources, "" when there is none.
func firstModel(resources []string) string {
	for _, r := range resources {
		if caos.CheckID("model", "", r) == nil {
			return r
		}
	}
	return ""
}
