package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/readiness"
	"caos/internal/verify"
)

func newReview(e *environment) *cobra.Command {
	return parent("review", "See readiness reviews and get their reports", append([]*cobra.Command{reviewList(e)},
		completed(e.ids("/v1/reviews", "prr_id", "status"), reviewShow(e), reviewReport(e))...)...)
}

func reviewPath(id string) string { return "/v1/reviews/" + escape(id) }

func (e *environment) reviewOf(ctx context.Context, arg string) (string, error) {
	return e.latest(ctx, arg, "/v1/reviews", "prr_id", "review")
}

func (e *environment) readReview(ctx context.Context, id string) (*readiness.Review, []byte, error) {
	return ask[readiness.Review](ctx, e, getting(reviewPath(id), nil))
}

func reviewList(e *environment) *cobra.Command {
	l := listed[readiness.Review]{path: "/v1/reviews", head: []string{"review", "status", "best", "decision", "closes", "opened", "by", "board"}, drop: []string{"opened", "by", "best", "closes"},
		row: func(x readiness.Review) []string {
			return []string{x.PRRID, string(x.Status), orDash(x.Best), orDash(x.Decision), x.PRRDate, moment(x.OpenedAt), x.RequestedBy, strings.Join(x.Members, ", ")}
		}}
	var model, version, baseline, status, project string
	c := &cobra.Command{
		Use: "list", Short: "List reviews, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "model_version", version, "baseline_id", baseline, "status", strings.ToUpper(status), "project", project)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&model, "model", "", "of this model")
	f.StringVar(&version, "model-version", "", "of this version of it")
	f.StringVar(&baseline, "baseline", "", "of this baseline")
	f.StringVar(&status, "status", "", "that is "+strings.Join(readiness.ReviewStatuses(), ", "))
	f.StringVar(&project, "project", "", "of this project")
	words(c, "status", readiness.ReviewStatuses())
	return c
}

func reviewShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show REVIEW", Short: "Show a review: who voted how, the conditions, what happens next", Args: wants("REVIEW"),
		Long: "Shows a review: the best decision that its findings allow, who has voted how and by which proof (signatures are checked here), " +
			"what the quorum lacks, the conditions, and what happens next. Instead of its id MODEL@VERSION will do.",
		Example: "  caos review show PRR-NN-DLY-001-1.0.0\n  caos review show NN-DLY-001@1.0.0",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.reviewOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			x, body, err := e.readReview(c.Context(), id)
			if err != nil {
				return err
			}
			return e.give(body, func() { e.review(x) })
		},
	}
}

// review writes a review for people.
func (e *environment) review(x *readiness.Review) {
	e.reviewHead(x)
	e.line("")
	e.votes(x)
	e.conditions(x)
	e.next(x)
}

// reviewHead writes what is reviewed and how it stands.
func (e *environment) reviewHead(x *readiness.Review) {
	closes := moment(x.ClosesAt)
	if x.Status == readiness.ReviewVoting {
		closes += " (" + left(x.ClosesAt, e.now()) + ")"
	}
	decision := x.Decision
	if x.BoardDecision != "" && x.BoardDecision != x.Decision {
		decision += " (the board decided " + x.BoardDecision + ")"
	}
	report := ""
	if x.ReportID != "" {
		report = x.ReportID + " " + x.ReportVersion
	}
	e.pairs(pair{"review", x.PRRID}, pair{"about", about(x.ModelID, x.Version) + ", baseline " + x.BaselineID}, pair{"safety level", x.SafetyLevel}, pair{"status", string(x.Status)},
		pair{"best possible", best(x)}, pair{"decision", decision}, pair{"asked by", byWhom(moment(x.OpenedAt), x.RequestedBy)}, pair{"vote closes", closes},
		pair{"report", report}, pair{"checklist", x.ChecklistID}, pair{"execution", x.ExecutionID})
	e.pairs(pair{"digest", x.ReportDigest}) // by itself: with so short a name it fits a line of 80 columns
}

func best(x *readiness.Review) string {
	switch x.Best {
	case verify.OutcomeApproved:
		return "APPROVED: nothing stands against it"
	case verify.OutcomeConditional:
		return "CONDITIONAL: minor items are open"
	case verify.OutcomeRejected:
		return "REJECTED: the report's findings allow nothing better"
	}
	return x.Best
}

