package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"caos/examples/programme"
	"caos/internal/auditlog"
	"caos/internal/verify"
)

// prove checks the package and the log with nothing but files: the server is gone.
func (st *stage) prove(ctx context.Context) error {
	st.screen.chapter("The auditor proves it offline")
	if err := st.server.stop(); err != nil {
		return err
	}
	st.screen.good("the server has stopped: from here on there are only the packages and trust.json")
	r, err := st.check(st.exported)
	if err != nil {
		return err
	}
	st.screen.say("%s:", st.pkg+".caospkg")
	for _, c := range r.Checks {
		if !c.OK {
			st.screen.caught("%s", c.Says)
			for _, f := range c.Failures {
				st.screen.note("%s: %s", f.Entry, f.Problem)
			}
			continue
		}
		st.screen.good("%s", c.Says)
	}
	if err := st.proveModel(); err != nil {
		return err
	}
	sum, problems, err := st.checkLog(ctx, filepath.Join(st.data, "caos.db"))
	if err != nil {
		return err
	}
	st.screen.say("And the log in the data folder:")
	if len(problems) == 0 {
		st.screen.good("audit verify: %d records and %s hold", sum.Records, plural(sum.Checkpoints, "published checkpoint", "published checkpoints"))
	}
	for _, p := range problems {
		st.screen.caught("audit verify: %s: %s", p.ID, p.What)
	}
	st.result.Verified = r.OK && sum.Problems == 0
	if !st.result.Verified {
		return errors.New("the package or the log does not hold")
	}
	return nil
}

// check is what caos-verify does.
func (st *stage) check(file []byte) (*verify.Report, error) {
	return verify.Package(bytes.NewReader(file), int64(len(file)), st.trust, verify.PackageOptions{})
}

// checkLog is what caos audit verify does.
func (st *stage) checkLog(ctx context.Context, database string) (auditlog.Summary, []auditlog.Problem, error) {
	var problems []auditlog.Problem
	sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{Path: database, Published: []auditlog.Sink{auditlog.NewFileSink(st.published)},
		Trust: []verify.Trust{st.trust}, OnProblem: func(p auditlog.Problem) { problems = append(problems, p) }})
	return sum, problems, err
}

// tamper changes one byte of the package and one row of a copy of the database. Both must
// be found, and named.
func (st *stage) tamper(ctx context.Context) error {
	st.screen.chapter("And if somebody changes something?")
	packageFound, err := st.flipByte()
	if err != nil {
		return err
	}
	rowFound, err := st.changeRow(ctx)
	if err != nil {
		return err
	}
	voteFound, err := st.changeVote()
	if err != nil {
		return err
	}
	if st.result.TamperDetected = packageFound && rowFound && voteFound; !st.result.TamperDetected {
		return errors.New("a manipulation was not found")
	}
	return nil
}

func (st *stage) flipByte() (bool, error) {
	report, err := programme.Files.ReadFile(programme.JUnit)
	if err != nil {
		return false, err
	}
	at := bytes.Index(st.exported, report)
	if at < 0 {
		return false, errors.New("the package does not hold the test report")
	}
	at += len(report) / 2
	changed := bytes.Clone(st.exported)
	changed[at] ^= 1
	st.screen.say("One bit of byte %d of the package, inside the test report:", at)
	if err := os.WriteFile(filepath.Join(st.dir, "tampered.caospkg"), changed, 0o644); err != nil {
		return false, err
	}
	r, err := st.check(changed)
	if err != nil {
		return false, err
	}
	named := false
	for _, c := range r.Checks {
		for _, f := range c.Failures {
			named = named || strings.Contains(f.Entry, st.junit)
			st.screen.caught("%s: %s", f.Entry, f.Problem)
		}
	}
	return !r.OK && named, nil
}

