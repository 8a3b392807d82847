package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
)

// A database that was put back from an old copy is noticed at start, and two people (not
// one twice) open a successor that says what was lost.
func TestRecover(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "data")
	res, err := Init(ctx, InitOptions{DataDir: dir, Config: patient, Listen: "127.0.0.1:0", Users: []auth.NewUser{{ID: "quinn", Name: "Quinn", Roles: []string{"qa-lead"}}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(dir, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	old := copyFile(t, filepath.Join(dir, "caos.db"))
	life := func(do func(a *App)) {
		t.Helper()
		a := New(cfg, nil, "test")
		if err := a.Start(ctx); err != nil {
			t.Fatal(err)
		}
		do(a)
		if err := a.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	life(func(a *App) {
		err := a.db.Update(ctx, func(tx *db.Tx) error {
			_, err := a.log.Append(tx, auditlog.Record{Type: auditlog.Data, Actor: "admin"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(filepath.Join(dir, "caos.db"+suffix))
	}
	if err := os.WriteFile(filepath.Join(dir, "caos.db"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	life(func(a *App) {
		if err := a.ready(); caos.KindOf(err) != caos.Unavailable || !strings.Contains(err.Error(), "recovery mode") {
			t.Fatalf("a shortened log went unnoticed: %v", err)
		}
		err := a.db.Update(ctx, func(tx *db.Tx) error {
			_, err := a.log.Append(tx, auditlog.Record{Type: auditlog.Data, Actor: "admin"})
			return err
		})
		if caos.KindOf(err) != caos.Unavailable {
			t.Errorf("an ordinary record in recovery mode: %v", err)
		}
	})
	approve := func(token, secret string, ahead time.Duration) Approval {
		code, err := totp.GenerateCode(secret, time.Now().Add(ahead))
		if err != nil {
			t.Fatal(err)
		}
		return Approval{Token: token, MFA: "totp " + code}
	}
	quinn := res.Users["quinn"]
	twice := [2]Approval{approve(res.Token, res.TOTPSecret, -30*time.Second), approve(res.Token, res.TOTPSecret, 0)}
	if _, err := Recover(ctx, cfg, twice, "restored from a copy"); caos.KindOf(err) != caos.Denied {
		t.Errorf("one person twice: %v", err)
	}
	second := approve(quinn.Token, quinn.TOTPSecret, 0)
	if _, err := Recover(ctx, cfg, [2]Approval{{Token: res.Token}, second}, "restored from a copy"); caos.KindOf(err) != caos.StepUp {
		t.Errorf("without a second factor: %v", err)
	}
	before := copyFile(t, res.TrustFile)
	both := [2]Approval{approve(res.Token, res.TOTPSecret, 30*time.Second), second}
	if _, err := Recover(ctx, cfg, both, "restored from a copy"); err != nil {
		t.Fatal(err)
	}
	if string(copyFile(t, res.TrustFile)) == string(before) {
		t.Error("the trust file is that of the lost log")
	}
	life(func(a *App) {
		if err := a.ready(); err != nil {
			t.Errorf("after recovery: %v", err)
		}
	})
	sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{DataDir: dir, Published: []auditlog.Sink{auditlog.NewFileSink(cfg.Published)},
		OnProblem: func(p auditlog.Problem) { t.Errorf("%+v", p) }})
	if err != nil || sum.Generations != 2 || len(sum.Lost) != 1 {
		t.Errorf("%+v %v", sum, err)
	}
}

func copyFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