// votes writes who voted, how, and by which proof.
func (e *environment) votes(x *readiness.Review) {
	if x.Status == readiness.ReviewPreparing {
		e.line("%s", e.paint.dim("The report is being made; the vote opens when it is there."))
		return
	}
	rows := make([][]string, 0, len(x.Members)+1)
	of := map[string]*readiness.Vote{}
	for _, v := range x.Votes {
		of[v.Person] = v
	}
	row := func(person string, v *readiness.Vote, named bool) []string {
		part := "member"
		if !named {
			part = "-"
		}
		if v == nil {
			return []string{person, part, "-", "", ""}
		}
		if v.Role != "" && (v.Role != "prr-board" || !named) {
			if part == "-" {
				part = v.Role
			} else {
				part += ", " + v.Role
			}
		}
		return []string{person, part, v.Outcome, moment(v.DecidedAt), proofOf(&v.Decision)}
	}
	for _, m := range x.Members {
		rows = append(rows, row(m, of[m], true))
	}
	for _, v := range x.Votes {
		if !slices.Contains(x.Members, v.Person) {
			rows = append(rows, row(v.Person, v, false))
		}
	}
	e.fitted([]string{"voter", "as", "vote", "at", "proof"}, rows, "at", "as")
	for _, v := range x.Votes {
		if v.Comment != "" {
			e.flow(clean(v.Person)+": ", "  ", clean(v.Comment), e.paint.dim)
		}
	}
}

// conditions writes the conditions of a review, open ones first.
func (e *environment) conditions(x *readiness.Review) {
	if len(x.Conditions) == 0 {
		return
	}
	e.line("")
	e.line("%s", e.paint.bold("CONDITIONS"))
	list := slices.Clone(x.Conditions)
	slices.SortStableFunc(list, func(a, b *readiness.Condition) int { return closedLast(a) - closedLast(b) })
	for _, c := range list {
		e.condition(c)
	}
}

func closedLast(c *readiness.Condition) int {
	if c.Status == readiness.ConditionClosed {
		return 1
	}
	return 0
}

// condition writes one condition in two lines.
func (e *environment) condition(c *readiness.Condition) {
	mark, more := e.paint.warn("○"), "owner "+c.Owner+", due "+c.DueOn
	if c.Status == readiness.ConditionClosed {
		mark = e.paint.good("✓")
		more += ", closed " + byWhom(when(c.ClosedAt), c.ClosedBy) + " with " + strings.Join(c.Evidence, ", ")
	} else {
		more += " " + distance(daysLeft(c.DueOn, e.now()))
	}
	if len(c.AskedBy) > 0 {
		more += ", asked for by " + strings.Join(c.AskedBy, ", ")
	}
	e.flow("  "+mark+" "+e.paint.bold(clean(c.ConditionID))+"  ", "    ", clean(c.Text), asIs)
	e.flow("    ", "    ", clean(more), e.paint.dim)
}

// standing says how an open vote stands.
func standing(t *readiness.Standing) (say []string) {
	if t == nil {
		return nil
	}
	if t.Quorum {
		say = append(say, "the quorum is reached with "+orDash(t.Outcome)+"; until the vote closes the others may still vote, and one REJECTED rejects")
	}
	for _, m := range t.Missing {
		say = append(say, "missing for the quorum: "+m)
	}
	if len(t.Waiting) > 0 {
		say = append(say, "still to vote: "+strings.Join(t.Waiting, ", "))
	}
	if len(t.Barred) > 0 {
		say = append(say, "cannot vote, because they had a hand in the version: "+strings.Join(t.Barred, ", "))
	}
	return say
}

// next says what happens next, and who can do it how.
func (e *environment) next(x *readiness.Review) {
	var say []string
	id := x.PRRID
	switch x.Status {
	case readiness.ReviewPreparing:
		say = append(say, "wait for the report: caos execution watch "+x.ExecutionID)
	case readiness.ReviewVoting:
		say = append(say, standing(x.Standing)...)
		say = append(say, "read the report: caos review report "+id+" --out "+id+".html", "vote: caos vote "+id+" approve|conditional|reject --report "+id+".html")
	case readiness.ReviewConditional:
		open := slices.DeleteFunc(slices.Clone(x.Conditions), func(c *readiness.Condition) bool { return c.Status == readiness.ConditionClosed })
		if len(open) > 0 {
			verb := " conditions are open; somebody other than the owner of each"
			if len(open) == 1 {
				verb = " condition is open; somebody other than its owner, " + open[0].Owner + ","
			}
			say = append(say, number(len(open))+verb+" closes it: caos condition close "+open[0].ConditionID+" --evidence ID")
		}
		if len(say) == 0 {
			say = append(say, "every condition is closed; the version is made ready: caos execution watch "+x.ExecutionID)
		}
	case readiness.ReviewDecided:
		if x.Decision == verify.OutcomeRejected {
			say = append(say, "see what stands against it: caos why "+about(x.ModelID, x.Version)+" prr", "a second review may be asked for when it is resolved: caos prr "+about(x.ModelID, x.Version))
		} else {
			say = append(say, "give the release its scope and ask for it: caos release show "+about(x.ModelID, x.Version))
		}
	case readiness.ReviewFailed, readiness.ReviewCancelled:
		say = append(say, "why: caos execution show "+x.ExecutionID, "a second review may be asked for: caos prr "+about(x.ModelID, x.Version))
	}
	if len(say) == 0 {
		return
	}
	e.line("")
	e.line("%s", e.paint.bold("NEXT"))
	for _, s := range say {
		e.flow("  "+e.paint.accent("→")+" ", "    ", clean(s), asIs)
	}
}

