package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"caos/internal/app"
	"caos/internal/auth"
	"caos/internal/verify"
)

func newTry(e *environment) *cobra.Command {
	var o demoFlags
	c := &cobra.Command{
		Use: "try MODEL.onnx", Short: "Take an ONNX model of your own through a freeze, in a throw-away installation", Args: wants("MODEL.onnx"),
		Long: "Looks at your file without running it, makes a server in a temporary folder, and acts as the people that a freeze needs: drafts of the documents are made " +
			"from the file, registered and approved; the model is frozen, gets its passport and an evidence package; and everything is checked offline. " +
			"Nothing else is asked and nothing leaves this machine.\n\n" +
			"The drafts state only what was really tested, which is the file, not how well the model works. Everything made here is marked SANDBOX, and caos-verify says so first.",
		Example: "  caos try model.onnx\n  caos try model.onnx --keep\n  caos try model.onnx --json | tail -n 1 | jq .package",
		RunE: func(c *cobra.Command, args []string) error {
			return e.try(c.Context(), args[0], o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.json, "json", false, "one JSON object on one line at the end; the story goes to standard error")
	f.BoolVar(&o.keep, "keep", false, "leave the server running and its data in place")
	f.StringVar(&o.dir, "dir", "", "work in this folder, which must not exist or be empty")
	return c
}

// tryResult is what scripts read.
type tryResult struct {
	Model     string  `json:"model"` // the file's name
	Digest    string  `json:"digest"`
	Bytes     int64   `json:"bytes"`
	Tests     int     `json:"tests"`
	Passed    int     `json:"tests_passed"`
	Frozen    bool    `json:"frozen"`
	Freeze    string  `json:"freeze_id,omitempty"`
	Baseline  string  `json:"baseline_id,omitempty"`
	Passport  string  `json:"dpp_record_id,omitempty"`
	Folder    string  `json:"folder"`
	Drafts    string  `json:"drafts"`
	Package   string  `json:"package,omitempty"`
	Verified  bool    `json:"verified"`
	Sandbox   bool    `json:"sandbox"`
	Seconds   float64 `json:"seconds"`
	FreezeNot string  `json:"not_frozen_because,omitempty"`
}

// trial is a stage on which somebody's own file plays.
type trial struct {
	stage
	subject *subject
	papers  []draft
	out     tryResult

	made struct{ baseline, passport, credential, tar string } // ids and files of the freeze
}

// tryPersonas are the people whom a freeze needs, each named by the one role they hold.
func tryPersonas() []string {
	return []string{"model-owner", "mlops-engineer", "configuration-manager", "vv-lead", "safety-engineer", "qa-lead", "certification", "auditor"}
}

// try plays the story.
func (e *environment) try(ctx context.Context, path string, o demoFlags) (err error) {
	signal.Ignore(syscall.SIGPIPE) // a reader that leaves (| head) must not leave the server behind
	started := time.Now()
	size := int64(-1)
	if info, err := os.Stat(path); err == nil {
		size = readings * info.Size()
	}
	bar := e.bar(size, "reading "+clean(filepath.Base(path)))
	subject, err := examine(ctx, path, bar) // a file that cannot be tried leaves nothing behind
	_ = bar.Clear()
	if err != nil {
		return err
	}
	dir, err := tryFolder(o.dir)
	if err != nil {
		return err
	}
	t := &trial{subject: subject, stage: stage{e: e, screen: newScreen(e, o.json, started), dir: dir, data: filepath.Join(dir, "data"), keep: o.keep,
		result: demoResult{Hooks: map[string]demoHook{}}}}
	t.out = tryResult{Model: filepath.Base(path), Digest: subject.digest, Bytes: subject.size, Tests: len(subject.tests), Passed: subject.passed(),
		Folder: dir, Drafts: filepath.Join(dir, "drafts"), Sandbox: true}
	defer func() {
		if errors.Is(err, errNotFrozen) {
			err = errors.Join(t.clear(nil), failed()) // the story ended as such a file's story must
			return
		}
		err = errors.Join(err, t.clear(err))
	}()
	t.screen.title("CAOS try", "your model through a freeze, in a throw-away installation")
	for _, scene := range t.tryScenes() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err = scene(ctx); errors.Is(err, errNotFrozen) {
			break
		}
		if err != nil {
			return fmt.Errorf("the trial stopped in part %d: %w", t.screen.part, err)
		}
	}
	t.out.Seconds = float64(time.Since(started).Milliseconds()) / 1000
	if cerr := t.tryCurtain(); cerr != nil {
		return cerr
	}
	if o.json {
		err = errors.Join(err, json.NewEncoder(e.out).Encode(t.out))
	}
	return err
}

// errNotFrozen ends a story whose model did not pass its own tests: an answer, no failure
// of the trial.
var errNotFrozen = errors.New("not frozen")

// tryFolder makes the folder that the trial works in.
func tryFolder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "caos-try-")
	}
	return demoFolder(dir)
}

