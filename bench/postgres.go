package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgServer is a PostgreSQL server in which databases may be made.
type pgServer struct {
	url, note string
	stop      func()
}

// openPostgres uses the server that CAOS_BENCH_POSTGRES or CAOS_TEST_POSTGRES names, or
// starts one in dir, with fsync on, which a figure about durable writes needs.
func openPostgres(ctx context.Context, dir string) (*pgServer, error) {
	s := &pgServer{stop: func() {}}
	for _, name := range []string{"CAOS_BENCH_POSTGRES", "CAOS_TEST_POSTGRES"} {
		if s.url == "" {
			s.url = os.Getenv(name)
		}
	}
	if s.url == "" {
		if err := s.start(ctx, dir); err != nil {
			return nil, err
		}
	}
	c, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, errors.Join(err, stopped(s))
	}
	defer c.Close(ctx)
	var version, fsync, commit string
	err = c.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&version, &fsync, &commit)
	if err != nil {
		return nil, errors.Join(err, stopped(s))
	}
	s.note = fmt.Sprintf("PostgreSQL %s on the same machine, fsync %s, synchronous_commit %s", version, fsync, commit)
	return s, nil
}

func stopped(s *pgServer) error { s.stop(); return nil }

func (s *pgServer) start(ctx context.Context, dir string) error {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if p, err := exec.LookPath("initdb"); err == nil {
		bins = append(bins, filepath.Dir(p))
	}
	if len(bins) == 0 {
		return errors.New("no initdb in PATH or /usr/lib/postgresql/*/bin, and CAOS_BENCH_POSTGRES names no server")
	}
	bin, home := bins[0], filepath.Join(dir, "postgres")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 { // PostgreSQL does not run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := errors.Join(os.Chown(home, uid, gid), os.Chmod(dir, 0o711)); err != nil {
			return err
		}
	}
	data := filepath.Join(home, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "caos", "--auth=trust", "--encoding=UTF8", "--no-locale")
	initdb.SysProcAttr, initdb.Dir = attr, home
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", home, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300")
	cmd.SysProcAttr, cmd.Dir = attr, home
	if err := cmd.Start(); err != nil {
		return err
	}
	s.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	}
	s.url = "postgres://caos@127.0.0.1:" + port + "/postgres?sslmode=disable"
	for range 200 {
		c, err := pgx.Connect(ctx, s.url)
		if err == nil {
			return c.Close(ctx)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	return errors.New("the server did not start")
}

// newDatabase makes an empty database; drop removes it.
func newDatabase(ctx context.Context, server string) (address string, drop func(), err error) {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	name := "caos_bench_" + hex.EncodeToString(b[:])
	exec := func(query string) error {
		c, err := pgx.Connect(ctx, server)
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		_, err = c.Exec(ctx, query)
		return err
	}
	if err := exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"); err != nil {
		return "", nil, err
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() { _ = exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)") }, nil
}
