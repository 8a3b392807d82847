//go:build cgo

package main

import (
	"slices"
	"strings"
)

// What a plain statement may be made of: nothing that looks at several rows, that may be
// another value the next time, that fails for some rows, or that is slow to compute.
var (
	plainKinds     = []string{"BETWEEN", "CASE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "OPERATOR", "STAR"}
	plainFunctions = []string{
		"%", "date_part", "date_trunc", "day", "dayofmonth", "dayofweek", "dayofyear", "hour", "isodow", "isoyear", "left", "lower", "minute",
		"month", "monthname", "quarter", "second", "strftime", "upper", "week", "weekday", "weekofyear", "year", "yearweek",
	}
)

// isPlain reports whether a checked statement picks and renames rows and columns of one
// table that is itself plain. Such a view is as good as a table: every look at it finds the
// same rows in the same order, and a look at a few of them is cheap. What it does not know
// is not plain.
func (e *engine) isPlain(root any) bool {
	statement, _ := root.(map[string]any)
	node, _ := statement["node"].(map[string]any)
	if str(node["type"]) != "SELECT_NODE" || str(node["aggregate_handling"]) != "STANDARD_HANDLING" {
		return false
	}
	ctes, _ := node["cte_map"].(map[string]any)
	if entries, ok := ctes["map"].([]any); !ok || len(entries) > 0 {
		return false
	}
	for _, part := range []string{"modifiers", "group_expressions", "group_sets"} {
		if list, ok := node[part].([]any); !ok || len(list) > 0 {
			return false
		}
	}
	for _, part := range []string{"having", "sample", "qualify"} {
		if node[part] != nil {
			return false
		}
	}
	from, _ := node["from_table"].(map[string]any)
	if str(from["type"]) != "BASE_TABLE" || from["sample"] != nil || !e.plain[strings.ToLower(str(from["table_name"]))] {
		return false
	}
	return plainExpression(node["select_list"]) && plainExpression(node["where_clause"])
}

func plainExpression(node any) bool {
	switch node := node.(type) {
	case []any:
		return !slices.ContainsFunc(node, func(child any) bool { return !plainExpression(child) })
	case map[string]any:
		if class, ok := node["class"].(string); ok && !slices.Contains(plainKinds, class) {
			return false
		}
		if names, ok := node["column_names"].([]any); ok && len(names) == 1 && isClock(str(names[0])) {
			return false
		}
		if name, ok := node["function_name"].(string); ok && !slices.Contains(plainFunctions, strings.ToLower(name)) {
			return false
		}
		for key, child := range node {
			if key == "value" && node["class"] == "CONSTANT" {
				continue // data, not syntax
			}
			if !plainExpression(child) {
				return false
			}
		}
	}
	return true
}

// isClock reports whether a name may be a value of the engine's own that is written like a
// column, such as current_timestamp.
func isClock(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "current_") || strings.HasPrefix(name, "local") || strings.HasSuffix(name, "user")
}
