// Package programme holds the files of a programme that the demo works on. README.md says
// what each of them is, NOTICE where they come from.
package programme

import "embed"

// Files are the registry, the two tables and the two reports.
//
//go:embed *.json *.csv *.xml *.sarif
var Files embed.FS

// The names of the files.
const (
	Registry     = "95-00-09-00-005_Industrialization_Registry.json"
	Traceability = "95-00-09-00-004_Production_Traceability_Matrix.csv"
	Readiness    = "95-00-09-01-A-002_Production_Readiness_Table.csv"
	JUnit        = "traceability-junit.xml"
	SARIF        = "traceability-ruff.sarif"
)
