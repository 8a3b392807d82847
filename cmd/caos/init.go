package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/app"
)

func newInit(e *environment) *cobra.Command {
	var o app.InitOptions
	var asJSON bool
	var env string
	c := &cobra.Command{
		Use:   "init --data DIR",
		Short: "Make a new installation: keys, certificates, an empty log, the first administrator",
		Long: "Makes a data folder with keys, a local certificate authority, an empty audit log and the first administrator, whose token and second factor are printed this once. " +
			"It refuses a folder that has something in it.",
		Example: "  caos init --data caos-data\n  caos init --data caos-data --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.DataDir == "" {
				return usage("no data folder is named").WithField("data").WithHint("caos init --data caos-data")
			}
			if _, err := os.Lstat(env); env != "" && err == nil {
				return caos.Errorf(caos.Conflict, "%s exists", env).WithField("env").WithHint("choose another name")
			}
			if o.Listen == "" {
				o.Listen = e.getenv("CAOS_LISTEN")
			}
			res, err := app.Init(c.Context(), o)
			if err != nil {
				return err
			}
			if env != "" {
				if err := writeEnv(env, res); err != nil {
					return err
				}
			}
			if asJSON { // one line, for scripts
				return json.NewEncoder(e.out).Encode(res)
			}
			return e.giveValue(res, func() { e.initialised(o, res) })
		},
	}
	f := c.Flags()
	f.StringVar(&o.DataDir, "data", "", "data folder to make")
	f.StringVar(&o.Listen, "listen", "", "host:port that the server will listen on ("+app.DefaultListen+")")
	f.StringVar(&o.Database, "database", "", "postgres://… instead of SQLite in the data folder")
	f.StringVar(&o.BaseURL, "base-url", "", "https address by which clients will reach it, if not that of --listen")
	f.StringVar(&o.Admin, "admin", "admin", "id of the first administrator")
	f.StringSliceVar(&o.Roles, "role", nil, "a role of the administrator besides admin")
	f.StringVar(&env, "env", "", "also write a file that a shell can read the address and the credentials from")
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	return c
}

// writeEnv writes a file for the shell. It holds secrets: nobody else may read it.
func writeEnv(name string, res *app.InitResult) error {
	text := fmt.Sprintf("export CAOS_URL=%s\nexport CAOS_CA=%s\nexport CAOS_TOKEN=%s\nexport CAOS_MFA_SECRET=%s\n",
		quoted(res.URL), quoted(res.CAFile), quoted(res.Token), quoted(res.TOTPSecret))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s cannot be written", name).WithField("env")
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// quoted is text as a shell reads it literally.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// initialised says what was made and what comes next.
func (e *environment) initialised(o app.InitOptions, res *app.InitResult) {
	p := e.paint
	e.line("%s in %s", p.bold("A new installation"), o.DataDir)
	e.line("")
	e.pairs(pair{"administrator", o.Admin}, pair{"token", res.Token}, pair{"second factor", res.TOTPSecret}, pair{"address", res.URL},
		pair{"authority", res.CAFile}, pair{"trust file", res.TrustFile})
	e.line("")
	e.line("Token and second factor are shown this once. The trust file is what auditors need.")
	e.line("")
	e.line("%s", p.bold("Next"))
	e.line("  caos serve --data %s", o.DataDir)
	e.line("")
	e.line("and, where you work with it,")
	e.line("  export CAOS_URL=%s", res.URL)
	e.line("  export CAOS_CA=%s", res.CAFile)
	e.line("  export CAOS_TOKEN=%s", res.Token)
	e.line("  export CAOS_MFA_SECRET=%s   %s", res.TOTPSecret, p.dim("# or put it into an authenticator"))
	e.line("  caos user add ada --name 'Ada' --role certification")
}
