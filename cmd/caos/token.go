package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos/internal/auth"
	"caos/internal/client"
	"caos/internal/httpapi"
)

func newToken(e *environment) *cobra.Command {
	return parent("token", "Keep API tokens", tokenCreate(e), tokenList(e), tokenRevoke(e))
}

func tokenCreate(e *environment) *cobra.Command {
	var b httpapi.NewTokenBody
	var life time.Duration
	c := &cobra.Command{
		Use: "create", Short: "Make a token", Args: noArgs,
		Long:    "Makes a token, which is printed this once. It needs a second factor.",
		Example: "  caos token create --label ci --role mlops-engineer --life 720h",
		RunE: func(c *cobra.Command, _ []string) error {
			b.LifeSeconds = int64(life / time.Second)
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: "/v1/tokens", JSON: b})
			if err != nil {
				return err
			}
			var t auth.Issued
			if err := a.Decode(&t); err != nil {
				return err
			}
			return e.give(a.Body, func() { e.pairs(pair{"token", t.Value}, pair{"id", t.ID}, pair{"expires", moment(t.Expires)}) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.User, "user", "", "whose; yours if left out")
	f.StringVar(&b.Label, "label", "", "what it is for")
	f.StringSliceVar(&b.Roles, "role", nil, "only these roles of the account")
	f.StringVar(&b.Project, "project", "", "only this project")
	f.DurationVar(&life, "life", 0, "how long it lives; 90 days if left out")
	return c
}

func tokenList(e *environment) *cobra.Command {
	var user string
	c := &cobra.Command{
		Use: "list", Short: "List tokens, without their values", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := unpaged[auth.Token](c.Context(), cl, "/v1/tokens", query("user", user))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, t := range items {
					state := "active"
					switch {
					case t.RevokedAt != nil:
						state = "revoked"
					case t.ExpiresAt.Before(e.now()):
						state = "expired"
					}
					roles := strings.Join(t.Roles, ", ")
					if roles == "" {
						roles = "all"
					}
					rows = append(rows, []string{t.ID, state, moment(t.ExpiresAt), when(t.LastUsed), roles, t.Label})
				}
				e.table([]string{"token", "state", "expires", "used", "roles", "label"}, rows)
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "whose; yours if left out")
	return c
}

func tokenRevoke(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN", Short: "End a token, by its id", Args: wants("TOKEN"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodDelete, Path: "/v1/tokens/" + escape(args[0])})
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { e.line("%s is revoked", args[0]) })
		},
	}
}
