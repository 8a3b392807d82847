//go:build cgo

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"caos/internal/worker"
)

// Part of the memory that the engine's own limit does not count: this program, what it
// allocates outside the buffer manager, and the decompression and encoding buffers of
// every thread.
const (
	memoryBase      = 64 << 20
	memoryPerThread = 24 << 20
	memoryLeast     = 48 << 20
)

// progressEvery is how often a running statement is looked at.
const progressEvery = 250 * time.Millisecond

// engine is one locked-down database in memory.
type engine struct {
	db     *sql.DB
	conn   *sql.Conn
	raw    mapping.Connection // for the progress of a running statement; zero if it cannot be had
	events *events
	known  map[string]string // tables that statements may name: lower case → as made
	plain  map[string]bool   // those of them whose rows can be looked at again, lower case; see isPlain
	allow  map[string]bool   // functions that statements may call
	total  int64             // bytes of the input being read

	answered int // bytes of the answers so far
}

func engineVersion() string { return mapping.LibraryVersion() }

// open opens the database and takes from it everything that a job does not need. The order
// matters: folders and limits first, then the doors, then the lock.
func open(ctx context.Context, job *worker.Job, out *events) (*engine, error) {
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	memory := max(job.MemoryBytes-memoryBase-int64(job.Threads)*memoryPerThread, memoryLeast)
	settings := []string{
		"SET allowed_directories=[" + text(filepath.Join(folder, worker.InFolder)+"/") + ", " + text(filepath.Join(folder, worker.OutFolder)+"/") + "]",
		"SET memory_limit=" + text(strconv.FormatInt(memory>>10, 10)+"KiB"),
		"SET threads=" + strconv.Itoa(job.Threads),
		"SET temp_directory=" + text(filepath.Join(folder, worker.TempFolder)),
		"SET max_temp_directory_size=" + text(strconv.FormatInt(job.TempBytes>>10, 10)+"KiB"),
		"SET preserve_insertion_order=true",
		"SET TimeZone='UTC'",
		"SET enable_progress_bar=true",
		"SET enable_progress_bar_print=false",
		"SET progress_bar_time=0",
		"SET enable_external_file_cache=false",
		"SET partitioned_write_max_open_files=64",
		"SET allow_persistent_secrets=false",
		"SET autoinstall_known_extensions=false",
		"SET autoload_known_extensions=false",
		"SET allow_community_extensions=false",
	}
	for _, name := range slices.Sorted(maps.Keys(job.Variables)) {
		value, err := variable(job.Variables[name])
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		settings = append(settings, "SET VARIABLE "+ident(name)+" = "+value)
	}
	settings = append(settings, "SET enable_external_access=false", "SET lock_configuration=true")

	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, err
	}
	e := &engine{db: sql.OpenDB(connector), events: out, known: map[string]string{}, plain: map[string]bool{}, allow: allowedFunctions()}
	if e.conn, err = e.db.Conn(ctx); err != nil {
		return nil, err
	}
	if _, err := e.conn.ExecContext(ctx, strings.Join(settings, ";\n")); err != nil {
		return nil, err
	}
	_ = e.conn.Raw(func(c any) error { e.raw = connection(c); return nil })
	return e, nil
}

// connection takes the engine's own handle out of the driver's connection, which has no
// call for the progress of a statement. A driver of another make gives none, and progress
// has no percentage; a test says so.
func connection(c any) mapping.Connection {
	conn, ok := c.(*duckdb.Conn)
	if !ok {
		return mapping.Connection{}
	}
	field := reflect.ValueOf(conn).Elem().FieldByName("conn")
	if !field.IsValid() || field.Type() != reflect.TypeFor[mapping.Connection]() {
		return mapping.Connection{}
	}
	return *(*mapping.Connection)(unsafe.Pointer(field.UnsafeAddr())) //nolint:gosec // the type was just compared
}

// text quotes a string for SQL, ident a name. All SQL of this program is made by these two.
func text(s string) string  { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func idents(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = ident(name)
	}
	return strings.Join(quoted, ", ")
}

// variable writes a value of a job as SQL.
func variable(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "NULL", nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		if v == float64(int64(v)) && v > -1<<53 && v < 1<<53 {
			return "CAST(" + strconv.FormatInt(int64(v), 10) + " AS BIGINT)", nil
		}
		return "CAST(" + strconv.FormatFloat(v, 'g', -1, 64) + " AS DOUBLE)", nil
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return "TIMESTAMP " + text(at.UTC().Format("2006-01-02 15:04:05.999999")), nil
		}
		return text(v), nil
	}
	return "", errors.New("is neither text, number nor boolean")
}

// exec runs a statement of our own making, says how far it is, and returns the number of
// rows that it changed.
func (e *engine) exec(ctx context.Context, phase, name, statement string) (int64, error) {
	stop := e.watch(phase, name)
	defer stop()
	result, err := e.conn.ExecContext(ctx, statement)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// watch reports progress until the returned function is called.
func (e *engine) watch(phase, name string) (stop func()) {
	if e.raw.Ptr == nil {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p := mapping.QueryProgress(e.raw)
				percentage, rows, _ := mapping.QueryProgressTypeMembers(&p)
				e.progress(phase, name, int64(rows), percentage)
			}
		}
	}()
	return func() { close(done); <-gone }
}

func (e *engine) progress(phase, name string, rows int64, percent float64) {
	p := &worker.Progress{Phase: phase, Name: name, Rows: rows, TotalBytes: e.total, Percent: -1}
	if percent >= 0 && percent <= 100 {
		p.Percent, p.Bytes = percent, int64(percent/100*float64(e.total))
	}
	e.events.send(event{Progress: p})
}

// number answers a query of our own making that has one number.
func (e *engine) number(ctx context.Context, query string) (n int64, err error) {
	err = e.conn.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// describe gives the columns of a query of our own making.
func (e *engine) describe(ctx context.Context, query string) ([]worker.Column, error) {
	rows, err := e.conn.QueryContext(ctx, "SELECT column_name, column_type FROM (DESCRIBE "+query+"\n)")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []worker.Column
	for rows.Next() {
		var c worker.Column
		if err := rows.Scan(&c.Name, &c.Type); err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, rows.Err()
}
