package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/auth"
	"caos/internal/client"
	"caos/internal/httpapi"
)

func newUser(e *environment) *cobra.Command {
	return parent("user", "Keep accounts, roles and second factors", userAdd(e), userList(e), userShow(e), userMe(e), userRoles(e),
		userSwitch(e, "disable", "Stop an account and its tokens"), userSwitch(e, "enable", "Let a disabled account act again"),
		userRole(e, "grant", http.MethodPut, "Grant a role"), userRole(e, "revoke", http.MethodDelete, "Take a role away"), userTOTP(e), userResetTOTP(e))
}

func userPath(id string) string { return "/v1/users/" + escape(id) }

func userAdd(e *environment) *cobra.Command {
	var b httpapi.NewUserBody
	var scope httpapi.ScopeBody
	var life time.Duration
	var noToken bool
	c := &cobra.Command{
		Use: "add USER --name NAME", Aliases: []string{"create"}, Short: "Make an account and its first token", Args: wants("USER"),
		Long: "Makes an account. Its first token is printed this once; with it the person enrols a second factor of their own (caos user totp). " +
			"It needs a second factor.",
		Example: "  caos user add ada --name 'Ada' --role certification --role vv-lead",
		RunE: func(c *cobra.Command, args []string) error {
			b.ID = args[0]
			if !noToken {
				b.Token = &httpapi.NewTokenBody{Label: "first token", LifeSeconds: int64(life / time.Second)}
			}
			if len(scope.Projects)+len(scope.Clearances) > 0 {
				scope.AllProjects = len(scope.Projects) == 0
				b.Scope = &scope
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: "/v1/users", JSON: b})
			if err != nil {
				return err
			}
			var made auth.Created
			if err := a.Decode(&made); err != nil {
				return err
			}
			return e.give(a.Body, func() {
				e.pairs(pair{"account", made.User}, pair{"roles", strings.Join(b.Roles, ", ")})
				if t := made.Token; t != nil {
					e.pairs(pair{"token  ", t.Value}, pair{"expires", moment(t.Expires)})
					e.line("%s", e.paint.dim("The token is shown this once. With it: caos user totp"))
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&b.Name, "name", "", "the person's name, or what the program is")
	f.StringVar(&b.Mail, "mail", "", "mail address")
	f.StringVar(&b.Kind, "kind", "person", "person or service")
	f.StringSliceVar(&b.Roles, "role", nil, "a role; caos user roles lists them")
	f.StringSliceVar(&scope.Projects, "project", nil, "limits the account to this project")
	f.StringSliceVar(&scope.Clearances, "clearance", nil, "Restricted, Confidential or Regulated")
	f.DurationVar(&life, "token-life", 0, "how long the first token lives; 90 days if left out")
	f.BoolVar(&noToken, "no-token", false, "no token yet")
	_ = c.MarkFlagRequired("name")
	return c
}

func userList(e *environment) *cobra.Command {
	var p paging
	c := &cobra.Command{
		Use: "list", Short: "List accounts", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := list[auth.User](c.Context(), cl, "/v1/users", nil, p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, u := range items {
					rows = append(rows, []string{u.ID, u.Kind, stateOf(u), yesNo(u.MFA), strings.Join(u.Roles, ", "), u.Name})
				}
				e.table([]string{"account", "kind", "state", "mfa", "roles", "name"}, rows)
			})
		},
	}
	p.bind(c)
	return c
}

func stateOf(u auth.User) string {
	if u.Enabled {
		return "enabled"
	}
	return "disabled"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (e *environment) user(u auth.User) {
	scope := strings.Join(u.Scope.Projects, ", ")
	if u.Scope.AllProjects {
		scope = "every project"
	}
	e.pairs(pair{"account", u.ID}, pair{"name", u.Name}, pair{"mail", u.Mail}, pair{"kind", u.Kind}, pair{"state", stateOf(u)},
		pair{"roles", strings.Join(u.Roles, ", ")}, pair{"sees", scope}, pair{"clearances", strings.Join(u.Scope.Clearances, ", ")},
		pair{"second factor", yesNo(u.MFA)}, pair{"made", moment(u.CreatedAt) + " by " + u.CreatedBy})
}

// account asks for an account, or changes one, and shows it.
func (e *environment) account(ctx context.Context, method, path string) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	a, err := cl.Do(ctx, client.Call{Method: method, Path: path})
	if err != nil {
		return err
	}
	var u auth.User
	if err := a.Decode(&u); err != nil {
		return err
	}
	return e.give(a.Body, func() { e.user(u) })
}

func userShow(e *environment) *cobra.Command {
	return &cobra.Command{Use: "show USER", Short: "Show an account", Args: wants("USER"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.account(c.Context(), http.MethodGet, userPath(args[0]))
		}}
}

func userMe(e *environment) *cobra.Command {
	return &cobra.Command{Use: "me", Short: "Show who you are here", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: "/v1/me"})
			if err != nil {
				return err
			}
			var me httpapi.Me
			if err := a.Decode(&me); err != nil {
				return err
			}
			return e.give(a.Body, func() {
				e.user(me.User)
				e.pairs(pair{"token        ", me.Principal.Token}, pair{"its roles", strings.Join(me.Principal.Roles, ", ")}, pair{"its project", me.Principal.Project})
			})
		}}
}

