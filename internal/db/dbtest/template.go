package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"caos/internal/db"
)

// Most of the time of a test that opens a database went into migrations: half a second on
// PostgreSQL. They run once, and each test gets a copy of what they made.

// model is what the migrations in this program make of an empty database.
type model struct {
	file   []byte // of SQLite
	digest string // of the schema and of what the migrations put into it
}

var migrated = sync.OnceValues(func() (m model, err error) {
	dir, err := os.MkdirTemp("", "caos-template-")
	if err != nil {
		return m, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "caos.db")
	if err := migrate("sqlite:"+path, func(d *db.DB) (err error) {
		m.digest, err = digest(d)
		return err
	}); err != nil {
		return m, err
	}
	m.file, err = os.ReadFile(path)
	return m, err
})

// migrate makes the tables of an empty database.
func migrate(url string, look func(*db.DB) error) error {
	d, err := db.Open(context.Background(), db.Options{URL: url, Budget: Budget})
	if err != nil {
		return fmt.Errorf("make template: %w", err)
	}
	return errors.Join(look(d), d.Close())
}

// digest tells schemas apart. The sources would not do: they may have been changed since this
// program was built.
func digest(d *db.DB) (string, error) {
	ctx, sum := context.Background(), sha256.New()
	for _, query := range []string{`SELECT name || ' ' || COALESCE(sql, '') FROM sqlite_master ORDER BY type, name`, `SELECT CAST(version_id AS TEXT) FROM goose_db_version ORDER BY id`} {
		rows, err := d.Query(ctx, query)
		if err != nil {
			return "", err
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return "", errors.Join(err, rows.Close())
			}
			fmt.Fprintf(sum, "%d %s\n", len(line), line)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

const (
	templates = "caos_template_" // and the digest of the schema
	keep      = 24 * time.Hour   // of a template on a server that outlives the tests
	// templateLock is the advisory lock of whoever makes a template; the number is any.
	templateLock = 7_236_095_000_911
)

// copyTemplate makes a migrated database.
func copyTemplate(t testing.TB, server, name string) {
	t.Helper()
	m, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	template := templates + m.digest
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer c.Close(ctx)
	for {
		_, err := c.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
		var refusal *pgconn.PgError
		switch {
		case err == nil:
			return
		case !errors.As(err, &refusal) || refusal.Code != "3D000": // there is no such database
			t.Fatalf("copy %s: %v", template, err)
		}
		if err := makeTemplate(ctx, c, server, template); err != nil {
			t.Fatal(err)
		}
	}
}

// makeTemplate makes the template unless somebody else did meanwhile, and removes those of
// other days. Under its name it is never half made.
func makeTemplate(ctx context.Context, c *pgx.Conn, server, template string) error {
	if _, err := c.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(templateLock)); err != nil {
		return fmt.Errorf("wait for whoever makes the template: %w", err)
	}
	defer func() { _, _ = c.Exec(ctx, "SELECT pg_advisory_unlock($1)", int64(templateLock)) }()
	list, err := listTemplates(ctx, c)
	if err != nil {
		return err
	}
	if _, there := list[template]; there {
		return nil
	}
	for old, made := range list {
		if time.Since(made) > keep {
			_, _ = c.Exec(ctx, "DROP DATABASE IF EXISTS "+old) // somebody may copy it just now
		}
	}
	unfinished := template + "_new"
	u, err := url.Parse(server)
	if err != nil {
		return fmt.Errorf("CAOS_TEST_POSTGRES: %w", err)
	}
	u.Path = "/" + unfinished
	steps := []string{"DROP DATABASE IF EXISTS " + unfinished + " WITH (FORCE)", createEmpty(unfinished), "",
		"ALTER DATABASE " + unfinished + " WITH ALLOW_CONNECTIONS false",
		"COMMENT ON DATABASE " + unfinished + " IS '" + strconv.FormatInt(time.Now().Unix(), 10) + "'",
		"ALTER DATABASE " + unfinished + " RENAME TO " + template}
	for _, step := range steps {
		if step == "" {
			err = migrate(u.String(), func(*db.DB) error { return nil })
		} else {
			_, err = c.Exec(ctx, step)
		}
		if err != nil {
			return fmt.Errorf("make template: %s: %w", step, err)
		}
	}
	return nil
}

// listTemplates says when each template of the server was made.
func listTemplates(ctx context.Context, c *pgx.Conn) (map[string]time.Time, error) {
	rows, err := c.Query(ctx, `SELECT datname, COALESCE(shobj_description(oid, 'pg_database'), '') FROM pg_database`)
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	out := map[string]time.Time{}
	var name, made string
	_, err = pgx.ForEachRow(rows, []any{&name, &made}, func() error {
		// Without a comment it is none of ours, or not finished.
		if at, err := strconv.ParseInt(made, 10, 64); err == nil && strings.HasPrefix(name, templates) && !strings.HasSuffix(name, "_new") {
			out[name] = time.Unix(at, 0)
		}
		return nil
	})
	return out, err
}

func createEmpty(name string) string {
	return "CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
}
