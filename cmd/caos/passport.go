package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/dpp"
	"caos/internal/httpapi"
)

func newPassport(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/passports", "passport_id", "event"), passportShow(e), passportGet(e), passportLinks(e), passportRevoke(e))
	return parent("passport", "See digital product passports, and revoke them", append([]*cobra.Command{passportList(e)}, named...)...)
}

func passportPath(id string) string { return "/v1/passports/" + escape(id) }

func passportEvents() []string {
	var out []string
	for _, ev := range dpp.Events() {
		out = append(out, string(ev))
	}
	return out
}

func passportList(e *environment) *cobra.Command {
	l := listed[dpp.Passport]{path: "/v1/passports", head: []string{"passport", "event", "revoked", "baseline", "issued", "by"}, drop: []string{"event", "baseline"}, row: func(p dpp.Passport) []string {
		revoked := ""
		if p.RevokedAt != nil {
			revoked = moment(*p.RevokedAt)
		}
		return []string{p.PassportID, string(p.Event), orDash(revoked), orDash(p.BaselineID), moment(p.IssuedAt), p.IssuedBy}
	}}
	var model, version, event string
	var latest bool
	c := &cobra.Command{
		Use: "list", Short: "List passports, latest first", Args: noArgs,
		Example: "  caos passport list --model NN-DLY-001 --event FREEZE",
		RunE: func(c *cobra.Command, _ []string) error {
			if event = strings.ToUpper(event); event != "" {
				if err := oneOf("event", event, passportEvents()...); err != nil {
					return err
				}
			}
			l.query = query("model_id", model, "model_version", version, "lifecycle_event", event)
			if latest {
				l.query.Set("latest", "true")
			}
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&model, "model", "", "of this model")
	f.StringVar(&version, "version", "", "of this version of it")
	f.StringVar(&event, "event", "", "for the event "+strings.Join(passportEvents(), ", "))
	f.BoolVar(&latest, "latest", false, "of each model, version and event only the latest")
	words(c, "event", passportEvents())
	return c
}

func passportShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show PASSPORT", Short: "Show a passport, and where its public page is", Args: wants("PASSPORT"),
		RunE: func(c *cobra.Command, args []string) error {
			p, body, err := ask[dpp.Passport](c.Context(), e, getting(passportPath(args[0]), nil))
			if err != nil {
				return err
			}
			var history []dpp.Entry
			if !e.machine() {
				cl, err := e.connect()
				if err != nil {
					return err
				}
				if history, _, err = list[dpp.Entry](c.Context(), cl, passportPath(args[0])+"/history", nil, paging{limit: 50}); err != nil {
					return err
				}
			}
			return e.give(body, func() {
				e.passport(p)
				e.line("")
				e.table([]string{"happened", "kind", "subject", "by"}, rowsOf(history, func(x dpp.Entry) []string {
					return []string{moment(x.At), x.Kind, x.Subject, x.Actor}
				}))
			})
		},
	}
}

// passport writes a passport for people.
func (e *environment) passport(p *dpp.Passport) {
	transaction := ""
	if p.ChainTxID != nil {
		transaction = *p.ChainTxID + ", block " + strconv.FormatInt(p.ChainBlock, 10) + " of chain " + p.ChainID
	}
	e.pairs(pair{"passport", p.PassportID}, pair{"model", about(p.ModelID, p.Version)}, pair{"event", string(p.Event)}, pair{"baseline", p.BaselineID},
		pair{"root digest", p.RootDigest}, pair{"credential", p.Digest}, pair{"annex", p.AnnexDigest}, pair{"address", p.URI}, pair{"page", p.Page},
		pair{"issuer", p.Issuer}, pair{"issued", byWhom(moment(p.IssuedAt), p.IssuedBy)}, pair{"execution", p.ExecutionID}, pair{"audit record", p.RecordID},
		pair{"status list", orDash(p.StatusURI)}, pair{"transaction", transaction}, pair{"project", p.Project}, pair{"classification", p.Classification})
	if p.RevokedAt != nil {
		e.pairs(pair{"REVOKED", byWhom(moment(*p.RevokedAt), p.RevokedBy)}, pair{"reason", p.RevokeReason})
	}
	if p.ChainTxID == nil && p.ChainReason != "" {
		e.prose("not on a chain: %s", p.ChainReason)
	}
}

