package caos_test

import (
	"os"
	"testing"
)

// This file is the architecture, as data: which package stands on which level, who may
// import whom, how big things may get, and which modules the product stands on. The rules
// that read it are in arch_rules_test.go and arch_state_test.go; arch_seeded_test.go shows
// that each rule can fail. Packages that do not exist yet may be listed here.

// module is the module's path, and the import path of the root package.
const module = "caos"

// limits are the budgets. The usual sizes are about half of them.
var limits = budget{
	fileLines:        700,
	functionLines:    100,
	interfaceMethods: 4,
	parameters:       5,
	chain:            8,
	packages:         60,
}

// levels gives every package its level. A package imports lower levels only, except along
// the edges that name a package of its own level.
var levels = map[string]int{
	"": 0, // the root package caos: the vocabulary

	"examples/flight-delay": 1, // the demo's model, embedded
	"examples/programme":    1, // the demo's files, embedded
	"internal/client":       1,
	"internal/codec":        1,
	"internal/contract":     1,
	"internal/db":           1,
	"internal/db/dbtest":    1,
	"internal/ethereum":     1,
	"internal/location":     1,
	"internal/mlflow":       1,
	"internal/modelfile":    1,
	"internal/object":       1,
	"internal/outbound":     1,
	"internal/policy":       1,
	"internal/progtest":     1,
	"internal/report":       1,
	"internal/sandbox":      1,
	"internal/secret":       1,
	"internal/sign":         1,
	"internal/verify":       1,
	"internal/worker":       1,

	"internal/location/s3test":   1,
	"internal/worker/workertest": 1,

	"internal/ethereum/binding":   1,
	"internal/ethereum/chaintest": 1,

	"internal/alert":    2,
	"internal/auditlog": 2,
	"internal/baseline": 2,
	"internal/engine":   2,
	"internal/event":    2,
	"internal/witness":  2,

	"internal/anchor":    3,
	"internal/auth":      3,
	"internal/build":     3,
	"internal/chain":     3,
	"internal/dataset":   3,
	"internal/dpp":       3,
	"internal/evidence":  3,
	"internal/incident":  3,
	"internal/monitor":   3,
	"internal/notify":    3,
	"internal/readiness": 3,
	"internal/registry":  3,
	"internal/rollout":   3,

	"internal/hook":     4,
	"internal/importer": 4,
	"internal/trigger":  4,

	"internal/console": 5,
	"internal/httpapi": 5,

	"internal/app":      6,
	"internal/caostest": 6,

	"cmd/caos":          7,
	"cmd/caos-devchain": 7,
	"cmd/caos-verify":   7,
	"cmd/caos-worker":   7,
}

// testOnly are the packages that only tests may import.
var testOnly = map[string]bool{"internal/db/dbtest": true, "internal/caostest": true, "internal/ethereum/chaintest": true, "internal/location/s3test": true, "internal/progtest": true, "internal/worker/workertest": true}

