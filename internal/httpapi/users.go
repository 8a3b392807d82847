package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/policy"
)

// UserPath names an account.
type UserPath struct {
	ID string `path:"user_id" maxLength:"64" example:"ada"`
}

type userRolePath struct {
	UserPath
	Role string `path:"role" maxLength:"40" example:"auditor"`
}

// Me is the caller, as authenticated by this very request.
type Me struct {
	User      auth.User      `json:"user"`
	Principal caos.Principal `json:"principal"`
}

// NewUserBody describes an account to be made.
type NewUserBody struct {
	ID    string        `json:"id"`
	Kind  string        `json:"kind,omitempty" enum:"person,service" doc:"person if left out"`
	Name  string        `json:"name" minLength:"1" maxLength:"200"`
	Mail  string        `json:"mail,omitempty"`
	Roles []string      `json:"roles,omitempty" doc:"granted at once"`
	Scope *ScopeBody    `json:"scope,omitempty" doc:"every project and no clearance if left out"`
	Token *NewTokenBody `json:"token,omitempty" doc:"the account's first way in; its value is in the answer, this once"`
}

// NewTokenBody describes a token to be made.
type NewTokenBody struct {
	User        string   `json:"user,omitempty" doc:"whose token; the caller's if left out"`
	Label       string   `json:"label,omitempty" maxLength:"100" doc:"what it is for"`
	Roles       []string `json:"roles,omitempty" doc:"some of the account's roles; all, also later ones, if left out"`
	Project     string   `json:"project,omitempty" doc:"limits the token to one project"`
	LifeSeconds int64    `json:"life_seconds,omitempty" minimum:"60" maximum:"31536000" doc:"90 days if left out"`
}

// ScopeBody says what an account may see.
type ScopeBody struct {
	AllProjects bool     `json:"all_projects,omitempty"`
	Projects    []string `json:"projects,omitempty" doc:"if not all"`
	Clearances  []string `json:"clearances,omitempty" doc:"of Restricted, Confidential and Regulated"`
}

func (b *ScopeBody) scope() *auth.Scope {
	if b == nil {
		return nil
	}
	return &auth.Scope{AllProjects: b.AllProjects, Projects: b.Projects, Clearances: b.Clearances}
}

func (b *NewTokenBody) spec() auth.NewToken {
	return auth.NewToken{Label: b.Label, Roles: b.Roles, Project: b.Project, Life: time.Duration(b.LifeSeconds) * time.Second}
}

// check bounds what becomes a duration.
func (b *NewTokenBody) check(field string) error {
	if b.LifeSeconds < 0 || b.LifeSeconds > 366*24*3600 {
		return caos.Errorf(caos.Invalid, "a token lives between a minute and 365 days").WithField(field)
	}
	return nil
}

// CodeBody holds a code of a second factor that is being enrolled.
type CodeBody struct {
	Code string `json:"code" pattern:"^[0-9]{6}$"`
}

// RoleList are the roles of the installation, or those that may do an action.
type RoleList struct {
	Items   []string  `json:"items" nullable:"false"`
	Actions []string  `json:"actions,omitempty" doc:"where none was asked for: every action that the policies know"`
	May     []RoleMay `json:"may,omitempty" doc:"where one was asked for: what each role needs for it, in the order of items"`
}

// RoleMay is what the policies say about one role and one action.
type RoleMay struct {
	Role         string `json:"role"`
	OwnOnly      bool   `json:"own_only,omitempty" doc:"only on what is one's own"`
	OthersOnly   bool   `json:"others_only,omitempty" doc:"never on what is one's own"`
	Depends      bool   `json:"depends,omitempty" doc:"on more than ownership, such as the kind of document"`
	SecondFactor bool   `json:"second_factor,omitempty" doc:"with a code of the second factor"`
}

type roleQuery struct {
	Action   string `query:"action" maxLength:"64" example:"document:decide" doc:"the roles that may do this"`
	Resource string `query:"resource" maxLength:"128" example:"CAOS.PROD.MODEL.PRR" doc:"to what, where the policies name it: a hook, of hook:submit"`
}

// Done is the answer of operations that have nothing else to say.
type Done struct {
	Done bool `json:"done"`
}

