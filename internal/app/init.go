package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/sign"
)

// InitOptions say what a new installation is to be. Only DataDir is required.
type InitOptions struct {
	DataDir  string
	Listen   string   // DefaultListen if empty
	Database string   // postgres://…; SQLite in the data folder if empty
	BaseURL  string   // how clients will reach it
	Admin    string   // id of the first administrator; "admin" if empty
	Roles    []string // of the administrator besides admin; FirstRoles if nil
	Users    []auth.NewUser
	Config   func(*Config) // last changes to the configuration, for tests and the demo
}

// FirstRoles are the working roles of the first administrator: enough for one person to
// try everything that needs no second one. An installation with more people gives these
// roles to them and takes them from the administrator.
func FirstRoles() []string { return []string{"certification", "mlops-engineer"} }

// InitResult is what the first administrator gets to see, once.
type InitResult struct {
	URL        string `json:"url"`
	Token      string `json:"token"`
	TOTPSecret string `json:"totp_secret"`
	CAFile     string `json:"ca_file"`
	TrustFile  string `json:"trust_file"`

	Users map[string]Credentials `json:"-"` // of the further users, by id
}

// Credentials are one person's way in.
type Credentials struct{ Token, TOTPSecret string }

// Init makes a data folder with keys, certificates, an empty log, the first administrator
// and the trust file. It refuses a folder that exists and has something in it, and leaves
// nothing behind when it fails.
func Init(ctx context.Context, o InitOptions) (res *InitResult, err error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", o.DataDir, err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, caos.Errorf(caos.Conflict, "%s exists and is not empty", o.DataDir).WithField("data").WithHint("choose another folder, or serve this one with: caos serve --data %s", o.DataDir)
	}
	cfg := Defaults(dir)
	cfg.Origin, cfg.Database, cfg.BaseURL = newOrigin(), o.Database, o.BaseURL
	if o.Listen != "" {
		cfg.Listen = o.Listen
	}
	if o.Config != nil {
		o.Config(&cfg)
	}
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := cfg.save(); err != nil {
		return nil, err
	}
	if err := makeKeys(ctx, cfg.path("keys")); err != nil {
		return nil, err
	}
	if _, err := serverCertificate(cfg.path("tls"), hostsOf(cfg), time.Now()); err != nil {
		return nil, err
	}
	return populate(ctx, cfg, o)
}

// makeKeys makes one key for each purpose that signs.
func makeKeys(ctx context.Context, dir string) error {
	k, err := sign.OpenKeys(dir)
	if err != nil {
		return err
	}
	defer k.Close()
	for _, p := range []sign.Purpose{sign.Checkpoint, sign.Evidence, sign.Baseline, sign.Passport} {
		if _, err := k.Create(ctx, p, time.Now()); err != nil {
			return fmt.Errorf("make the key for %s: %w", p, err)
		}
	}
	return nil
}

// populate opens the new installation once, without serving it.
func populate(ctx context.Context, cfg Config, o InitOptions) (*InitResult, error) {
	a := New(cfg, nil, "init")
	a.url = cfg.address(cfg.Listen)
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.Stop(ctx))
	}
	res := &InitResult{URL: a.url, CAFile: filepath.Join(cfg.path("tls"), caFile), TrustFile: cfg.path("trust.json"), Users: map[string]Credentials{}}
	err := func() error {
		if o.Admin == "" {
			o.Admin = "admin"
		}
		if o.Roles == nil {
			o.Roles = FirstRoles()
		}
		users := append([]auth.NewUser{{ID: o.Admin, Name: "Administrator", Roles: o.Roles}}, o.Users...)
		made, err := a.auth.Bootstrap(ctx, users)
		if err != nil {
			return err
		}
		for i, m := range made {
			c := Credentials{Token: m.Token.Value}
			if m.TOTP != nil {
				c.TOTPSecret = m.TOTP.Secret
			}
			if i == 0 {
				res.Token, res.TOTPSecret = c.Token, c.TOTPSecret
				continue
			}
			res.Users[m.User] = c
		}
		if err := a.auth.Start(ctx); err != nil {
			return err
		}
		return a.writeTrust(ctx, res.TrustFile)
	}()
	if err := errors.Join(err, a.Stop(ctx)); err != nil {
		return nil, err
	}
	return res, nil
}

// writeTrust writes what an auditor holds: origin and public keys.
func (a *App) writeTrust(ctx context.Context, path string) error {
	trust, err := a.log.Trust(ctx)
	if err != nil {
		return err
	}
	text, err := trust.Marshal()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write trust file: %w", err)
	}
	return nil
}
