package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"caos"
	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/secret"
)

func newSecret(e *environment) *cobra.Command {
	return parent("secret", "Keep what the server has to know and nobody may read",
		secretPut(e), secretList(e), secretDelete(e), secretRotate(e))
}

func secretPath(path string) string {
	return "/v1/secrets/" + strings.ReplaceAll(url.PathEscape(path), "%2F", "/")
}

func secretPut(e *environment) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "put PATH KEY", Short: "Put a value into the vault", Args: wants("PATH", "KEY"),
		Long: "Puts a value into the vault, where nobody reads it back. It is asked for at a terminal and read from standard input otherwise, never from the command's " +
			"arguments, which other users of the machine can see. One line break at its end does not count. Configuration names it as vault:PATH#KEY.",
		Example: "  caos secret put s3/lake secret_key\n  caos secret put s3/lake secret_key --file key.txt",
		RunE: func(c *cobra.Command, args []string) error {
			ref := secret.Ref{Path: args[0], Key: args[1]}
			if err := ref.Check(); err != nil {
				return err
			}
			value, err := e.hidden("Value of "+ref.String(), file, secret.MaxValue)
			if err != nil {
				return err
			}
			// secret.Value is written nowhere, so it is sent as the text that it is.
			body := map[string]any{"values": map[string]string{ref.Key: value}}
			put, text, err := ask[httpapi.SecretsPut](c.Context(), e, client.Call{Method: http.MethodPut, Path: secretPath(ref.Path), JSON: body})
			if err != nil {
				return err
			}
			return e.give(text, func() {
				for _, x := range put.Items {
					e.line("%s is kept, revision %d", clean(x.Ref), x.Revision)
				}
			})
		},
	}
	c.Flags().StringVar(&file, "file", "", "file that holds the value; - is standard input")
	return c
}

// hidden reads a value without showing it: from a file, from standard input, or asked for at
// a terminal. One line break at its end does not count.
func (e *environment) hidden(what, file string, most int64) (string, error) {
	in := e.in
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", usage("the file cannot be read: %s", errors.Unwrap(err)).WithField("file")
		}
		defer f.Close()
		in = f
	} else if f, ok := e.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(e.err, e.errPaint.accent(what+" (not shown): "))
		value, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.err)
		if err != nil {
			return "", caos.Wrap(caos.Internal, err, "the value could not be read")
		}
		return notEmpty(string(value))
	}
	text, err := io.ReadAll(io.LimitReader(in, most+3))
	if err != nil {
		return "", caos.Wrap(caos.Internal, err, "the value could not be read")
	}
	return notEmpty(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
}

// newPassword reads a password that nobody knows yet: twice at a terminal, because a slip
// would be found when the key is needed, and of one line.
func (e *environment) newPassword(what, file string, most int64) (string, error) {
	first, err := e.hidden(what, file, most)
	if err != nil && caos.AsError(err).Field == "value" {
		return "", usage("the password is empty").WithField("password").WithHint("pipe it in, or name a file that holds it")
	}
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(first, "\r\n") {
		return "", usage("the password has more than one line").WithField("password").WithHint("pipe it in once: nothing asks for it a second time there")
	}
	if f, ok := e.in.(*os.File); !ok || file != "" || !term.IsTerminal(int(f.Fd())) {
		return first, nil
	}
	again, err := e.hidden("The same again", file, most)
	if err != nil {
		return "", err
	}
	if again != first {
		return "", usage("the two passwords differ").WithField("password").WithHint("nothing was made: start again")
	}
	return first, nil
}

func notEmpty(value string) (string, error) {
	if value == "" {
		return "", usage("the value is empty").WithField("value").WithHint("pipe it in, or name a file that holds it")
	}
	return value, nil
}

func secretList(e *environment) *cobra.Command {
	l := listed[secret.Entry]{path: "/v1/secrets", head: []string{"secret", "revision", "changed", "by"}, drop: []string{"revision"},
		row: func(x secret.Entry) []string {
			return []string{x.Ref, fmt.Sprint(x.Revision), moment(x.UpdatedAt), x.UpdatedBy}
		}}
	var path string
	c := &cobra.Command{
		Use: "list", Short: "List the names of secrets, last changed first", Args: noArgs, Long: "Lists names. Values are never given back.",
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("path", path)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&path, "path", "", "only of this path")
	return c
}

func secretDelete(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "delete PATH KEY", Aliases: []string{"remove"}, Short: "Delete a value for good", Args: wants("PATH", "KEY"),
		Long: "Deletes a value, also one that cannot be opened any more. What names it fails from then on, and says so.",
		RunE: func(c *cobra.Command, args []string) error {
			ref := secret.Ref{Path: args[0], Key: args[1]}
			if err := ref.Check(); err != nil {
				return err
			}
			gone, text, err := ask[secret.Entry](c.Context(), e, removing(secretPath(ref.Path), "key", ref.Key))
			if err != nil {
				return err
			}
			return e.give(text, func() { e.line("%s is deleted", clean(gone.Ref)) })
		},
	}
}

func secretRotate(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Make a new key for the vault and seal every value under it", Args: noArgs,
		Long: "Makes a new key and seals every value again under it. The values stay what they are, and older keys stay in the keyset: whoever has an old backup of both reads what was there then. " +
			"It may be repeated.",
		RunE: func(c *cobra.Command, _ []string) error { return e.rotated(c.Context()) },
	}
}

func (e *environment) rotated(ctx context.Context) error {
	done, text, err := ask[httpapi.SecretsRotated](ctx, e, posting("/v1/secrets/rotate", nil))
	if err != nil {
		return err
	}
	return e.give(text, func() { e.line("a new key is in use; values sealed again: %d", done.Resealed) })
}
