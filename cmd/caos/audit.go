package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"caos/internal/auditlog"
	"caos/internal/client"
	"caos/internal/hook"
	"caos/internal/httpapi"
)

func newAudit(e *environment) *cobra.Command {
	return parent("audit", "Report to the audit log, read it and check it", auditVerify(e), auditList(e), auditShow(e), auditProve(e), auditReport(e), auditTrust(e), auditAnchor(e), auditAnchors(e))
}

func auditList(e *environment) *cobra.Command {
	var p paging
	var typ, actor, resource, exec, from, to string
	c := &cobra.Command{
		Use: "list", Short: "List audit records, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for field, v := range map[string]string{"from": from, "to": to} {
				if _, err := time.Parse(time.RFC3339, v); v != "" && err != nil {
					return usage("%q is not a moment with a time zone", v).WithField(field).WithHint("write it as 2026-11-22T10:15:00Z")
				}
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			q := query("type", typ, "actor", actor, "resource", resource, "execution_id", exec, "from", from, "to", to)
			items, body, err := list[httpapi.AuditRecord](c.Context(), cl, "/v1/audit", q, p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, r := range items {
					rec := recordOf(r)
					rows = append(rows, []string{strconv.FormatInt(r.Index, 10), r.ID, r.Type, rec.Actor, rec.what()})
				}
				e.table([]string{"leaf", "record", "type", "actor", "what"}, rows)
			})
		},
	}
	p.bind(c)
	f := c.Flags()
	f.StringVar(&typ, "type", "", "of this type, such as MODEL_FREEZE or EVIDENCE")
	f.StringVar(&actor, "actor", "", "by this actor")
	f.StringVar(&resource, "resource", "", "about this resource")
	f.StringVar(&exec, "execution", "", "of this execution")
	f.StringVar(&from, "from", "", "from this moment on")
	f.StringVar(&to, "to", "", "before this moment")
	return c
}

// record is what people see of an audit record.
type record struct {
	Actor      string   `json:"actor"`
	RecordedBy string   `json:"recorded_by"`
	Resources  []string `json:"resources"`
	Execution  string   `json:"execution"`
	Hook       string   `json:"hook"`
	Details    struct {
		Event   string `json:"event"`
		Message string `json:"message"`
	} `json:"details"`
	Actions []struct {
		Number int    `json:"number"`
		Name   string `json:"name"`
		Status string `json:"status"`
	} `json:"actions"`
	Decision *struct {
		Effect   string   `json:"effect"`
		Policies []string `json:"policies"`
		Reasons  []string `json:"reasons"`
	} `json:"decision"`
}

func recordOf(r httpapi.AuditRecord) (rec record) {
	_ = json.Unmarshal(r.Record, &rec) // what cannot be read is left out; JSON output has it as it is
	return rec
}

// what says in a few words what a record is about.
func (r record) what() string {
	s := r.Details.Event
	if s == "" {
		s = r.Details.Message
	}
	if s == "" && len(r.Actions) > 0 {
		s = r.Actions[len(r.Actions)-1].Name
	}
	if s == "" {
		s = r.Hook
	}
	for i, id := range r.Resources {
		if i == 2 {
			return s + " …"
		}
		s += " " + id
	}
	return s
}

func auditShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show RECORD", Short: "Show an audit record with its place in the log", Args: wants("RECORD"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: "/v1/audit/" + escape(args[0])})
			if err != nil {
				return err
			}
			var r httpapi.AuditRecord
			if err := a.Decode(&r); err != nil {
				return err
			}
			return e.give(a.Body, func() {
				proof := "in the signed checkpoint; caos audit prove " + r.ID + " prints the proof"
				if r.Proof == "" {
					proof = "not in a checkpoint yet"
				}
				rec := recordOf(r)
				e.pairs(pair{"record", r.ID}, pair{"type", r.Type}, pair{"time", moment(r.Time)}, pair{"actor", rec.Actor}, pair{"recorded by", rec.RecordedBy},
					pair{"execution", rec.Execution}, pair{"leaf", strconv.FormatInt(r.Index, 10)}, pair{"hash", r.Hash}, pair{"proof", proof})
				e.line("")
				_ = e.writeJSON(r.Record)
			})
		},
	}
}

func auditProve(e *environment) *cobra.Command {
	var out string
	var force bool
	c := &cobra.Command{
		Use: "prove RECORD", Short: "Print the proof that a record is in the log (c2sp.org/tlog-proof@v1)", Args: wants("RECORD"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.download(c.Context(), "/v1/audit/"+escape(args[0])+"/proof", out, force)
		},
	}
	c.Flags().StringVar(&out, "out", "-", "file to write, - for standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that exists")
	return c
}

func auditTrust(e *environment) *cobra.Command {
	var out string
	var force bool
	c := &cobra.Command{
		Use: "trust", Short: "Fetch the trust file: the public keys that auditors hold", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return e.download(c.Context(), "/v1/trust", out, force) },
	}
	c.Flags().StringVar(&out, "out", "-", "file to write, - for standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that exists")
	return c
}

func auditReport(e *environment) *cobra.Command {
	var in hook.AuditInput
	var details, key string
	c := &cobra.Command{
		Use: "report --action ACTION --resource RESOURCE", Short: "Report that something was done to production (CERT.AUDIT)", Args: noArgs,
		Long: "Runs CAOS.PROD.CERT.AUDIT. Nothing that is reported is lost: what CAOS does not know is recorded as stated and answered REVIEW_REQUIRED.",
		Example: "  caos audit report --action MODEL_FREEZE --actor ada --resource NN-FCS-001 --resource BL-FCS-2.1.0 \\\n" +
			"    --details '{\"decision\":\"frozen\"}' --authorization BOARD-2026-11",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("action", in.ActionType, string(auditlog.ModelFreeze), string(auditlog.Deployment), string(auditlog.Rollback), string(auditlog.ConfigChange)); err != nil {
				return err
			}
			if in.Timestamp == "" {
				in.Timestamp = e.now().UTC().Format(time.RFC3339)
			}
			if err := json.Unmarshal([]byte(details), &in.ActionDetails); err != nil || in.ActionDetails == nil {
				return usage("it is not a JSON object").WithField("details").WithHint(`--details '{"decision":"frozen"}'`)
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if in.ActorID == "" {
				var me httpapi.Me
				if err := cl.Get(c.Context(), "/v1/me", nil, &me); err != nil {
					return err
				}
				in.ActorID = me.User.ID
			}
			body, err := json.Marshal(in)
			if err != nil {
				return err
			}
			return e.runHook(c, cl, "CAOS.PROD.CERT.AUDIT", body, runFlags{key: key})
		},
	}
	f := c.Flags()
	f.StringVar(&in.ActionType, "action", "", "MODEL_FREEZE, DEPLOYMENT, ROLLBACK or CONFIG_CHANGE")
	f.StringVar(&in.ActorID, "actor", "", "who did it; you if left out")
	f.StringSliceVar(&in.AffectedResources, "resource", nil, "what it was done to")
	f.StringVar(&in.Timestamp, "time", "", "when it was done; now if left out")
	f.StringVar(&details, "details", "{}", "a JSON object")
	f.StringVar(&in.AuthorizationID, "authorization", "", "by which authorisation")
	f.StringVar(&key, "idempotency-key", "", "gives the same record when it is sent again")
	_ = c.MarkFlagRequired("action")
	_ = c.MarkFlagRequired("resource")
	return c
}
