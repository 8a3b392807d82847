package db

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestBytesToken(t *testing.T) {
	files := fstest.MapFS{
		"00001_a.sql": {Data: []byte("CREATE TABLE a (b {{bytes}}, c {{bytes}});")},
		"notes.md":    {Data: []byte("{{bytes}}")},
	}
	for dialect, word := range map[Dialect]string{SQLite: "BLOB", PostgreSQL: "BYTEA"} {
		text, err := fs.ReadFile(dialectFS{files, dialect}, "00001_a.sql")
		if err != nil || string(text) != "CREATE TABLE a (b "+word+", c "+word+");" {
			t.Errorf("%s: %q, %v", dialect, text, err)
		}
		text, err = fs.ReadFile(dialectFS{files, dialect}, "notes.md")
		if err != nil || string(text) != "{{bytes}}" {
			t.Errorf("%s: %q, %v", dialect, text, err)
		}
	}
}

// What the two databases do not share must not come into the migrations.
func TestMigrationsArePortable(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{" BLOB", " BYTEA", "TIMESTAMP", "JSONB", "AUTOINCREMENT", "SERIAL", "DATETIME"} {
			if strings.Contains(strings.ToUpper(string(text)), word) {
				t.Errorf("%s has%s", name, word)
			}
		}
	}
}
