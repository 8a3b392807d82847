package main

import (
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/auth"
	"caos/internal/client"
	"caos/internal/httpapi"
)

func newKey(e *environment) *cobra.Command {
	return parent("key", "Keep the SSH keys that people sign decisions with", keyEnrol(e), keyCountersign(e), keyRevoke(e), keyList(e))
}

func keyEnrol(e *environment) *cobra.Command {
	var private string
	c := &cobra.Command{
		Use: "enrol PUBLIC-KEY-FILE", Aliases: []string{"create"}, Short: "Enrol an SSH key of your own", Args: wants("PUBLIC-KEY-FILE"),
		Long: "Signs the server's statement with the key, through the SSH agent or from a key file, and enrols it. It counts once a second person has countersigned it. " +
			"It needs a second factor.",
		Example: "  ssh-keygen -t ed25519 -f decisions\n  caos key enrol decisions.pub --private decisions",
		RunE: func(c *cobra.Command, args []string) error {
			line, err := e.readInput(args[0], 4096)
			if err != nil {
				return err
			}
			public := strings.TrimSpace(string(line))
			cl, err := e.connect()
			if err != nil {
				return err
			}
			var s httpapi.Statement
			if err := cl.Get(c.Context(), "/v1/keys/statement", query("public_key", public), &s); err != nil {
				return err
			}
			if s.Namespace != auth.KeyNamespace {
				return caos.Errorf(caos.Denied, "the server asks for a signature in the namespace %q, not %q", s.Namespace, auth.KeyNamespace)
			}
			signature, err := e.sshSign(public, private, s.Namespace, []byte(s.Statement))
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: "/v1/keys", JSON: httpapi.EnrolBody{Statement: s.Statement, Signature: string(signature)}})
			if err != nil {
				return err
			}
			return e.key(a)
		},
	}
	c.Flags().StringVar(&private, "private", "", "file of the private key; the SSH agent signs if left out")
	return c
}

func (e *environment) key(a *client.Answer) error {
	var k auth.PersonalKey
	if err := a.Decode(&k); err != nil {
		return err
	}
	return e.give(a.Body, func() {
		e.pairs(pair{"key", k.ID}, pair{"of", k.User}, pair{"fingerprint", k.Fingerprint}, pair{"status", k.Status}, pair{"countersigned by", k.CountersignedBy},
			pair{"counts from", k.ActiveRecord}, pair{"ended", when(k.EndedAt)})
		if k.Status == auth.KeyEnrolled {
			e.line("%s", e.paint.dim("It counts once somebody else has said: caos key countersign "+k.ID))
		}
	})
}

func (e *environment) changeKey(c *cobra.Command, id, verb string, body any) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: "/v1/keys/" + escape(id) + "/" + verb, JSON: body})
	if err != nil {
		return err
	}
	return e.key(a)
}

func keyCountersign(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "countersign KEY", Short: "Vouch for somebody else's key", Args: wants("KEY"),
		Long: "Says that the key is that person's: compare the fingerprint with what they tell you in person. It needs a second factor.",
		RunE: func(c *cobra.Command, args []string) error { return e.changeKey(c, args[0], "countersign", nil) },
	}
}

func keyRevoke(e *environment) *cobra.Command {
	var since string
	c := &cobra.Command{
		Use: "revoke KEY", Short: "End a key", Args: wants("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			var b httpapi.RevokeBody
			if since != "" {
				t, err := time.Parse(time.RFC3339, since)
				if err != nil {
					return usage("%q is not a moment with a time zone", since).WithField("compromised-since").WithHint("write it as 2026-11-22T10:15:00Z")
				}
				b.CompromisedSince = &t
			}
			return e.changeKey(c, args[0], "revoke", b)
		},
	}
	c.Flags().StringVar(&since, "compromised-since", "", "if it may be in the wrong hands: since when")
	return c
}

func keyList(e *environment) *cobra.Command {
	var user string
	c := &cobra.Command{
		Use: "list", Short: "List the keys of an account", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := unpaged[auth.PersonalKey](c.Context(), cl, "/v1/keys", query("user", user))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, k := range items {
					rows = append(rows, []string{k.ID, k.User, k.Status, moment(k.EnrolledAt), k.CountersignedBy, k.Fingerprint})
				}
				e.table([]string{"key", "of", "status", "enrolled", "countersigned by", "fingerprint"}, rows)
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "whose; yours if left out")
	return c
}

// agentSocket is where the SSH agent listens.
func (e *environment) agentSocket() string { return e.getenv("SSH_AUTH_SOCK") }

func readPrivate(name string) ([]byte, error) {
	f, err := openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, caos.Errorf(caos.Denied, "others may read the private key %s", name).WithHint("chmod 600 %s", name)
	}
	return os.ReadFile(name)
}