// proofOf says how a decision is proven, having checked its signature and that what was
// signed is what the server tells of it.
func proofOf(d *readiness.Decision) string {
	s, err := verify.ParseDecision([]byte(d.Statement))
	if err != nil || s.Person != d.Person || s.What != d.What || s.Digest != d.Digest || s.Meaning != d.Meaning {
		return "THE STATEMENT SAYS SOMETHING ELSE"
	}
	switch d.Proof {
	case verify.ProofServer:
		return "asserted by server"
	case verify.ProofSSH:
		key, err := verify.VerifySSHSig([]byte(d.Signature), []byte(d.Statement), verify.DecisionNamespace)
		if err != nil {
			return "THE SIGNATURE DOES NOT VERIFY"
		}
		return "personal key " + key.Fingerprint()
	}
	return "unknown proof " + d.Proof
}

func reviewReport(e *environment) *cobra.Command {
	var out, format, version string
	var force bool
	c := &cobra.Command{
		Use: "report REVIEW --out FILE", Short: "Get the report of a review: HTML, PDF or JSON", Args: wants("REVIEW"),
		Long: "Downloads the report. Its form follows the name of the file: .html is what the board votes on, .pdf is for paper, .json has its facts. " +
			"Its bytes are compared with the digest that the review names. While the board votes it is edition 1.0; 2.0 has the decision, 3.0 the closed conditions.",
		Example: "  caos review report PRR-NN-DLY-001-1.0.0 --out report.html\n  caos review report NN-DLY-001@1.0.0 --out report.pdf",
		RunE: func(c *cobra.Command, args []string) error {
			if format == "" {
				format = strings.TrimPrefix(strings.ToLower(filepath.Ext(out)), ".")
				if out == "-" {
					format = "html"
				}
			}
			if err := oneOf("format", format, "html", "pdf", "json"); err != nil {
				return renamed(err, "format")
			}
			id, err := e.reviewOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.reportSaved(c.Context(), id, edition{format: format, version: version, out: out, force: force})
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "file to write, - for standard output")
	f.StringVar(&format, "format", "", "html, pdf or json; by the file's name if left out")
	f.StringVar(&version, "version", "", "edition such as 1.0; the latest if left out")
	f.BoolVar(&force, "force", false, "write over a file that exists")
	words(c, "format", []string{"html", "pdf", "json"})
	_ = c.MarkFlagRequired("out")
	return c
}

// edition is a form of a report that is wanted in a file.
type edition struct {
	format, version, out string
	force                bool
}

// reportSaved downloads a report, and writes it if it is what the review says.
func (e *environment) reportSaved(ctx context.Context, id string, w edition) error {
	x, _, err := e.readReview(ctx, id)
	if err != nil {
		return err
	}
	data, err := e.reportBytes(ctx, id, w.format, w.version)
	if err != nil {
		return err
	}
	digest := digestOfBytes(data)
	known := slices.IndexFunc(x.Editions, func(r readiness.ReviewReport) bool {
		return (w.version == "" || r.Version == w.version) && digest == map[string]string{"html": r.Digest, "pdf": r.PDFDigest, "json": r.FactsDigest}[w.format]
	})
	if known < 0 {
		return caos.Errorf(caos.Denied, "what the server gives out as the report has the digest %s, which the review does not name", digest).WithField("report").WithRule("report-differs").
			WithHint("nothing was written; show this to whoever runs the server")
	}
	if w.out == "-" {
		_, err := e.out.Write(data)
		return err
	}
	if err := writeWhole(w.out, w.force, func(to io.Writer) error {
		_, err := to.Write(data)
		return err
	}); err != nil {
		return err
	}
	version := x.Editions[known].Version
	return e.giveValue(map[string]any{"file": w.out, "size": len(data), "digest": digest, "version": version}, func() {
		e.line("%s  edition %s, %s  %s", w.out, clean(version), bytesOf(int64(len(data))), e.paint.dim(digest))
	})
}

func (e *environment) reportBytes(ctx context.Context, id, format, version string) ([]byte, error) {
	cl, err := e.connect()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = cl.Download(ctx, reviewPath(id)+"/report", query("format", format, "version", version), &bounded{&b, maxReport})
	return b.Bytes(), err
}

// maxReport is the most that a report is read into memory with.
const maxReport = 32 << 20

// reportRead makes sure that a vote is about the report that the person can read: the file
// that they name, or else what the server gives out. It returns how that was found.
func (e *environment) reportRead(ctx context.Context, x *readiness.Review, file string) (how string, err error) {
	if file != "" {
		data, err := e.readInput(file, maxReport)
		if err != nil {
			return "", err
		}
		switch digestOfBytes(data) {
		case x.ReportDigest:
			return "the same as " + file, nil
		case x.PDFDigest:
			return "of whose HTML " + file + " is the PDF", nil
		}
		for _, r := range x.Editions {
			if d := digestOfBytes(data); d == r.Digest || d == r.PDFDigest {
				return "", caos.Errorf(caos.Conflict, "%s is edition %s of the report, and the vote is on %s", file, r.Version, x.ReportVersion).WithField("report").WithRule("report-differs").
					WithHint("caos review report %s --version %s --out FILE", x.PRRID, x.ReportVersion)
			}
		}
		return "", caos.Errorf(caos.Conflict, "%s is not the report that is voted on: it has the digest %s, the report %s", file, digestOfBytes(data), x.ReportDigest).
			WithField("report").WithRule("report-differs").WithHint("get it with: caos review report %s --out FILE", x.PRRID)
	}
	data, err := e.reportBytes(ctx, x.PRRID, "html", x.ReportVersion)
	if err != nil {
		return "", err
	}
	if got := digestOfBytes(data); got != x.ReportDigest {
		return "", caos.Errorf(caos.Denied, "the report that the server gives out has the digest %s, and the review says %s", got, x.ReportDigest).WithField("report").
			WithRule("report-differs").WithHint("nothing was signed; show this to whoever runs the server")
	}
	return "downloaded and compared, " + bytesOf(int64(len(data))), nil
}

// bounded refuses to write more than it may.
type bounded struct {
	to   *bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, caos.Errorf(caos.TooLarge, "the report is longer than %s", bytesOf(maxReport))
	}
	return b.to.Write(p)
}

