package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"caos/internal/app"
	"caos/internal/auth"
	"caos/internal/sandbox"
	"caos/internal/verify"
	"caos/internal/worker/workertest"
)

// TestMain lets this very test binary be the programs that the sessions run.
func TestMain(m *testing.M) {
	sandbox.Main() // of a server that a session starts, before it is taken for a test
	testscript.Main(m, map[string]func(){
		"caos": main,
		"caos-verify": func() {
			os.Exit(verify.Main(os.Args[1:], os.Stdout, os.Stderr, false))
		},
	})
}

// TestSessions runs the terminal sessions in testdata, which are the manual as well.
func TestSessions(t *testing.T) {
	testscript.Run(t, sessions("testdata"))
}

// TestDataSessions runs those in which data is worked on, with the real worker.
func TestDataSessions(t *testing.T) {
	program := workertest.TestProgram(t)
	p := sessions("testdata/data")
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("CAOS_WORKER", program)
		return setup(env)
	}
	testscript.Run(t, p)
}

// sessions adds to the usual commands of testscript:
//
//	server DATA [SIGNAL]   starts caos serve; with a signal ends it: TERM must end well
//	json NAME FILE PATH    sets an environment variable to a field of a JSON file
//	code N COMMAND…        runs a command that must end with that exit code
//	until PATTERN COMMAND… repeats a command until it prints what matches
//	tamper DATABASE RECORD changes a word of an audit record
//	damage FOLDER          appends a byte to every stored object
//	people DATA ID=ROLE,…  makes an installation with these people, who have a second factor each
//	as ID                  goes on as one of them, or as admin
//	setting DATA NAME VALUE  changes a line of an installation's configuration
//	sshkey NAME            makes an SSH key, NAME and NAME.pub
//	mlflow NAME            replays an MLflow server and sets NAME to its address
//	zipbomb FILE           writes an archive that unpacks to a thousand times its size
func sessions(dir string) testscript.Params {
	recording, err := mlflowRecording()
	if err != nil {
		panic(err)
	}
	models, err := filepath.Abs("../../internal/modelfile/testdata") // every kind of model file, good and bad
	if err != nil {
		panic(err)
	}
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Values["servers"] = map[string]*server{}
			env.Values["people"] = map[string]app.Credentials{}
			env.Setenv("NO_COLOR", "1")
			env.Setenv("MODELS", models)
			env.Setenv("DAY", time.Now().UTC().AddDate(0, 0, 7).Format(time.DateOnly))
			env.Setenv("UNTIL", time.Now().UTC().AddDate(0, 1, 0).Format(time.DateOnly))
			env.Setenv("CAOS_WRITE_BUDGET", "20s") // the sessions are not about time
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TMPDIR", env.WorkDir)
			env.Defer(func() {
				for _, s := range env.Values["servers"].(map[string]*server) {
					_ = s.cmd.Process.Kill()
					_ = s.cmd.Wait()
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"server": serverCommand, "json": jsonCommand, "code": codeCommand, "sshkey": sshkeyCommand, "tamper": tamperCommand, "damage": damageCommand, "until": untilCommand, "mlflow": mlflowCommand(recording), "zipbomb": zipbombCommand,
			"people": peopleCommand, "as": asCommand, "setting": settingCommand},
	}
}

type server struct{ cmd *exec.Cmd }

func serverCommand(ts *testscript.TestScript, neg bool, args []string) {
	running := ts.Value("servers").(map[string]*server)
	if len(args) == 2 {
		s := running[args[0]]
		if s == nil {
			ts.Fatalf("no server of %s runs", args[0])
		}
		delete(running, args[0])
		sig := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[args[1]]
		ts.Check(s.cmd.Process.Signal(sig))
		err := s.cmd.Wait()
		if sig != syscall.SIGKILL {
			ts.Check(err)
		}
		return
	}
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	defer log.Close()
	path, err := exec.LookPath("caos")
	if err != nil {
		path = strings.Split(ts.Getenv("PATH"), ":")[0] + "/caos"
	}
	cmd := exec.Command(path, "serve", "--data", args[0], "--listen", "127.0.0.1:0", "--json")
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), log
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	if worker := ts.Getenv("CAOS_WORKER"); worker != "" {
		cmd.Env = append(cmd.Env, "CAOS_WORKER="+worker)
	}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	running[args[0]] = &server{cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		ts.Fatalf("the server did not say that it is ready: %v\n%s", err, ts.ReadFile("server.log"))
	}
	var ready struct {
		Ready bool
		URL   string
	}
	ts.Check(json.Unmarshal([]byte(line), &ready))
	if !ready.Ready {
		ts.Fatalf("not ready: %s", line)
	}
	ts.Setenv("CAOS_URL", ready.URL)
	ts.Setenv("CAOS_CA", ts.MkAbs(args[0]+"/tls/ca.pem"))
}

