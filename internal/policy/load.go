package policy

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

//go:embed cedar
var shipped embed.FS

const (
	schemaFile = "caos.cedarschema"
	suffix     = ".cedar"

	roleType    = types.EntityType("Role")
	userType    = types.EntityType("User")
	actionType  = types.EntityType("Action")
	reportType  = types.EntityType("Report")
	reportName  = "compliance:report"
	maxFile     = 256 << 10 // bytes of one policy file
	maxFiles    = 200       // policy files in one folder
	maxPolicies = 1000      // in all
)

// policyID keeps ids fit for a log line, a header and a table.
var policyID = regexp.MustCompile(`^[a-z][a-z0-9-]{1,63}$`)

// Info describes one loaded policy for people.
type Info struct {
	ID       string `json:"id"`
	Effect   string `json:"effect"` // "permit" or "forbid"
	Reason   string `json:"reason"`
	Severity string `json:"severity,omitempty"` // compliance policies only
	File     string `json:"file"`
	Text     string `json:"text"` // the policy in Cedar, without comments
}

// rule is one policy with what its annotations say.
type rule struct {
	Info
	policy  *cedar.Policy
	stepUp  bool
	subject string   // compliance: the fact that a finding is about
	remedy  string   // compliance: what clears it
	ids     []string // the id alone, and
	reasons []string // the reason alone, for decisions by this policy
}

// Load reads the policies that CAOS ships and those of any further folders (only files
// named *.cedar, in no subfolder). Every policy has an @id of its own and an @reason, a
// permit names its actions, and everything fits the schema; else nothing is loaded and
// the error names file, policy and remedy.
func Load(further ...fs.FS) (*Set, error) {
	own, err := fs.Sub(shipped, "cedar")
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(own, schemaFile)
	if err != nil {
		return nil, err
	}
	return load(text, append([]fs.FS{own}, further...))
}

func load(schemaText []byte, folders []fs.FS) (*Set, error) {
	voc, err := parseSchema(schemaText)
	if err != nil {
		return nil, err
	}
	var rules []*rule
	for _, folder := range folders {
		more, err := readFolder(voc, folder)
		if err != nil {
			return nil, err
		}
		rules = append(rules, more...)
	}
	if len(rules) > maxPolicies {
		return nil, fmt.Errorf("%d policies, at most %d are allowed", len(rules), maxPolicies)
	}
	// By id, so that decisions list policies in the same order on every node.
	slices.SortFunc(rules, func(a, b *rule) int { return strings.Compare(a.ID, b.ID) })
	for i := 1; i < len(rules); i++ {
		if rules[i].ID == rules[i-1].ID {
			return nil, fmt.Errorf("policy id %q is used twice, in %s and %s: give one another @id", rules[i].ID, rules[i-1].File, rules[i].File)
		}
	}
	sum := sha256.New()
	sum.Write(schemaText)
	for _, r := range rules {
		fmt.Fprintf(sum, "\n%s\n%s", r.ID, r.Text)
	}
	s := &Set{voc: voc, rules: rules, byID: make(map[types.PolicyID]*rule), digest: "SHA256:" + hex.EncodeToString(sum.Sum(nil))}
	for _, r := range rules {
		s.byID[types.PolicyID(r.ID)] = r
	}
	s.index()
	return s, nil
}

func readFolder(voc *vocabulary, folder fs.FS) ([]*rule, error) {
	names, err := fs.Glob(folder, "*"+suffix)
	if err != nil {
		return nil, err
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("%d policy files in one folder, at most %d are allowed", len(names), maxFiles)
	}
	slices.Sort(names)
	var rules []*rule
	for _, name := range names {
		text, err := readLimited(folder, name)
		if err != nil {
			return nil, err
		}
		list, err := cedar.NewPolicyListFromBytes(name, text)
		if err != nil {
			return nil, fmt.Errorf("policy file %s: %w", name, err)
		}
		for _, p := range list {
			r, err := newRule(voc, name, p)
			if err != nil {
				return nil, fmt.Errorf("policy file %s, line %d: %w", name, p.Position().Line, err)
			}
			rules = append(rules, r)
		}
	}
	return rules, nil
}