// changeVote makes a vote in the model's package say something else.
func (st *stage) changeVote() (bool, error) {
	file, err := os.ReadFile(st.modelFile)
	if err != nil {
		return false, err
	}
	at := bytes.Index(file, []byte("CONDITIONAL: "+frozenModel))
	if at < 0 {
		return false, errors.New("the package does not hold the conditional vote")
	}
	changed := bytes.Clone(file)
	copy(changed[at:], "APPROVED   : ")
	st.screen.say("CONDITIONAL becomes APPROVED in the words of a vote, in the model's package:")
	r, err := st.check(changed)
	if err != nil {
		return false, err
	}
	named := false
	for _, c := range r.Checks {
		for _, f := range c.Failures {
			if strings.HasPrefix(f.Entry, "decisions/") && !named {
				named = true
				st.screen.caught("%s: %s", f.Entry, f.Problem)
			}
		}
	}
	return !r.OK && named, nil
}

func (st *stage) changeRow(ctx context.Context) (bool, error) {
	dir := filepath.Join(st.dir, "copy")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	database := filepath.Join(dir, "caos.db")
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(filepath.Join(st.data, "caos.db"+suffix), database+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	if err := falsify(ctx, database, st.freeze); err != nil {
		return false, err
	}
	st.screen.say("One word of the freeze decision's row, in a copy of the database:")
	sum, problems, err := st.checkLog(ctx, database)
	if err != nil {
		return false, err
	}
	named := false
	for _, p := range problems {
		named = named || p.ID == st.freeze
		st.screen.caught("%s (leaf %d): %s", p.ID, p.Index, p.What)
	}
	return sum.Problems > 0 && named, nil
}

// falsify lets a record say something else, as somebody with write access to the database
// could.
func falsify(ctx context.Context, database, record string) error {
	d, err := sql.Open("sqlite", database)
	if err != nil {
		return err
	}
	defer d.Close()
	res, err := d.ExecContext(ctx, `UPDATE audit_records SET record = replace(record, '"decision":"freeze"', '"decision":"reject"') WHERE id = ?`, record)
	if err != nil {
		return fmt.Errorf("change a row of the copy: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("change a row of the copy: %d rows: %w", n, err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// verifier is how the auditor's program is called from here: by its place beside this one,
// else as a subcommand.
func verifier() string {
	self, err := os.Executable()
	if err != nil {
		return "caos verify"
	}
	dir, err := os.Getwd()
	beside := filepath.Join(filepath.Dir(self), "caos-verify")
	if _, missing := os.Stat(beside); err != nil || missing != nil {
		return "caos verify"
	}
	if rel, err := filepath.Rel(dir, beside); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return beside
}

// curtain says what is left, and leaves the server running if it was asked to.
func (st *stage) curtain(context.Context) error {
	s := st.screen
	s.blank()
	fmt.Fprintf(s.w, "%s in %.1f s. Try it yourself:\n\n", s.p.good("Done"), st.result.Seconds)
	for _, file := range []string{st.result.Package, st.modelFile, filepath.Join(st.dir, "tampered.caospkg")} {
		s.command("%s %s \\", verifier(), file)
		s.command("    --trust %s", filepath.Join(st.dir, "trust.json"))
	}
	s.blank()
	s.say("What the board read: %s", filepath.Join(st.dir, st.reviewID+".pdf"))
	if !st.keep {
		s.blank()
		return nil
	}
	if err := st.start(st.address()); err != nil {
		return err
	}
	me := st.init.Users["certification"]
	s.blank()
	s.say("The server goes on at %s. As certification:", st.server.url)
	s.blank()
	s.command("export CAOS_URL=%s", st.server.url)
	s.command("export CAOS_CA=%s", st.init.CAFile)
	s.command("export CAOS_TOKEN=%s", me.Token)
	s.command("export CAOS_MFA_SECRET=%s", me.TOTPSecret)
	s.command("caos evidence list")
	kill := fmt.Sprintf("kill %d", st.server.cmd.Process.Pid)
	if st.ledger != nil {
		s.command("caos chain record list")
		kill += fmt.Sprintf(" %d", st.ledger.cmd.Process.Pid)
	}
	s.blank()
	s.say("It ends with")
	s.blank()
	s.command("%s", kill)
	s.blank()
	return nil
}