func peopleCommand(ts *testscript.TestScript, _ bool, args []string) {
	var users []auth.NewUser
	for _, a := range args[1:] {
		id, roles, _ := strings.Cut(a, "=")
		users = append(users, auth.NewUser{ID: id, Name: id, Roles: strings.Split(roles, ",")})
	}
	made, err := app.Init(context.Background(), app.InitOptions{DataDir: ts.MkAbs(args[0]), Listen: "127.0.0.1:0", Users: users})
	ts.Check(err)
	all := ts.Value("people").(map[string]app.Credentials)
	maps.Copy(all, made.Users)
	all["admin"] = app.Credentials{Token: made.Token, TOTPSecret: made.TOTPSecret}
}

func asCommand(ts *testscript.TestScript, _ bool, args []string) {
	c, ok := ts.Value("people").(map[string]app.Credentials)[args[0]]
	if !ok {
		ts.Fatalf("nobody is called %s", args[0])
	}
	ts.Setenv("CAOS_TOKEN", c.Token)
	ts.Setenv("CAOS_MFA_SECRET", c.TOTPSecret)
	ts.Setenv("CAOS_KEY", ts.MkAbs(args[0]+".key"))
}

func settingCommand(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0] + "/" + app.ConfigFile)
	lines := strings.Split(ts.ReadFile(file), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, args[1]+":") {
			lines[i] = args[1] + ": " + args[2]
			ts.Check(os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
			return
		}
	}
	ts.Fatalf("%s has no setting %s", args[0], args[1])
}

func jsonCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json NAME FILE PATH")
	}
	var v any
	ts.Check(json.NewDecoder(strings.NewReader(ts.ReadFile(args[1]))).Decode(&v))
	for _, name := range strings.Split(args[2], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(at) {
				ts.Fatalf("%s: no element %s", args[2], name)
			}
			v = at[i]
		default:
			v = nil
		}
	}
	if v == nil {
		ts.Fatalf("%s has no %s", args[1], args[2])
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

func codeCommand(ts *testscript.TestScript, _ bool, args []string) {
	var want int
	if _, err := fmt.Sscan(args[0], &want); err != nil || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func sshkeyCommand(ts *testscript.TestScript, _ bool, args []string) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	ts.Check(err)
	pub, err := ssh.NewPublicKey(public)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(block), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), ssh.MarshalAuthorizedKey(pub), 0o644))
}

func tamperCommand(ts *testscript.TestScript, _ bool, args []string) {
	d, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer d.Close()
	res, err := d.Exec(`UPDATE audit_records SET record = replace(record, 'NN-FCS-001', 'NN-FCS-002') WHERE id = ?`, args[1])
	ts.Check(err)
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		ts.Fatalf("%d rows: %v", n, err)
	}
}

func damageCommand(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || len(d.Name()) < 60 {
			return err
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("!")
		return err
	}))
}

func untilCommand(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("it never printed %s", args[0])
}
