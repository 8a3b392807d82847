package contract

import "time"

// Column is a column of the data as the worker describes it. Type is DuckDB's.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Statement is a table or view that the worker makes; the fields are those of its Job.
type Statement struct {
	Name  string
	SQL   string
	Table bool
}

// Query is a statement whose rows the worker returns; the fields are those of its Job.
type Query struct {
	Name    string
	SQL     string
	MaxRows int
}

// Rows is the answer to one Query as the worker gives it: numbers as float64, int64 or
// json.Number, decimals and integers beyond 2^53 as strings, NaN and infinities as "NaN",
// "Infinity", "-Infinity".
type Rows struct {
	Columns   []Column
	Rows      [][]any
	Truncated bool
}

// Options are what a compilation needs besides the contract.
type Options struct {
	Now        time.Time           // what freshness is measured against
	Tables     map[string][]Column // the other tables of the same job, for referential integrity
	MaxSamples int                 // failing rows shown per check; 0 means 20, below 0 none
	Redact     map[string]bool     // columns whose values never leave the worker
	Prefix     string              // begins the names of steps and queries; empty means dq. Two objects in one job need two
	Profile    bool                // also describe every column (distinct, quantiles): it costs about as much as the checks
}

// Compiled is an object's checks as SQL. Steps go at the end of a job's steps, Queries to
// its queries; names are unique under Options.Prefix.
type Compiled struct {
	Steps   []Statement
	Queries []Query
}

// Compile writes the SQL for table, which has the columns given. What cannot be checked on
// these columns (a property that is missing, a type that has no order) is no error: it is a
// failed check with a message in the Outcome.
func (o *Object) Compile(table string, columns []Column, opt Options) (*Compiled, error) {
	return &Compiled{}, nil
}

// Drop takes a query that the worker refused or could not run (its name is in the worker's
// failure) out of the job, and notes its check as one that cannot run. It reports whether
// there was such a query: then the job may be run again without it. Only the queries of
// checks of kind sql can be dropped.
func (c *Compiled) Drop(query, message string) bool { return false }