func userRoles(e *environment) *cobra.Command {
	var action, of string
	c := &cobra.Command{Use: "roles", Short: "List the roles there are, or those that may do an action", Args: noArgs,
		Long: "Lists the roles. With --action it asks the server which of them the policies let do it, as far as roles and ownership decide; " +
			"separation of duties over history and need-to-know are asked where it is done.",
		Example: "  caos user roles\n  caos user roles --action document:decide\n  caos user roles --action hook:submit --of CAOS.PROD.MODEL.PRR",
		RunE: func(c *cobra.Command, _ []string) error {
			if action != "" {
				return e.rolesThatMay(c.Context(), action, of)
			}
			if of != "" {
				return usage("a thing without an action").WithField("of").WithHint("name the action: caos user roles --action hook:submit --of %s", of)
			}
			return e.giveValue(map[string]any{"items": caos.Roles()}, func() {
				for _, r := range caos.Roles() {
					e.line("%s", r)
				}
			})
		}}
	c.Flags().StringVar(&action, "action", "", "only those that may do this, such as document:decide")
	_ = c.RegisterFlagCompletionFunc("action", func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		x, _, err := ask[httpapi.RoleList](c.Context(), e, getting("/v1/roles", nil))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return x.Actions, cobra.ShellCompDirectiveNoFileComp
	})
	c.Flags().StringVar(&of, "of", "", "to what, where the policies name it: the hook of hook:submit")
	return c
}

func (e *environment) rolesThatMay(ctx context.Context, action, of string) error {
	x, body, err := ask[httpapi.RoleList](ctx, e, getting("/v1/roles", query("action", action, "resource", of)))
	if err != nil {
		return err
	}
	return e.give(body, func() {
		var rows [][]string
		for _, m := range x.May {
			on := "anybody's"
			switch {
			case m.OwnOnly:
				on = "one's own only"
			case m.OthersOnly:
				on = "others' only"
			case m.Depends:
				on = "some: the policies ask more about it"
			}
			rows = append(rows, []string{m.Role, yesNo(m.SecondFactor), on})
		}
		if len(rows) == 0 {
			e.line("%s", e.paint.warn("the policies give "+clean(action)+" to no role"))
			return
		}
		e.table([]string{"role", "second factor", "on"}, rows)
	})
}

func userSwitch(e *environment, verb, short string) *cobra.Command {
	return &cobra.Command{Use: verb + " USER", Short: short, Long: short + ". It needs a second factor.", Args: wants("USER"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.account(c.Context(), http.MethodPost, userPath(args[0])+"/"+verb)
		}}
}

func userRole(e *environment, verb, method, short string) *cobra.Command {
	return &cobra.Command{Use: verb + " USER ROLE", Short: short, Long: short + ". It needs a second factor.", Args: wants("USER", "ROLE"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.account(c.Context(), method, userPath(args[0])+"/roles/"+escape(args[1]))
		}}
}

func userTOTP(e *environment) *cobra.Command {
	var code string
	var confirm bool
	c := &cobra.Command{
		Use: "totp", Short: "Enrol your own second factor", Args: noArgs,
		Long: "Makes a secret for an authenticator. It counts once one of its codes has been confirmed: with caos user totp --code CODE, or at once with --confirm, " +
			"which computes the code here and is meant for scripts. Replacing one that counts needs a code of the old one.",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if code != "" {
				return e.confirmTOTP(c.Context(), cl, code)
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: "/v1/me/totp"})
			if err != nil {
				return err
			}
			var s auth.TOTPSecret
			if err := a.Decode(&s); err != nil {
				return err
			}
			if confirm {
				codes := &client.Secret{Base32: s.Secret, Now: e.now, Memory: e.codeMemory(s.Secret)}
				if code, err = codes.Next(c.Context(), 1); err != nil {
					return err
				}
				if err := cl.Post(c.Context(), "/v1/me/totp/confirm", httpapi.CodeBody{Code: code}, nil); err != nil {
					return err
				}
			}
			return e.give(a.Body, func() {
				e.pairs(pair{"secret", s.Secret}, pair{"address", s.URI})
				if !confirm {
					e.line("%s", e.paint.dim("It counts once a code is confirmed: caos user totp --code CODE"))
				}
			})
		},
	}
	c.Flags().StringVar(&code, "code", "", "confirm with this code of the new secret")
	c.Flags().BoolVar(&confirm, "confirm", false, "confirm at once, with a code computed here")
	c.MarkFlagsMutuallyExclusive("code", "confirm")
	return c
}

func (e *environment) confirmTOTP(ctx context.Context, cl *client.Client, code string) error {
	a, err := cl.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/me/totp/confirm", JSON: httpapi.CodeBody{Code: code}})
	if err != nil {
		return err
	}
	return e.give(a.Body, func() { e.line("The second factor counts from now on.") })
}

func userResetTOTP(e *environment) *cobra.Command {
	return &cobra.Command{Use: "reset-totp USER", Short: "Take away somebody's lost second factor", Long: "Takes away somebody's lost second factor. It needs a second factor.", Args: wants("USER"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.account(c.Context(), http.MethodPost, userPath(args[0])+"/totp/reset")
		}}
}
