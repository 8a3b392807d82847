//go:build cgo

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"caos/internal/worker"
)

// Limits of a statement.
const (
	maxStatement = 1 << 20 // bytes
	maxDepth     = 500     // of its syntax tree
)

// functionList are the functions that a statement may call, a name a line: those of this
// version of the engine that compute with their arguments alone. A test compares it with
// the engine's own list, so that a new version's functions are judged before they are
// allowed.
//
//go:embed functions.txt
var functionList string

// tableFunctions may stand in FROM: they make rows of their arguments.
var tableFunctions = []string{"range", "generate_series", "unnest", "json_each", "json_tree"}

// tableKinds are what FROM may be made of, in the words of the engine's syntax tree. What
// is missing here: SHOW_REF (DESCRIBE, SUMMARIZE, SHOW), whose names are not checked.
var tableKinds = []string{"BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST", "PIVOT"}

// expressionKinds are what expressions may be made of. What is missing: PARAMETER, DEFAULT.
var expressionKinds = []string{
	"BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA", "LAMBDA_REF",
	"OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "WINDOW", "TYPE",
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func allowedFunctions() map[string]bool {
	allow := map[string]bool{}
	for name := range strings.Lines(functionList) {
		allow[strings.ToLower(strings.TrimSpace(name))] = true
	}
	return allow
}

// check says whether a statement is one SELECT over known tables that reads nothing else.
func (e *engine) check(ctx context.Context, statement string) error {
	_, err := e.tree(ctx, statement)
	return err
}

// tree checks a statement and returns its syntax tree. The engine's own parser gives the
// tree; what this does not know it refuses.
func (e *engine) tree(ctx context.Context, statement string) (any, error) {
	if len(statement) > maxStatement {
		return nil, refusal("the statement has more than %d bytes", maxStatement)
	}
	var tree string
	err := e.conn.QueryRowContext(ctx, "SELECT CAST(json_serialize_sql(CAST(? AS VARCHAR)) AS VARCHAR)", statement).Scan(&tree)
	if err != nil {
		return nil, err
	}
	var parsed struct {
		Error      bool              `json:"error"`
		Type       string            `json:"error_type"`
		Message    string            `json:"error_message"`
		Statements []json.RawMessage `json:"statements"`
	}
	if err := json.Unmarshal([]byte(tree), &parsed); err != nil {
		return nil, fmt.Errorf("the engine's syntax tree: %w", err)
	}
	switch {
	case parsed.Error && strings.EqualFold(parsed.Type, "parser"):
		return nil, &worker.Failure{Kind: worker.KindSQL, Message: parsed.Message}
	case parsed.Error:
		return nil, refusal("a statement must be a SELECT (%s)", parsed.Message)
	case len(parsed.Statements) != 1:
		return nil, refusal("one SELECT is wanted, here are %d", len(parsed.Statements))
	}
	var root any
	if err := json.Unmarshal(parsed.Statements[0], &root); err != nil {
		return nil, fmt.Errorf("the engine's syntax tree: %w", err)
	}
	w := walk{engine: e, names: map[string]bool{}}
	if err := w.collect(root, 0); err != nil {
		return nil, err
	}
	if err := w.unclaimed(ctx); err != nil {
		return nil, err
	}
	return root, w.visit(root, 0)
}

// unclaimed refuses names of WITH clauses that the engine would find something under by
// itself: outside its clause such a name is the engine's own view, of settings, statements
// or logs. The engine is asked, because it has more of them than its catalogue lists.
func (w *walk) unclaimed(ctx context.Context) error {
	for name := range w.names {
		if w.engine.known[name] != "" {
			continue
		}
		statement, err := w.engine.conn.PrepareContext(ctx, "SELECT 1 FROM "+ident(name))
		if err == nil {
			return errors.Join(refusal("WITH %q: the engine has a table of its own of this name; choose another", name), statement.Close())
		}
	}
	return nil
}

func refusal(format string, args ...any) error {
	return &worker.Failure{Kind: worker.KindRefused, Message: fmt.Sprintf(format, args...)}
}

// walk is one look at a statement's tree.
type walk struct {
	engine *engine
	names  map[string]bool // of its WITH clauses, lower case
}

// collect gathers the names that WITH clauses give. They are plain names, so that none of
// them can be a file's: a name counts wherever it is used, also outside its clause.
func (w *walk) collect(node any, depth int) error {
	if depth > maxDepth {
		return refusal("the statement is nested more than %d deep", maxDepth)
	}
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			if err := w.collect(child, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := w.name(node); err != nil {
			return err
		}
		for _, child := range node {
			if err := w.collect(child, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) name(node map[string]any) error {
	var given []string
	if ctes, ok := node["cte_map"].(map[string]any); ok {
		list, _ := ctes["map"].([]any)
		for _, entry := range list {
			if pair, ok := entry.(map[string]any); ok {
				given = append(given, str(pair["key"]))
			}
		}
	}
	if name := str(node["cte_name"]); name != "" {
		given = append(given, name)
	}
	for _, name := range given {
		if !plainName.MatchString(name) {
			return refusal("WITH %q: a name here is letters, digits and underscores", name)
		}
		w.names[strings.ToLower(name)] = true
	}
	return nil
}

func (w *walk) visit(node any, depth int) error {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			if err := w.visit(child, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := w.look(node); err != nil {
			return err
		}
		for key, child := range node {
			if key == "value" && node["class"] == "CONSTANT" {
				continue // data, not syntax
			}
			if err := w.visit(child, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// look judges one node by what it has rather than by where it stands.
func (w *walk) look(node map[string]any) error {
	kind, class := str(node["type"]), str(node["class"])
	_, sampled := node["sample"]
	_, aliased := node["alias"]
	switch {
	case class != "":
		if !slices.Contains(expressionKinds, class) {
			return refusal("a statement may not use %s expressions", strings.ToLower(class))
		}
		if name, ok := node["function_name"].(string); ok {
			return w.function(node, name)
		}
	case sampled && aliased: // a part of FROM
		if !slices.Contains(tableKinds, kind) {
			return refusal("FROM may not use %s", strings.ToLower(strings.TrimSuffix(kind, "_REF")))
		}
		if kind == "TABLE_FUNCTION" {
			return w.tableFunction(node)
		}
	}
	if name, ok := node["table_name"].(string); ok {
		return w.table(node, name, kind)
	}
	return nil
}

func (w *walk) table(node map[string]any, name, kind string) error {
	if kind != "BASE_TABLE" || node["at_clause"] != nil {
		return refusal("%q is used as no table may be", name)
	}
	lower := strings.ToLower(name)
	if schema, catalog := str(node["schema_name"]), str(node["catalog_name"]); schema != "" || catalog != "" {
		return refusal("%q is not a source or a step: those have no schema", strings.Trim(catalog+"."+schema+"."+name, "."))
	}
	if w.names[lower] || w.engine.known[lower] != "" {
		return nil
	}
	return refusal("there is no source or earlier step %q; files are not read by name, they are sources", name)
}

func (w *walk) function(node map[string]any, name string) error {
	if schema, catalog := str(node["schema"]), str(node["catalog"]); schema != "" && schema != "main" || catalog != "" && catalog != "system" {
		return refusal("the function %s.%s may not be called", schema, name)
	}
	if lower := strings.ToLower(name); !w.engine.allow[lower] && !slices.Contains(tableFunctions, lower) {
		return refusal("the function %s does not exist, or a statement may not call it", name)
	}
	return nil
}

func (w *walk) tableFunction(node map[string]any) error {
	call, _ := node["function"].(map[string]any)
	name := strings.ToLower(str(call["function_name"]))
	if str(call["class"]) != "FUNCTION" || !slices.Contains(tableFunctions, name) || str(call["schema"]) != "" || str(call["catalog"]) != "" {
		return refusal("FROM %s(…) may not be used: %s may", name, strings.Join(tableFunctions, ", "))
	}
	return nil
}

func str(v any) string {
	s, _ := v.(string)
	return s
}
