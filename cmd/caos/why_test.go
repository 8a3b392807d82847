package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/chain"
	"caos/internal/hook"
	"caos/internal/httpapi"
)

// Findings say what they are about, unless it is told already, and what several gates say
// alike is there once.
func TestGates(t *testing.T) {
	var out bytes.Buffer
	e := &environment{out: &out}
	twice := &caos.Finding{Rule: "function-allowed", Message: "burn is not among the functions", Subject: "contract_function", Remedy: "the registration has mint()"}
	again := *twice
	again.Rule = "call-succeeds"
	e.gates([]hook.Verdict{
		{Action: "one", Finding: &caos.Finding{Rule: "parameters-fit", Message: `"abc" is not an integer`, Subject: "function_parameters.timestamp"}},
		{Action: "two", Finding: &caos.Finding{Rule: "open", Message: "NN-1 is not open", Subject: "NN-1"}},
		{Action: "three", Finding: &caos.Finding{Rule: "frozen", Message: "it is frozen", Subject: "NN-1@2"}},
		{Action: "four", Finding: twice}, {Action: "five", Finding: &again},
	}, "NN-1@2 freeze")
	got := out.String()
	for _, want := range []string{`function_parameters.timestamp: "abc" is not an integer`, "open NN-1 is not open", "frozen it is frozen", "call-succeeds as above"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "mint()") != 1 {
		t.Errorf("said twice:\n%s", got)
	}
}

// Attempts say what became of them, and not for ever that they were sent.
func TestAttempts(t *testing.T) {
	var out bytes.Buffer
	e := &environment{out: &out}
	at, block := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), uint64(7)
	v := &httpapi.TransactionView{Transaction: chain.Transaction{TransactionID: "TX-1", Hash: "0xb", BlockNumber: &block},
		AttemptList: []chain.Attempt{{Number: 1, Hash: "0xa", SentAt: &at}, {Number: 2, Hash: "0xb", SentAt: &at}}}
	e.transaction(v)
	if got := out.String(); !strings.Contains(got, "another was mined") || !strings.Contains(got, "in block 7") || strings.Contains(got, "sent 2026") {
		t.Error(got)
	}
	v.BlockNumber = nil
	out.Reset()
	e.transaction(v)
	if got := out.String(); strings.Count(got, "sent 2026") != 2 {
		t.Error(got)
	}
}

// What is missing, or empty, is called by its name.
func TestNamesOfWhatIsMissing(t *testing.T) {
	e := &environment{in: strings.NewReader("\n")}
	if _, err := e.newPassword("Password", "", 100); err == nil || caos.AsError(err).Field != "password" {
		t.Errorf("an empty password: %v", err)
	}
	c := chainSend(e)
	for _, x := range []struct {
		args []string
		want string
	}{{nil, "ADDRESS is missing"}, {[]string{"0x1"}, "FUNCTION is missing"}, {[]string{"0x1", "f"}, ""}, {[]string{"0x1", "f", "a=1", "b=2"}, ""}} {
		if err := c.Args(c, x.args); (x.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v: %v", x.args, err)
		}
	}
}
