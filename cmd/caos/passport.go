package main

import (
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/dpp"
)

func newPassport(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/passports", "passport_id", "event"), passportShow(e), passportGet(e))
	return parent("passport", "See digital product passports", append([]*cobra.Command{passportList(e)}, named...)...)
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
	l := listed[dpp.Passport]{path: "/v1/passports", head: []string{"passport", "event", "baseline", "issued", "by"}, drop: []string{"event"}, row: func(p dpp.Passport) []string {
		return []string{p.PassportID, string(p.Event), orDash(p.BaselineID), moment(p.IssuedAt), p.IssuedBy}
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
	e.pairs(pair{"passport", p.PassportID}, pair{"model", about(p.ModelID, p.Version)}, pair{"event", string(p.Event)}, pair{"baseline", p.BaselineID},
		pair{"root digest", p.RootDigest}, pair{"credential", p.Digest}, pair{"annex", p.AnnexDigest}, pair{"address", p.URI}, pair{"page", p.Page},
		pair{"issuer", p.Issuer}, pair{"issued", byWhom(moment(p.IssuedAt), p.IssuedBy)}, pair{"execution", p.ExecutionID}, pair{"audit record", p.RecordID},
		pair{"project", p.Project}, pair{"classification", p.Classification})
	switch {
	case p.ChainTxID != nil:
		e.pairs(pair{"transaction", *p.ChainTxID})
	case p.ChainReason != "":
		e.prose("not on a chain: %s", p.ChainReason)
	}
}

func passportGet(e *environment) *cobra.Command {
	var out string
	var force, annex bool
	c := &cobra.Command{
		Use: "get PASSPORT --out FILE", Short: "Download a passport's credential, or its annex", Args: wants("PASSPORT"),
		Long: "Downloads the W3C Verifiable Credential, which anyone may have, or with --annex the part that is for those who may read passports.",
		RunE: func(c *cobra.Command, args []string) error {
			what := "/dpp/" + escape(args[0]) + "/credential"
			if annex {
				what = passportPath(args[0]) + "/annex"
			}
			return e.download(c.Context(), what, out, force)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, - for standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that exists")
	c.Flags().BoolVar(&annex, "annex", false, "the annex instead of the credential")
	_ = c.MarkFlagRequired("out")
	return c
}