func readLimited(folder fs.FS, name string) ([]byte, error) {
	st, err := fs.Stat(folder, name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, fmt.Errorf("policy file %s: must be a regular file of at most %d bytes", name, maxFile)
	}
	return fs.ReadFile(folder, name)
}

func newRule(voc *vocabulary, file string, p *cedar.Policy) (*rule, error) {
	r := &rule{policy: p, Info: Info{Effect: "forbid", File: file}}
	if p.Effect() == cedar.Permit {
		r.Effect = "permit"
	}
	for key, v := range p.Annotations() {
		switch key {
		case "id":
			r.ID = string(v)
		case "reason":
			r.Reason = string(v)
		case "severity":
			r.Severity = string(v)
		case "subject":
			r.subject = string(v)
		case "remedy":
			r.remedy = string(v)
		case "step_up":
			r.stepUp = true
		default:
			return nil, fmt.Errorf("unknown annotation @%s", key)
		}
	}
	if !policyID.MatchString(r.ID) {
		return nil, fmt.Errorf("@id(%q) must match %s", r.ID, policyID)
	}
	if r.Reason == "" {
		return nil, fmt.Errorf("policy %q has no @reason: say in one sentence why", r.ID)
	}
	r.Text = string(p.MarshalCedar())
	r.ids, r.reasons = []string{r.ID}, []string{r.Reason}
	return r, voc.check(r)
}

// check refuses a policy that could err, never apply, or apply to more than it says.
func (v *vocabulary) check(r *rule) error {
	tree := (*ast.Policy)(r.policy.AST())
	if err := v.validator.Policy(r.ID, tree); err != nil {
		return fmt.Errorf("policy %q: %w", r.ID, err)
	}
	if err := v.checkRoles(tree); err != nil {
		return fmt.Errorf("policy %q: %w", r.ID, err)
	}
	_, everyAction := tree.Action.(ast.ScopeTypeAll)
	if r.Effect == "permit" && everyAction {
		return fmt.Errorf("policy %q: a permit must name its actions", r.ID)
	}
	if eq, ok := tree.Action.(ast.ScopeTypeEq); ok && eq.Entity.ID == reportName {
		if r.Effect != "forbid" || !slices.Contains([]string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}, r.Severity) {
			return fmt.Errorf("policy %q: a compliance policy is a forbid with @severity LOW, MEDIUM, HIGH or CRITICAL", r.ID)
		}
		if _, ok := v.action(reportName).AppliesTo.Context[types.String(r.subject)]; !ok && r.subject != "resources" {
			return fmt.Errorf("policy %q: @subject must name a fact of the report or be \"resources\"", r.ID)
		}
		return nil
	}
	if r.Severity != "" || r.subject != "" || r.remedy != "" {
		return fmt.Errorf("policy %q: @severity, @subject and @remedy are for policies with action == Action::%q", r.ID, reportName)
	}
	if v.reaches(tree.Action, reportName) && !everyAction {
		return fmt.Errorf("policy %q: a compliance policy has the scope action == Action::%q and nothing else", r.ID, reportName)
	}
	return nil
}

// checkRoles refuses roles that do not exist. The validator knows the type Role, and does
// not look at its values.
func (v *vocabulary) checkRoles(tree *ast.Policy) error {
	var bad []error
	see := func(uid types.EntityUID) {
		if uid.Type == roleType && !v.roles[uid.ID] {
			bad = append(bad, fmt.Errorf("there is no role %q", uid.ID))
		}
	}
	switch scope := tree.Principal.(type) {
	case ast.ScopeTypeIn:
		see(scope.Entity)
	case ast.ScopeTypeIsIn:
		see(scope.Entity)
	}
	for _, c := range tree.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if lit, ok := n.(ast.NodeValue); ok {
				if uid, ok := lit.Value.(types.EntityUID); ok {
					see(uid)
				}
			}
			return true
		})
	}
	return errors.Join(bad...)
}
