package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

var errNotInstalled = errors.New("no initdb and postgres in PATH or /usr/lib/postgresql/*/bin: " +
	"install PostgreSQL (Debian: apt-get install postgresql) or set CAOS_TEST_POSTGRES")

// private starts the process's own cluster on first use.
var private = sync.OnceValues(startCluster)

type cluster struct {
	address string
	stdin   io.Closer // kept from the garbage collector, whose closing it would stop the server
}

// supervise runs the server until our end of standard input closes, which happens however
// the test process ends, then stops it and removes its folder.
const supervise = `"$0" -D "$1/data" -k "$1" -p "$2" &
cat >/dev/null
kill -QUIT $!
wait
cd / && rm -rf "$1"`

// startCluster makes a cluster in a temporary folder and returns its address. Nothing in it
// survives the process, so it skips every fsync.
func startCluster() (*cluster, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "caos-pg-")
	if err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	as, err := notRoot(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "caos",
		"--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	conf := "fsync=off\nfull_page_writes=off\nmax_connections=200\nlisten_addresses='127.0.0.1'\n"
	if err := appendFile(filepath.Join(data, "postgresql.conf"), conf); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", supervise, filepath.Join(bin, "postgres"), dir, strconv.Itoa(port))
	// A group of its own keeps a terminal's interrupt, meant for the tests, away from it.
	attr := *as
	attr.Setpgid = true
	cmd.SysProcAttr, cmd.Dir = &attr, dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("connect to the supervisor: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	address := fmt.Sprintf("postgres://caos@127.0.0.1:%d/postgres?sslmode=disable", port)
	if err := awaitServer(address); err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w; its log: %s", err, text)
	}
	return &cluster{address, stdin}, nil
}

func findPrograms() (string, error) {
	folders := filepath.SplitList(os.Getenv("PATH"))
	debian, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	for _, dir := range append(folders, debian...) {
		_, e1 := exec.LookPath(filepath.Join(dir, "initdb"))
		_, e2 := exec.LookPath(filepath.Join(dir, "postgres"))
		if e1 == nil && e2 == nil {
			return dir, nil
		}
	}
	return "", errNotInstalled
}

// notRoot says how to start the server, which refuses to run as root, and gives dir to the
// user it runs as.
func notRoot(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w, and PostgreSQL does not run as root", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, int(uid), int(gid))
}

func appendFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// awaitServer polls until the server takes connections.
func awaitServer(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := pgx.Connect(ctx, address)
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("server did not start: %w", err)
		case <-tick.C:
		}
	}
}
