package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"caos"
	"caos/internal/app"
	"caos/internal/client"
	"caos/internal/sandbox"
	"caos/internal/worker"
)

// checked is one thing that doctor looked at.
type checked struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

func newDoctor(e *environment) *cobra.Command {
	var data string
	var quick bool
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with an installation, and say what to do", Args: noArgs,
		Long: "Looks at the data folder (--data), its keys, the room on its disk, its clock, the audit log and every stored object, and at the server (CAOS_URL). " +
			"It changes nothing; the server may run meanwhile. The exit code is 1 if something is wrong.",
		Example: "  caos doctor --data caos-data",
		RunE: func(c *cobra.Command, _ []string) error {
			var all []checked
			if data != "" {
				all = append(all, e.examineFolder(c.Context(), data, quick)...)
			}
			if e.or(e.url, "CAOS_URL") != "" {
				all = append(all, e.examineServer(c.Context())...)
			}
			if len(all) == 0 {
				return usage("there is nothing to look at").WithField("data").WithHint("give --data DIR, set CAOS_URL, or both")
			}
			return e.diagnosed(all)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data folder")
	c.Flags().BoolVar(&quick, "quick", false, "neither re-hash the log nor the objects")
	return c
}

func (e *environment) diagnosed(all []checked) error {
	bad := 0
	for _, x := range all {
		if !x.OK {
			bad++
		}
	}
	err := e.giveValue(map[string]any{"ok": bad == 0, "checks": all}, func() {
		for _, x := range all {
			mark := e.paint.good("ok   ")
			if !x.OK {
				mark = e.paint.bad("WRONG")
			}
			e.line("%s  %s: %s", mark, x.What, clean(x.Found))
			if !x.OK && x.Remedy != "" {
				e.line("       %s %s", e.paint.accent("hint:"), clean(x.Remedy))
			}
		}
	})
	if err == nil && bad > 0 {
		return failed()
	}
	return err
}

// say makes one line of the diagnosis.
func say(what string, err error, found, remedy string) checked {
	if err != nil {
		return checked{what, false, err.Error(), remedy}
	}
	return checked{what, true, found, ""}
}

func (e *environment) examineFolder(ctx context.Context, data string, quick bool) []checked {
	cfg, err := app.Load(data, e.getenv)
	all := []checked{say("configuration", err, filepath.Join(data, app.ConfigFile)+" can be used", "caos init --data DIR makes a data folder; docs/configuration.md has every field")}
	if err != nil {
		return all
	}
	n, err := modes(data)
	all = append(all, say("file modes", err, fmt.Sprintf("%s, none open to others", plural(n, "secret file", "secret files")), "chmod -R go= "+filepath.Join(data, "keys")+" "+filepath.Join(data, "tls", "*.key")))
	free, err := room(data)
	all = append(all, say("disk", err, bytesOf(free)+" free", "make room: below 1 GiB writes may soon be refused"))
	all = append(all, certificate(data, e.now()), dataEngine(ctx, cfg))
	if quick {
		return all
	}
	sum, problems, _, err := e.verifyLog(ctx, verifyFlags{data: data})
	if err == nil && sum.Problems > 0 {
		p := problem{problems[0].Kind, problems[0].ID, problems[0].Index, problems[0].What}
		err = fmt.Errorf("%s, the first: %s: %s", plural(sum.Problems, "difference", "differences"), p.name(), p.What)
	}
	all = append(all, say("audit log", err, fmt.Sprintf("%d records and %d published checkpoints hold", sum.Records, sum.Checkpoints), "caos audit verify --data "+data+" names every difference"))
	n, err = e.examineObjects(ctx, filepath.Join(data, "objects"))
	if err == nil && cfg.Database == "" {
		err = missingObjects(ctx, data)
	}
	return append(all, say("objects", err, plural(n, "object has", "objects each have")+" the digest that the name says", "restore it from a backup"))
}

// dataEngine runs the data engine once, in the sandbox in which it would run. An installation
// without pipelines needs none.
func dataEngine(ctx context.Context, cfg app.Config) checked {
	const what = "caos-worker"
	program := worker.Find(cfg.Worker)
	if program == "" {
		return say(what, nil, "not on this machine: pipelines and validations of data are refused (docs/worker.md)", "")
	}
	level := sandbox.Level(cfg.Sandbox)
	is, err := worker.New(worker.Options{Program: program, Level: level}).Version(ctx)
	held := "held by namespaces"
	if level == sandbox.Reduced {
		held = "held by the reduced sandbox"
	}
	remedy := "docs/worker.md says how to build it, and which levels of the sandbox there are"
	if err != nil {
		if hint := caos.AsError(err).Hint; hint != "" {
			remedy = hint
		}
	}
	return say(what, err, program+" runs, "+held+": "+is, remedy)
}

// modes checks that nobody else can read what must stay secret.
func modes(data string) (int, error) {
	n := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(data, path)
		secret := strings.HasPrefix(rel, "keys") || strings.HasSuffix(rel, ".key")
		if !secret || d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n++
		if info.Mode().Perm()&0o077 != 0 {
			return fmt.Errorf("%s has mode %o: others can read it", rel, info.Mode().Perm())
		}
		return nil
	})
	return n, err
}

