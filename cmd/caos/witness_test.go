package main

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestWitnessSessions runs those in which a witness stands beside an installation. They have
// two commands more:
//
//	cosigner NAME DATA FLAGS…  starts caos witness run and sets NAME to its address
//	cosigner DATA STOP         ends it, which must end well
//	append FILE TEXT           appends a line
func TestWitnessSessions(t *testing.T) {
	p := sessions("testdata/witness")
	p.Cmds["cosigner"] = cosignerCommand
	p.Cmds["append"] = appendCommand
	testscript.Run(t, p)
}

func cosignerCommand(ts *testscript.TestScript, _ bool, args []string) {
	running := ts.Value("servers").(map[string]*server)
	if args[1] == "STOP" {
		s := running[args[0]]
		delete(running, args[0])
		ts.Check(s.cmd.Process.Signal(syscall.SIGTERM))
		ts.Check(s.cmd.Wait())
		return
	}
	path := strings.Split(ts.Getenv("PATH"), ":")[0] + "/caos"
	cmd := exec.Command(path, append([]string{"witness", "run", "--data", args[1], "--listen", "127.0.0.1:0", "--json"}, args[2:]...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME")}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	running[args[1]] = &server{cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	ts.Check(err)
	var ready struct{ URL string }
	ts.Check(json.Unmarshal([]byte(line), &ready))
	ts.Setenv(args[0], ready.URL)
}