// findingsOf reads the findings of a review out of the execution that makes it: they are why
// its best decision is no better.
func (e *environment) findingsOf(ctx context.Context, x *readiness.Review) []caos.Finding {
	if x.ExecutionID == "" {
		return nil
	}
	_, body, err := ask[json.RawMessage](ctx, e, getting(executionPath(x.ExecutionID), nil))
	if err != nil { // who may vote need not be one who sees executions
		return nil
	}
	run, err := execution(body)
	if err != nil {
		return nil
	}
	return run.Findings
}

// summary is a review in the few lines that a voter reads first.
func (e *environment) summary(ctx context.Context, x *readiness.Review) {
	e.line("%s  %s", e.paint.bold(clean(x.PRRID)), clean(about(x.ModelID, x.Version)+", baseline "+x.BaselineID))
	at := fmt.Sprintf("%s, vote closes %s (%s), %s", clean(string(x.Status)), moment(x.ClosesAt), left(x.ClosesAt, e.now()), ratio(len(x.Votes), len(x.Members))+" have voted")
	e.flow("  ", "  ", at, e.paint.dim)
	e.flow("  best decision possible: ", "    ", best(x), e.verdict(x.Best))
	found := e.findingsOf(ctx, x)
	const most = 8
	for i, f := range found {
		if i == most {
			e.line("  %s", e.paint.dim(fmt.Sprintf("and %d more, in the report", len(found)-most)))
			break
		}
		e.flow("    "+e.paint.warn("•")+" "+e.paint.accent(clean(f.Rule))+" ", "      ", clean(f.Message), asIs)
	}
	e.flow("  report: ", "    ", clean(x.ReportID+" "+x.ReportVersion+", caos review report "+x.PRRID+" --out "+x.PRRID+".html"), asIs)
	e.line("")
}

// verdict is the colour of a decision.
func (e *environment) verdict(outcome string) func(string) string {
	switch outcome {
	case verify.OutcomeApproved, verify.OutcomeAuthorised:
		return e.paint.good
	case verify.OutcomeRejected:
		return e.paint.bad
	}
	return e.paint.warn
}