type userList struct {
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (p *userList) cursor() *string { return &p.Cursor }

func (a *API) registerUsers() {
	operation(a, get("/v1/me", may("user:read")).as("me", "users", "The caller's account, and what this token may"),
		func(c *call, _ *none, _ *none) (Me, error) {
			u, err := a.Auth.GetUser(c.ctx(), c.by, c.by.ID)
			return Me{User: u, Principal: c.by}, err
		})
	operation(a, get("/v1/users", may("user:read")).as("list-users", "users", "List accounts"), a.listUsers)
	operation(a, post("/v1/users", mayWithMFA("user:create")).answers(http.StatusCreated).as("create-user", "users", "Make an account"), a.createUser)
	operation(a, get("/v1/users/{user_id}", may("user:read")).as("get-user", "users", "An account"),
		func(c *call, p *UserPath, _ *none) (auth.User, error) { return a.Auth.GetUser(c.ctx(), c.by, p.ID) })
	operation(a, post("/v1/users/{user_id}/disable", mayWithMFA("user:disable")).as("disable-user", "users", "Stop an account and its tokens"),
		func(c *call, p *UserPath, _ *none) (auth.User, error) {
			return a.userAfter(c, p.ID, a.Auth.DisableUser(c.ctx(), c.by, p.ID))
		})
	operation(a, post("/v1/users/{user_id}/enable", mayWithMFA("user:enable")).as("enable-user", "users", "Let a disabled account act again"),
		func(c *call, p *UserPath, _ *none) (auth.User, error) {
			return a.userAfter(c, p.ID, a.Auth.EnableUser(c.ctx(), c.by, p.ID))
		})
	operation(a, put("/v1/users/{user_id}/scope", mayWithMFA("user:scope")).as("set-scope", "users", "Set the projects and clearances of an account"),
		func(c *call, p *UserPath, body *ScopeBody) (auth.User, error) {
			return a.userAfter(c, p.ID, a.Auth.SetScope(c.ctx(), c.by, p.ID, *body.scope()))
		})
	operation(a, put("/v1/users/{user_id}/roles/{role}", mayWithMFA("role:grant")).as("grant-role", "users", "Grant a role"),
		func(c *call, p *userRolePath, _ *none) (auth.User, error) {
			return a.userAfter(c, p.ID, a.Auth.GrantRole(c.ctx(), c.by, p.ID, p.Role))
		})
	operation(a, del("/v1/users/{user_id}/roles/{role}", mayWithMFA("role:revoke")).as("revoke-role", "users", "Take a role away"),
		func(c *call, p *userRolePath, _ *none) (auth.User, error) {
			return a.userAfter(c, p.ID, a.Auth.RevokeRole(c.ctx(), c.by, p.ID, p.Role))
		})
	operation(a, get("/v1/roles", may("role:read")).as("list-roles", "users", "The roles of the installation, or those that may do an action").
		about("With an action: the roles whose holders the policies let do it, as far as roles and ownership decide. Separation of duties and need-to-know are asked where it is done."), a.listRoles)
	a.registerFactors()
	a.registerTokens()
}

func (a *API) listRoles(_ *call, p *roleQuery, _ *none) (RoleList, error) {
	if p.Action == "" {
		return RoleList{Items: caos.Roles(), Actions: a.Policies.Actions()}, nil
	}
	types := a.Policies.ResourceTypes(p.Action)
	if len(types) == 0 {
		return RoleList{}, unknownAction(p.Action, a.Policies.Actions())
	}
	out := RoleList{Items: []string{}}
	for _, role := range caos.Roles() {
		own := a.mayRole(role, types, p, policy.Attributes{Owner: "me"})
		others := a.mayRole(role, types, p, policy.Attributes{Owner: "somebody"})
		some := a.mayRole(role, types, p, policy.Attributes{Collection: true})
		if !own.Allow && !others.Allow && !some.Allow {
			continue
		}
		out.Items = append(out.Items, role)
		out.May = append(out.May, RoleMay{Role: role, OwnOnly: own.Allow && !others.Allow, OthersOnly: others.Allow && !own.Allow,
			Depends: !own.Allow && !others.Allow, SecondFactor: own.StepUp || others.StepUp || some.StepUp})
	}
	return out, nil
}

// mayRole asks the policies about somebody with one role and every clearance, on each kind
// of thing that the action applies to. Allow says yes with a second factor; StepUp that it
// takes one.
func (a *API) mayRole(role string, types []string, q *roleQuery, attrs policy.Attributes) policy.Decision {
	subject := a.Policies.NewSubject(caos.Principal{ID: "me", Roles: []string{role}}, policy.Standing{Clearances: []string{"Restricted", "Confidential", "Regulated"}})
	var out policy.Decision
	for _, kind := range types {
		r := policy.Request{Subject: subject, Action: q.Action, ResourceType: kind, Resource: q.Resource, Attrs: attrs}
		without := a.Policies.Decide(r)
		r.Subject = subject.WithMFA(true)
		with := a.Policies.Decide(r)
		out.Allow = out.Allow || with.Allow
		out.StepUp = out.StepUp || with.Allow && !without.Allow
	}
	return out
}

// unknownAction names the actions of the same kind of thing, or the kinds.
func unknownAction(action string, all []string) error {
	noun, _, _ := strings.Cut(action, ":")
	var near, nouns []string
	for _, name := range all {
		n, _, _ := strings.Cut(name, ":")
		nouns = append(nouns, n)
		if n == noun {
			near = append(near, name)
		}
	}
	if len(near) == 0 {
		near = slices.Compact(nouns)
	}
	return caos.Errorf(caos.NotFound, "there is no action %q", action).WithField("action").WithHint("one of %s", strings.Join(near, ", "))
}

func (a *API) registerFactors() {
	operation(a, post("/v1/me/totp", may("totp:enrol")).answers(http.StatusCreated).as("enrol-totp", "users", "Begin to enrol a second factor").
		about("Replacing one that counts needs a code of it. The new one counts once it is confirmed; its secret is shown this once."),
		func(c *call, _ *none, _ *none) (auth.TOTPSecret, error) { return a.Auth.EnrolTOTP(c.ctx(), c.by) })
	operation(a, post("/v1/me/totp/confirm", may("totp:enrol")).as("confirm-totp", "users", "Confirm the new second factor with one of its codes"),
		func(c *call, _ *none, body *CodeBody) (Done, error) {
			err := a.Auth.ConfirmTOTP(c.ctx(), c.by, body.Code)
			return Done{err == nil}, err
		})
	operation(a, post("/v1/users/{user_id}/totp/reset", mayWithMFA("totp:reset")).as("reset-totp", "users", "Take away a lost second factor"),
		func(c *call, p *UserPath, _ *none) (auth.User, error) {
			return a.userAfter(c, p.ID, a.Auth.ResetTOTP(c.ctx(), c.by, p.ID))
		})
}

func (a *API) registerTokens() {
	type ofUser struct {
		User string `query:"user" maxLength:"64" doc:"whose; the caller's if left out"`
	}
	type tokenPath struct {
		ID string `path:"token_id" maxLength:"64"`
	}
	operation(a, get("/v1/tokens", may("token:read")).as("list-tokens", "users", "The tokens of an account, without their values"),
		func(c *call, p *ofUser, _ *none) (Page[auth.Token], error) {
			list, err := a.Auth.ListTokens(c.ctx(), c.by, orSelf(p.User, c))
			return Page[auth.Token]{Items: filled(list)}, err
		})
	operation(a, post("/v1/tokens", mayWithMFA("token:create")).answers(http.StatusCreated).as("create-token", "users", "Make a token").
		about("The value is in the answer, this once."),
		func(c *call, _ *none, body *NewTokenBody) (auth.Issued, error) {
			if err := body.check("life_seconds"); err != nil {
				return auth.Issued{}, err
			}
			return a.Auth.CreateToken(c.ctx(), c.by, orSelf(body.User, c), body.spec())
		})
	operation(a, del("/v1/tokens/{token_id}", may("token:revoke")).as("revoke-token", "users", "End a token"),
		func(c *call, p *tokenPath, _ *none) (Done, error) {
			err := a.Auth.RevokeToken(c.ctx(), c.by, p.ID)
			return Done{err == nil}, err
		})
}

// orSelf is a user that was named, or the caller.
func orSelf(user string, c *call) string {
	if user == "" {
		return c.by.ID
	}
	return user
}

// filled makes an empty list of none, so that it is written as [].
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *API) listUsers(c *call, p *userList, _ *none) (Page[auth.User], error) {
	list, err := a.Auth.ListUsers(c.ctx(), c.by, p.Cursor, p.Limit+1)
	page := Page[auth.User]{Items: filled(list)}
	if len(list) > p.Limit {
		page.Items, page.NextCursor = list[:p.Limit], list[p.Limit-1].ID
	}
	return page, err
}

func (a *API) createUser(c *call, _ *none, body *NewUserBody) (auth.Created, error) {
	u := auth.NewUser{ID: body.ID, Kind: body.Kind, Name: body.Name, Mail: body.Mail, Roles: body.Roles, Scope: body.Scope.scope()}
	if t := body.Token; t != nil {
		if err := t.check("token.life_seconds"); err != nil {
			return auth.Created{}, err
		}
		if t.User != "" && t.User != u.ID {
			return auth.Created{}, caos.Errorf(caos.Invalid, "it is not the account that is made").WithField("token.user").WithHint("leave it out")
		}
		spec := t.spec()
		u.Token = &spec
	}
	out, err := a.Auth.CreateUser(c.ctx(), c.by, u)
	if err == nil {
		c.set("Location", "/v1/users/"+url.PathEscape(out.User))
	}
	return out, err
}

// userAfter is an account after it was changed.
func (a *API) userAfter(c *call, id string, err error) (auth.User, error) {
	if err != nil {
		return auth.User{}, err
	}
	return a.Auth.GetUser(c.ctx(), c.by, id)
}
