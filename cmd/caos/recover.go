package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"caos"
	"caos/internal/app"
	"caos/internal/client"
)

func newRecover(e *environment) *cobra.Command {
	var data, reason string
	c := &cobra.Command{
		Use: "recover --data DIR --reason TEXT", Short: "Open a successor for a log that was cut or rewritten: two people", Args: noArgs,
		Long: "A log that is shorter than what was published of it, or differs from it, is in recovery mode: it can be read, and takes nothing but rollbacks and overrides. " +
			"Two people open a successor, whose first record states what was lost. The server must not be running. " +
			"If everything that was published was restored together with the log, destinations of anchors know more: what says DIVERGED in caos audit anchors is asked once more, and counts as well.\n\n" +
			"Each gives a token and a code of their second factor: at the terminal, or by CAOS_TOKEN and CAOS_MFA_SECRET for the first and CAOS_TOKEN_2 and CAOS_MFA_SECRET_2 for the second. " +
			"Both need the right log:recover: admin, chief-engineer or qa-lead.",
		Example: "  caos audit verify --data caos-data      # says what is wrong\n  caos recover --data caos-data --reason 'restored from the backup of 22 November'",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := app.Load(data, e.getenv)
			if err != nil {
				return err
			}
			var by [2]app.Approval
			for i, suffix := range []string{"", "_2"} {
				if by[i], err = e.approval(c.Context(), i+1, suffix); err != nil {
					return err
				}
			}
			receipt, err := app.Recover(c.Context(), cfg, by, reason)
			if err != nil {
				return err
			}
			trust := data + "/trust.json"
			return e.giveValue(map[string]string{"audit_record_id": receipt.ID, "audit_record_hash": receipt.Hash, "trust_file": trust}, func() {
				e.line("%s: record %s states what was lost.", e.paint.good("A successor log is open"), receipt.ID)
				e.line("Give auditors the new trust file, %s, beside the one they hold, and operators of witnesses both.", trust)
			})
		},
	}
	c.Flags().StringVar(&data, "data", "", "data folder")
	c.Flags().StringVar(&reason, "reason", "", "what happened, as far as it is known")
	_ = c.MarkFlagRequired("data")
	_ = c.MarkFlagRequired("reason")
	return c
}

// approval is one person's way in, from the environment or the terminal.
func (e *environment) approval(ctx context.Context, person int, suffix string) (a app.Approval, err error) {
	a.Token = strings.TrimSpace(e.getenv("CAOS_TOKEN" + suffix))
	if suffix == "" {
		a.Token = e.or(e.token, "CAOS_TOKEN")
	}
	in, ok := e.in.(*os.File)
	ask := ok && e.errTerminal && term.IsTerminal(int(in.Fd()))
	if a.Token == "" {
		if !ask {
			return a, caos.Errorf(caos.Unauthenticated, "person %d gives no token", person).WithField("CAOS_TOKEN" + suffix)
		}
		fmt.Fprintf(e.err, "Token of person %d: ", person)
		token, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(e.err)
		if err != nil {
			return a, err
		}
		a.Token = strings.TrimSpace(string(token))
	}
	code, err := e.approvalCode(ctx, person, suffix, ask)
	a.MFA = "totp " + code
	return a, err
}

func (e *environment) approvalCode(ctx context.Context, person int, suffix string, ask bool) (string, error) {
	if secret := strings.TrimSpace(e.getenv("CAOS_MFA_SECRET" + suffix)); secret != "" {
		s := &client.Secret{Base32: secret, Now: time.Now, Memory: e.codeMemory(secret)}
		if err := s.Check(); err != nil {
			return "", err
		}
		return s.Next(ctx, 1)
	}
	if !ask {
		return "", caos.Errorf(caos.StepUp, "person %d gives no second factor", person).WithField("CAOS_MFA_SECRET" + suffix)
	}
	fmt.Fprintf(e.err, "Code of person %d: ", person)
	var code string
	if _, err := fmt.Fscanln(e.in, &code); err != nil {
		return "", errors.Join(caos.Errorf(caos.StepUp, "person %d gives no code", person), err)
	}
	return code, nil
}
