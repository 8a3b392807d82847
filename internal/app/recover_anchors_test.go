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
	"caos/internal/anchor"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
)

// When the published checkpoints were restored together with the database, only who holds an
// anchor knows that leaves are missing. Two people can open a successor then, too, and not
// before somebody outside was heard.
func TestRecoverFromAnchors(t *testing.T) {
	ctx := context.Background()
	top := t.TempDir()
	dir, worm := filepath.Join(top, "data"), filepath.Join(top, "worm.txt")
	res, err := Init(ctx, InitOptions{DataDir: dir, Listen: "127.0.0.1:0", Users: []auth.NewUser{{ID: "quinn", Name: "Quinn", Roles: []string{"qa-lead"}}},
		Config: func(c *Config) { patient(c); c.Anchors = &AnchorConfig{Files: []string{worm}} }})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(dir, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	var standing anchor.Destination
	life := func(records int) {
		t.Helper()
		a := New(cfg, nil, "test")
		if err := a.Start(ctx); err != nil {
			t.Fatal(err)
		}
		err := a.db.Update(ctx, func(tx *db.Tx) error {
			for range records {
				if _, err := a.log.Append(tx, auditlog.Record{Type: auditlog.Data, Actor: "admin"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := a.anchors.Now(ctx, caos.Principal{ID: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		standing = list[0]
		if err := a.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	step := -1
	both := func() (by [2]Approval) {
		t.Helper()
		for i, who := range []Credentials{{Token: res.Token, TOTPSecret: res.TOTPSecret}, res.Users["quinn"]} {
			code, err := totp.GenerateCode(who.TOTPSecret, time.Now().Add(time.Duration(step)*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			by[i] = Approval{Token: who.Token, MFA: "totp " + code}
		}
		step++
		return by
	}
	life(3)
	agreed := standing.Size
	database, published := copyFile(t, filepath.Join(dir, "caos.db")), copyFile(t, cfg.Published)
	life(5)
	lost := standing.Size
	if _, err := Recover(ctx, cfg, both(), "for no reason"); caos.KindOf(err) != caos.Conflict {
		t.Fatalf("nothing contradicts the log: %v", err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		os.Remove(filepath.Join(dir, "caos.db"+suffix))
	}
	if err := os.WriteFile(filepath.Join(dir, "caos.db"), database, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.Published, published, 0o600); err != nil {
		t.Fatal(err)
	}
	life(1)
	if standing.State != anchor.Diverged {
		t.Fatalf("%+v", standing)
	}
	life(9) // it grows on, beyond what is outside
	if _, err := Recover(ctx, cfg, both(), "restored from a copy"); err != nil {
		t.Fatal(err)
	}
	a := New(cfg, nil, "test")
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if st, err := a.anchors.Status(ctx); err != nil || st.Destinations[0].State == anchor.Diverged {
		t.Errorf("what its predecessor was accused of: %+v %v", st, err)
	}
	if err := a.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	life(1)
	if standing.State != anchor.OK || !strings.HasSuffix(standing.Origin, "/2") {
		t.Errorf("after recovery: %+v", standing)
	}
	others, err := cfg.Inspection(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{DataDir: dir, Published: []auditlog.Sink{auditlog.NewFileSink(cfg.Published)}, Held: others.Held,
		OnProblem: func(p auditlog.Problem) { t.Errorf("%+v", p) }})
	if err != nil || sum.Generations != 2 || len(sum.Lost) != 1 || sum.Lost[0].From > agreed || sum.Lost[0].To < lost {
		t.Errorf("agreed %d, lost up to %d: %+v %v", agreed, lost, sum, err)
	}
}