// open makes the installation: its log's name begins with SANDBOX, for ever.
func (t *trial) open(ctx context.Context) error {
	var unique [6]byte
	_, _ = rand.Read(unique[:]) // never fails
	var users []auth.NewUser
	for _, role := range tryPersonas() {
		users = append(users, auth.NewUser{ID: role, Name: role + " of the sandbox", Roles: []string{role}})
	}
	var err error
	t.init, err = app.Init(ctx, app.InitOptions{DataDir: t.data, Listen: "127.0.0.1:0", Roles: []string{}, Users: users, Config: func(c *app.Config) {
		c.Origin = "SANDBOX/" + hex.EncodeToString(unique[:])
		c.PublishEvery = "100ms"
	}})
	if err != nil {
		return err
	}
	text, err := os.ReadFile(t.init.TrustFile)
	if err != nil {
		return err
	}
	if t.trust, err = verify.ParseTrust(text); err != nil {
		return err
	}
	if err := os.WriteFile(t.trustFile(), text, 0o644); err != nil {
		return err
	}
	cfg, err := app.Load(t.data, func(string) string { return "" })
	if err != nil {
		return err
	}
	t.published = cfg.Published
	return t.start("127.0.0.1:0")
}

func (t *trial) trustFile() string { return filepath.Join(t.dir, "trust.json") }

// tryCurtain says where everything is.
func (t *trial) tryCurtain() error {
	s, p := t.screen, t.screen.p
	s.blank()
	switch {
	case t.out.Frozen:
		fmt.Fprintf(s.w, "%s in %.1f s. What there is now, all of it marked SANDBOX:\n\n", p.good("Done"), t.out.Seconds)
	default:
		fmt.Fprintf(s.w, "%s after %.1f s: the file does not pass its own tests. What there is now:\n\n", p.warn("Not frozen"), t.out.Seconds)
	}
	facts := []pair{{"drafts", t.out.Drafts + "/  to go on with: what is missing is said in each"}}
	if t.out.Frozen {
		facts = append(facts, pair{"passport", t.made.credential}, pair{"baseline", t.made.tar}, pair{"package", t.out.Package}, pair{"trust file", t.trustFile()})
	}
	s.facts(facts...)
	if t.out.Frozen {
		s.blank()
		s.say("Check it again, or have somebody else do so:")
		s.blank()
		for _, file := range []string{t.out.Package, t.made.tar, t.made.credential} {
			s.command("%s %s \\", verifier(), file)
			s.command("    --trust %s", t.trustFile())
		}
	}
	s.blank()
	if !t.keep {
		s.say("The server and its data are gone. With --keep they stay, to look around in.")
		s.blank()
		return nil
	}
	return t.stay()
}

// stay leaves the server running and says how to reach it.
func (t *trial) stay() error {
	if t.server == nil || t.server.cmd.ProcessState != nil {
		if err := t.start(t.address()); err != nil {
			return err
		}
	}
	s, me := t.screen, t.init.Users["configuration-manager"]
	s.say("The server goes on at %s. As configuration-manager:", t.server.url)
	s.blank()
	s.command("export CAOS_URL=%s", t.server.url)
	s.command("export CAOS_CA=%s", t.init.CAFile)
	s.command("export CAOS_TOKEN=%s", me.Token)
	s.command("export CAOS_MFA_SECRET=%s", me.TOTPSecret)
	s.command("caos model show %s", tryModel)
	s.blank()
	s.say("It ends with  kill %d  and its folder is %s", t.server.cmd.Process.Pid, t.dir)
	s.blank()
	return nil
}