// edges lists, for each package, the packages of this module it may import besides the
// root package. An edge is added here in the commit that needs it, with a thought about
// why the two cannot meet in a hook, in an interface that app fills, or in an event.
var edges = map[string][]string{
	"internal/db/dbtest": {"internal/db"},
	"internal/object":    {"internal/db"},
	"internal/sign":      {"internal/verify"},
	"internal/contract":  {"internal/codec"},
	"internal/secret":    {"internal/db"},
	"internal/location":  {"internal/outbound", "internal/secret"},
	"internal/worker":    {"internal/sandbox"}, // a run of the worker is a sandboxed process

	"internal/worker/workertest": {"internal/progtest", "internal/worker"},

	"internal/ethereum":           {"internal/codec", "internal/outbound"},
	"internal/ethereum/chaintest": {"internal/ethereum", "internal/progtest"},
	"internal/witness":            {"internal/codec", "internal/sign", "internal/verify"},
	"internal/chain": { // a transaction, its nonce and their record are one commit
		"internal/alert", "internal/auditlog", "internal/codec", "internal/db", "internal/ethereum", "internal/event",
	},
	"internal/anchor": { // a checkpoint that was anchored is recorded in the log that it is of
		"internal/alert", "internal/auditlog", "internal/chain", "internal/codec", "internal/db", "internal/event", "internal/location", "internal/outbound",
		"internal/sign", "internal/verify", "internal/witness",
	},

	"internal/event":    {"internal/db"},
	"internal/alert":    {"internal/db", "internal/event"}, // an alert announces itself in the transaction that raised it
	"internal/auditlog": {"internal/codec", "internal/db", "internal/sign", "internal/verify"},
	"internal/engine":   {"internal/auditlog", "internal/codec", "internal/db"}, // a step and its record are one commit

	"internal/baseline": {"internal/sign", "internal/verify"},

	"internal/auth":     {"internal/auditlog", "internal/codec", "internal/db", "internal/event", "internal/policy", "internal/sign", "internal/verify"},
	"internal/evidence": {"internal/auditlog", "internal/codec", "internal/db", "internal/object", "internal/sign", "internal/verify"},
	"internal/registry": { // a model's file is judged as it is attached
		"internal/auditlog", "internal/codec", "internal/db", "internal/event", "internal/modelfile", "internal/object",
	},
	"internal/readiness": { // a decision and its record are one commit
		"internal/auditlog", "internal/codec", "internal/db", "internal/event", "internal/verify",
	},
	"internal/dpp":    {"internal/auditlog", "internal/codec", "internal/db", "internal/event", "internal/object", "internal/sign", "internal/verify"},
	"internal/notify": {"internal/alert", "internal/db", "internal/event"},

	"internal/importer": {"internal/codec", "internal/db", "internal/readiness", "internal/registry"},
	"internal/trigger":  {"internal/alert", "internal/auditlog", "internal/auth", "internal/codec", "internal/db", "internal/event"},
	"internal/dataset": { // a publication, its lineage and their record are one commit
		"internal/auditlog", "internal/codec", "internal/contract", "internal/db", "internal/event",
	},
	"internal/hook": {
		"internal/chain", "internal/ethereum",
		"internal/contract", "internal/dataset", "internal/location", "internal/worker",
		"internal/alert", "internal/auditlog", "internal/auth", "internal/baseline", "internal/codec", "internal/db", "internal/dpp", "internal/engine",
		"internal/event", "internal/evidence", "internal/notify", "internal/object", "internal/outbound", "internal/policy", "internal/readiness",
		"internal/registry", "internal/report", "internal/sign", "internal/verify",
	},

	"internal/httpapi": {
		"internal/anchor", "internal/chain", "internal/ethereum",
		"internal/contract", "internal/dataset", "internal/location", "internal/report", "internal/secret",
		"internal/alert", "internal/auditlog", "internal/auth", "internal/baseline", "internal/codec", "internal/db", "internal/dpp", "internal/engine",
		"internal/event", "internal/evidence", "internal/hook", "internal/importer", "internal/modelfile", "internal/notify", "internal/object",
		"internal/policy", "internal/readiness", "internal/registry", "internal/sign", "internal/trigger", "internal/verify",
	},
	"internal/app": {
		"internal/anchor", "internal/chain", "internal/ethereum", "internal/witness",
		"internal/contract", "internal/dataset", "internal/location", "internal/sandbox", "internal/secret", "internal/worker",
		"internal/alert", "internal/auditlog", "internal/auth", "internal/baseline", "internal/codec", "internal/db", "internal/dpp", "internal/engine",
		"internal/event", "internal/evidence", "internal/hook", "internal/httpapi", "internal/notify", "internal/object", "internal/outbound",
		"internal/policy", "internal/readiness", "internal/registry", "internal/sign", "internal/trigger", "internal/verify",
	},
	"internal/caostest": {"internal/app", "internal/auditlog", "internal/auth", "internal/db", "internal/db/dbtest", "internal/engine"},

	"cmd/caos": { // answers of the API are read into the types they were written from
		"internal/anchor", "internal/chain", "internal/ethereum", "internal/witness",
		"internal/contract", "internal/dataset", "internal/sandbox", "internal/secret", "internal/worker",
		"examples/flight-delay", "examples/programme", "internal/alert", "internal/app", "internal/auditlog", "internal/auth", "internal/baseline",
		"internal/client", "internal/codec", "internal/db", "internal/dpp", "internal/engine", "internal/evidence", "internal/hook", "internal/httpapi",
		"internal/importer", "internal/mlflow", "internal/modelfile", "internal/notify", "internal/readiness", "internal/registry", "internal/sign",
		"internal/trigger",
		"internal/verify",
	},
	"cmd/caos-devchain": {"internal/ethereum/binding"},
	"cmd/caos-verify":   {"internal/verify"},
	"cmd/caos-worker":   {"internal/sandbox", "internal/worker"},
}

// bannedNames are package names that say nothing about what is inside.
var bannedNames = []string{
	"base", "common", "core", "helper", "helpers", "lib", "manager", "misc", "model", "models",
	"service", "services", "shared", "type", "types", "util", "utils",
}