const enoughRoom = 1 << 30

func room(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	free := int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // their types differ between systems
	if free < enoughRoom {
		return free, fmt.Errorf("%s free", bytesOf(free))
	}
	return free, nil
}

// certificate checks that the server's certificate is valid now and for a while.
func certificate(data string, now time.Time) checked {
	const what = "certificate"
	pair, err := tls.LoadX509KeyPair(filepath.Join(data, "tls", "server.pem"), filepath.Join(data, "tls", "server.key"))
	if err != nil {
		return say(what, err, "", "remove tls/server.pem and tls/server.key: the next start makes new ones")
	}
	left := pair.Leaf.NotAfter.Sub(now)
	switch {
	case now.Before(pair.Leaf.NotBefore):
		err = fmt.Errorf("it counts from %s on: is the clock right?", moment(pair.Leaf.NotBefore))
	case left <= 0:
		err = fmt.Errorf("it ended %s", moment(pair.Leaf.NotAfter))
	}
	return say(what, err, "valid until "+moment(pair.Leaf.NotAfter), "a start of the server renews its own certificate")
}

// examineObjects re-hashes every stored object: its name is its digest.
func (e *environment) examineObjects(ctx context.Context, dir string) (int, error) {
	n := 0
	bar := e.bar(-1, "re-hashing objects")
	defer func() { _ = bar.Clear() }()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Base(filepath.Dir(path)) + d.Name()
		if d.IsDir() || len(name) != 2*sha256.Size {
			return nil // staged bytes, which nothing refers to
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(h, bar), f); err != nil {
			return fmt.Errorf("%s cannot be read: %w", path, err)
		}
		n++
		if got := hex.EncodeToString(h.Sum(nil)); got != name {
			return fmt.Errorf("object SHA256:%s has changed: its bytes have the digest SHA256:%s", name, got)
		}
		return nil
	})
	return n, err
}

// missingObjects looks for objects that something refers to and that are not there.
func missingObjects(ctx context.Context, data string) error {
	d, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.Join(data, "caos.db")}).EscapedPath()+"?_pragma=query_only(1)&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer d.Close()
	rows, err := d.QueryContext(ctx, `SELECT DISTINCT digest FROM object_refs`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var digest string
		if err := rows.Scan(&digest); err != nil {
			return err
		}
		name := strings.TrimPrefix(digest, "SHA256:")
		if len(name) != 2*sha256.Size {
			return fmt.Errorf("the database refers to an object with the name %q", digest)
		}
		if _, err := os.Stat(filepath.Join(data, "objects", name[:2], name[2:])); err != nil {
			return fmt.Errorf("object %s is missing: %w", digest, err)
		}
	}
	return rows.Err()
}

func (e *environment) examineServer(ctx context.Context) []checked {
	what := "server"
	cl, err := e.connect()
	if err != nil {
		return []checked{say(what, err, "", "set CAOS_URL, CAOS_TOKEN and CAOS_CA to what caos init printed")}
	}
	start := e.now()
	a, err := cl.Do(ctx, client.Call{Method: http.MethodGet, Path: "/readyz"})
	if err != nil {
		return []checked{say(what, err, "", "is it running? caos serve --data DIR")}
	}
	took := e.now().Sub(start)
	all := []checked{say(what, nil, fmt.Sprintf("%s is ready, answered in %d ms", cl.URL(), took.Milliseconds()), "")}
	all = append(all, clock(a.Header.Get("Date"), start.Add(took/2)))
	var me struct {
		User struct {
			ID  string `json:"id"`
			MFA bool   `json:"mfa"`
		} `json:"user"`
	}
	err = cl.Get(ctx, "/v1/me", nil, &me)
	all = append(all, say("token", err, "it is that of "+me.User.ID, "an administrator makes a new one: caos token create --user YOU"))
	if err == nil && !me.User.MFA {
		all = append(all, say("second factor", errors.New("the account has none"), "", "caos user totp"))
	}
	return all
}

// clock compares the server's clock with this one; codes and time stamps depend on both.
func clock(date string, now time.Time) checked {
	at, err := http.ParseTime(date)
	if err != nil {
		return say("clock", nil, "the server did not tell the time", "")
	}
	off := at.Add(500 * time.Millisecond).Sub(now)
	if off.Abs() > 20*time.Second {
		err = fmt.Errorf("the server's differs by %s", off.Round(time.Second))
	}
	return say("clock", err, "the server's and this machine's agree", "set the clocks by NTP: codes of second factors depend on them")
}