// passportLinks shows where all is that a passport hangs together with.
func passportLinks(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "links PASSPORT", Short: "Show what a passport hangs together with", Args: wants("PASSPORT"),
		Long: "Shows the addresses of the baseline's signed list of files, the report, evidence, deployments, lineage, the proof in the log and the transaction on the chain.",
		RunE: func(c *cobra.Command, args []string) error {
			l, body, err := ask[dpp.Links](c.Context(), e, getting(passportPath(args[0])+"/links", nil))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var list []pair
				for _, one := range []struct {
					name string
					at   *string
				}{{"credential", &l.Credential}, {"annex", &l.Annex}, {"status list", l.Status}, {"proof in the log", l.LogProof}, {"baseline", l.BaselineManifest},
					{"report", l.VVReport}, {"lineage", l.Lineage}, {"transaction", l.ChainTransaction}} {
					at := "none"
					if one.at != nil {
						at = *one.at
					}
					list = append(list, pair{one.name, at})
				}
				for _, at := range l.Evidence {
					list = append(list, pair{"evidence", at})
				}
				for _, at := range l.Deployments {
					list = append(list, pair{"deployment", at})
				}
				if l.IPFS != nil {
					list = append(list, pair{"IPFS", strings.TrimSpace(l.IPFS.State + " " + l.IPFS.Error)})
				}
				e.pairs(list...)
			})
		},
	}
}

func passportRevoke(e *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "revoke PASSPORT --reason TEXT", Short: "Say that a passport must not be relied on any more, for good", Args: wants("PASSPORT"),
		Long: "Revokes a passport. Its signature stays what it is; its page, and the signed status list that it names, say that it counts no more. " +
			"It cannot be undone. It needs a second factor, and the role configuration-manager, qa-lead or certification.",
		Example: "  caos passport revoke DPP-NN-DLY-001-1.0.0-FREEZE --reason 'the report on which it was frozen was withdrawn'",
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usage("a passport is revoked with a reason").WithField("reason").WithHint("give --reason")
			}
			p, body, err := ask[dpp.Passport](c.Context(), e, posting(passportPath(args[0])+"/revoke", httpapi.PassportRevokeBody{Reason: reason}))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				e.line("%s is revoked: %s says so from now on", clean(p.PassportID), clean(orDash(p.StatusURI)))
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who may read the passport")
	return c
}

func passportGet(e *environment) *cobra.Command {
	var out string
	var force, annex, proof, status bool
	c := &cobra.Command{
		Use: "get PASSPORT --out FILE", Short: "Download a passport's credential, or what belongs to it", Args: wants("PASSPORT"),
		Long: "Downloads the W3C Verifiable Credential, which anyone may have. With --proof, what shows that the audit log has it; with --status, the signed list that says " +
			"whether it was revoked: caos verify takes both. With --annex the part that is for those who may read passports.",
		RunE: func(c *cobra.Command, args []string) error {
			page := "/dpp/" + escape(args[0])
			what := page + "/credential"
			switch {
			case annex && proof || annex && status || proof && status:
				return usage("one file at a time").WithField("proof").WithHint("give one of --annex, --proof and --status")
			case annex:
				what = passportPath(args[0]) + "/annex"
			case proof:
				what = page + "/proof"
			case status:
				p, _, err := ask[dpp.Passport](c.Context(), e, getting(passportPath(args[0]), nil))
				if err != nil {
					return err
				}
				if p.StatusList == 0 {
					return caos.Errorf(caos.NotFound, "%s names no status list: it was issued before there were any", p.PassportID).WithField("status")
				}
				what = dpp.StatusPath(p.StatusList)
			}
			return e.download(c.Context(), what, out, force)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, - for standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that exists")
	c.Flags().BoolVar(&annex, "annex", false, "the annex instead of the credential")
	c.Flags().BoolVar(&proof, "proof", false, "the proof that the audit log has it")
	c.Flags().BoolVar(&status, "status", false, "the status list that it names")
	_ = c.MarkFlagRequired("out")
	return c
}
