package verify

import (
	"strings"
	"testing"
)

// TestSandboxComesFirst holds that the first line of every kind of report from a trial
// installation says so, in red where there is colour, and that no other report does.
func TestSandboxComesFirst(t *testing.T) {
	for _, c := range []struct {
		origin string
		want   bool
	}{{"SANDBOX", true}, {"SANDBOX/0123456789ab", true}, {"sandbox/1", true}, {"caos/0123456789ab", false}} {
		for name, report := range map[string]findings{
			"package": &Report{Origin: c.origin}, "baseline": &ModelReport{Origin: c.origin}, "passport": &PassportReport{Origin: c.origin},
		} {
			var b strings.Builder
			if err := report.Text(&b, true); err != nil {
				t.Fatal(err)
			}
			if got := strings.HasPrefix(b.String(), "\x1b[1;31mSANDBOX"); got != c.want {
				t.Errorf("%s of %s begins with the warning: %v, want %v\n%s", name, c.origin, got, c.want, b.String())
			}
			var plain strings.Builder
			if err := report.Text(&plain, false); err != nil || strings.HasPrefix(plain.String(), "SANDBOX: ") != c.want {
				t.Errorf("%s of %s without colour: %v\n%s", name, c.origin, err, plain.String())
			}
		}
	}
}
