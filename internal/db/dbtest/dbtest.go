// Package dbtest gives each test an empty, migrated database, on SQLite and on PostgreSQL.
//
// PostgreSQL is the server that CAOS_TEST_POSTGRES names, or else a private one that is
// started once per test process from the programs of a PostgreSQL installation. On a server
// that is named one database stays for the next tests: the template caos_template_….
package dbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"caos/internal/db"
)

// Run runs fn as a subtest on each database.
func Run(t *testing.T, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	Each(t, func(t *testing.T, dialect db.Dialect) { fn(t, Open(t, dialect)) })
}

// Each runs fn as a subtest for each dialect and opens nothing.
func Each(t *testing.T, fn func(t *testing.T, dialect db.Dialect)) {
	t.Helper()
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		t.Run(string(dialect), func(t *testing.T) { fn(t, dialect) })
	}
}

// EachAtOnce is Each for tests that mostly wait: both dialects run beside each other, and
// beside whatever else called t.Parallel.
func EachAtOnce(t *testing.T, fn func(t *testing.T, dialect db.Dialect)) {
	t.Helper()
	Each(t, func(t *testing.T, dialect db.Dialect) {
		t.Parallel()
		fn(t, dialect)
	})
}

// Waiting is called by the TestMain of a package whose tests mostly wait: n parallel ones
// run at once, whatever the number of cores, unless -parallel says another number.
func Waiting(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(n)) // there is such a flag, and this is a number
	}
}

// Open opens an empty, migrated database and closes it at the end of the test.
func Open(t testing.TB, dialect db.Dialect) *db.DB {
	t.Helper()
	return OpenWith(t, db.Options{URL: URL(t, dialect)})
}

// Budget is how long a function may take in tests that are not about time: a busy machine
// is no failure of the code that it tests.
const Budget = 20 * time.Second

// OpenWith opens a database with options of the test's own. The URL comes from [URL]; a
// Budget of zero means that of tests.
func OpenWith(t testing.TB, opt db.Options) *db.DB {
	t.Helper()
	if opt.Budget == 0 {
		opt.Budget = Budget
	}
	d, err := db.Open(context.Background(), opt)
	if err != nil {
		t.Fatalf("open %s: %v", opt.URL, err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return d
}

// URL makes a migrated database without rows and returns its address. It is removed when
// the test ends. On PostgreSQL the test is skipped if there is no server, or fails if CI=true.
func URL(t testing.TB, dialect db.Dialect) string {
	t.Helper()
	if dialect == db.SQLite {
		m, err := migrated()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "caos.db")
		if err := os.WriteFile(path, m.file, 0o600); err != nil {
			t.Fatal(err)
		}
		return "sqlite:" + path
	}
	return made(t, copyTemplate)
}

// Empty is URL of a database that nobody has migrated, for tests of how that goes.
func Empty(t testing.TB, dialect db.Dialect) string {
	t.Helper()
	if dialect == db.SQLite {
		return "sqlite:" + filepath.Join(t.TempDir(), "caos.db")
	}
	return made(t, func(t testing.TB, server, name string) { admin(t, server, createEmpty(name)) })
}

// made makes a database of the server and returns its address.
func made(t testing.TB, create func(t testing.TB, server, name string)) string {
	t.Helper()
	server := postgres(t)
	name := "caos_test_" + random(t)
	create(t, server, name)
	t.Cleanup(func() { admin(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("CAOS_TEST_POSTGRES: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

// patience is how long the server may take for a whole database. To drop one is a checkpoint:
// a server that syncs, of a machine that is busy, has needed more than a minute.
const patience = 5 * time.Minute

func admin(t testing.TB, server, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func random(t testing.TB) string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b[:])
}

// postgres returns the address of a server in which the test may make databases.
func postgres(t testing.TB) string {
	t.Helper()
	if s := os.Getenv("CAOS_TEST_POSTGRES"); s != "" {
		return s
	}
	c, err := private()
	switch {
	case errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatalf("start a private PostgreSQL: %v", err)
	}
	return c.address
}