// dependencies are the modules the product may require directly, each with its reason.
// docs/checklists/new-dependency.md says how one is added.
var dependencies = map[string]string{
	"charm.land/lipgloss/v2":                             "tables and colour where the output is a terminal",
	"codeberg.org/go-pdf/fpdf":                           "the report of a review as PDF",
	"github.com/Masterminds/semver/v3":                   "versions of hooks and models: order and pre-releases",
	"github.com/adhocore/gronx":                          "cron expressions of schedules and triggers",
	"github.com/cedar-policy/cedar-go":                   "authorisation policies that a reviewer can read",
	"github.com/danielgtaylor/huma/v2":                   "HTTP API and OpenAPI 3.1 from one Go type",
	"github.com/aws/aws-sdk-go-v2":                       "S3, with the credentials and the checksums it has",
	"github.com/aws/aws-sdk-go-v2/service/s3":            "S3",
	"github.com/aws/smithy-go":                           "the errors of S3",
	"github.com/ethereum/go-ethereum":                    "the client side of Ethereum: transactions, keys, ABI; the chain itself in caos-devchain alone",
	"github.com/digitorus/timestamp":                     "a time-stamp server (RFC 3161) for tests, whose tokens another's code makes",
	"github.com/duckdb/duckdb-go/v2":                     "the data engine, in caos-worker alone",
	"github.com/tink-crypto/tink-go/v2":                  "the vault's encryption",
	"golang.org/x/sys":                                   "namespaces, limits and seccomp of the sandbox",
	"github.com/goccy/go-yaml":                           "strict YAML with positions in its errors",
	"github.com/gowebpki/jcs":                            "RFC 8785 canonical JSON",
	"github.com/invopop/jsonschema":                      "JSON Schemas of hooks from their Go types",
	"github.com/jackc/pgx/v5":                            "PostgreSQL, with the batches that the write path needs",
	"github.com/klauspost/compress":                      "zstd: input files are read to their ends, and their check sums verified",
	"github.com/pquerna/otp":                             "TOTP, RFC 6238",
	"github.com/pressly/goose/v3":                        "migrations on both databases",
	"github.com/prometheus/client_golang":                "/metrics",
	"github.com/riverqueue/river":                        "the queue of many nodes on PostgreSQL",
	"github.com/riverqueue/river/riverdriver/riverpgxv5": "river's driver",
	"github.com/rogpeppe/go-internal":                    "testscript: the command line's tests",
	"github.com/santhosh-tekuri/jsonschema/v6":           "validation of hook inputs and outputs",
	"github.com/schollz/progressbar/v3":                  "progress of uploads and verification",
	"github.com/secure-systems-lab/go-securesystemslib":  "DSSE envelopes as other tools make them",
	"github.com/spf13/cobra":                             "subcommands",
	"github.com/spf13/pflag":                             "flags in the help of the command line; cobra's own",
	"github.com/transparency-dev/formats":                "an independent reader of checkpoints, in tests",
	"github.com/transparency-dev/merkle":                 "an independent oracle of proofs, in tests",
	"go.uber.org/goleak":                                 "tests that leave no goroutine behind",
	"golang.org/x/crypto":                                "SSH keys and argon2",
	"golang.org/x/image":                                 "the fonts of the report (gofont), and which signs they have (font/sfnt)",
	"golang.org/x/mod":                                   "sumdb/tlog and sumdb/note: the transparency log's arithmetic",
	"golang.org/x/text":                                  "English words for the errors of JSON Schema, asked for by its API",
	"golang.org/x/term":                                  "whether the output is a terminal",
	"golang.org/x/time":                                  "rate limits",
	"modernc.org/sqlite":                                 "SQLite without cgo",
	"pgregory.net/rapid":                                 "property tests",
	"rsc.io/qr":                                          "the QR code on the page of a passport",
}

// cgoFree are the programs that hold keys or judge them: no C or C++ runs in either.
var cgoFree = []string{"cmd/caos", "cmd/caos-verify"}

// cgoModules need C, or weigh too much for the programs above.
var cgoModules = []string{
	"github.com/duckdb/", "github.com/marcboeker/go-duckdb",
	"github.com/mattn/go-sqlite3", "github.com/yalue/onnxruntime_go",
	// Of Ethereum the programs are clients. A chain of one's own weighs 30 MB, and belongs
	// into caos-devchain.
	"github.com/ethereum/go-ethereum/core/vm", "github.com/ethereum/go-ethereum/eth/", "github.com/ethereum/go-ethereum/ethclient/simulated",
	"github.com/ethereum/go-ethereum/node", "github.com/ethereum/go-ethereum/trie",
}

// verifier is the auditor's program and all it may stand on.
var verifier = closure{
	program:  "cmd/caos-verify",
	packages: []string{"", "internal/verify"},
	external: []string{"golang.org/x/mod/", "github.com/gowebpki/jcs"},
}

// TestArchitecture holds every rule against the repository itself.
func TestArchitecture(t *testing.T) {
	repo, err := readTree(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(repo.files) == 0 {
		t.Fatal("found no Go file: the rules would pass on nothing")
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, problem := range r.check(repo) {
				t.Error(problem)
			}
		})
	}
}
