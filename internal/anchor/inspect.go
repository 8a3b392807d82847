package anchor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/location"
	"caos/internal/verify"
)

// Inspection checks what others have of a log, and what was kept of it, without a server. Its
// method Held goes into auditlog.VerifyOptions.
type Inspection struct {
	Files     []string         // that checkpoints were appended to
	S3        string           // s3://bucket/prefix that they were written below, "" for none
	Outsiders verify.Outsiders // whose words can be checked
	Servers   []string         // addresses of the time-stamp servers whose certificates Outsiders has
	Locations *location.Locations
	Chains    *verify.Chains // whom to ask about entries on chains; nil asks nobody

	skipped map[string]int
}

// maxAsked is how many entries of one registry are asked about, the newest ones: each takes a
// few requests, and an older one stands under a newer.
const maxAsked = 1000

// Skipped lists what could not be checked, with how often.
func (i *Inspection) Skipped() (list []string) {
	for _, what := range slices.Sorted(maps.Keys(i.skipped)) {
		list = append(list, fmt.Sprintf("%s: %d", what, i.skipped[what]))
	}
	return list
}

func (i *Inspection) skip(what string) {
	if i.skipped == nil {
		i.skipped = map[string]int{}
	}
	i.skipped[what]++
}

// Held hands over every anchor that the database has, every checkpoint in the files and the
// bucket, and the newest that each registry has.
func (i *Inspection) Held(ctx context.Context, d auditlog.Reader, each func(auditlog.Held)) error {
	x := &inspector{Inspection: i, ctx: ctx, d: d, each: each, trust: verify.Trust{Version: 1, Origin: "none.invalid"}, kept: map[string]bool{}, asked: map[string]int{}}
	if err := x.trust.Admit(i.Outsiders); err != nil {
		return err
	}
	if err := x.readOrigins(); err != nil {
		return err
	}
	if err := x.readRows(); err != nil {
		return err
	}
	for _, name := range i.Files {
		if err := x.readFile(name); err != nil {
			return err
		}
	}
	for _, origin := range x.origins {
		if err := x.readBucket(origin); err != nil {
			return err
		}
		x.askRegistries(origin)
	}
	return nil
}

// inspector is one inspection.
type inspector struct {
	*Inspection
	ctx     context.Context
	d       auditlog.Reader
	each    func(auditlog.Held)
	trust   verify.Trust // the outsiders alone
	origins []string     // of the log and of those that recoveries closed
	kept    map[string]bool
	asked   map[string]int // by registry
}

func (x *inspector) readOrigins() error {
	rows, err := x.d.Query(x.ctx, `SELECT origin FROM log_head UNION SELECT origin FROM log_closed`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var origin string
		if err := rows.Scan(&origin); err != nil {
			return err
		}
		x.origins = append(x.origins, origin)
	}
	return rows.Err()
}

// readRows checks the anchors that the database has, the newest first.
func (x *inspector) readRows() error {
	rows, err := x.d.Query(x.ctx, `SELECT `+anchorColumns+` FROM anchors WHERE state = 'CONFIRMED' ORDER BY origin, size DESC, kind, destination`)
	if err != nil {
		x.skip("anchors: the database has no table of them, and is from before there were any")
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		a, err := scanAnchor(rows.Scan)
		if err != nil {
			return err
		}
		x.row(a)
	}
	return rows.Err()
}

// row checks one anchor: that it is of the checkpoint it carries, and what its destination
// swore.
func (x *inspector) row(a *Anchor) {
	h := auditlog.Held{From: fmt.Sprintf("%s %s (%s)", a.Kind, a.Destination, a.AnchorID), Origin: a.Origin}
	defer func() { x.each(h) }()
	c, err := pointOf([]byte(a.Checkpoint))
	switch {
	case err != nil:
		h.Problem = "its checkpoint cannot be read: " + caos.AsError(err).Message
		return
	case c.Origin != a.Origin || c.Size != a.Size || c.Root.String() != a.Root:
		h.Problem = fmt.Sprintf("its row is of %d leaves with the root %s, its checkpoint of %d with the root %s", a.Size, a.Root, c.Size, c.Root)
		return
	}
	h.Size, h.Root, h.Signed = c.Size, c.Root, []byte(a.Checkpoint)
	switch a.Kind {
	case verify.AnchorWitness:
		h.Problem = x.cosigned(a)
	case verify.AnchorTimestamp:
		h.Problem = x.stamped(a)
	case verify.AnchorChain:
		h.Problem = x.onChain(a)
	default: // looked for where it lies
		x.kept[a.Kind+" "+a.Destination+" "+a.Origin+" "+strconv.FormatInt(a.Size, 10)] = true
	}
}

func (x *inspector) cosigned(a *Anchor) string {
	if len(x.trust.Witnesses) == 0 {
		x.skip("cosignatures: no witness is configured or in the trust file")
		return ""
	}
	by, err := verify.Cosignatures([]byte(a.Checkpoint), x.trust)
	switch {
	case err != nil:
		return caos.AsError(err).Error()
	case len(by) == 0 && !slices.ContainsFunc(x.trust.Witnesses, func(key string) bool { return strings.HasPrefix(key, a.Destination+"+") }):
		x.skip("cosignatures of " + a.Destination + ": its key is neither configured nor in the trust file")
	case len(by) == 0:
		return "it has no cosignature by a witness that is known"
	}
	return ""
}

func (x *inspector) stamped(a *Anchor) string {
	if len(x.Outsiders.Certificates) == 0 {
		x.skip("time stamps: no certificate of a server is configured or in the trust file")
		return ""
	}
	_, err := verify.CheckTimestamp(a.Proof, []byte(a.Checkpoint), x.Outsiders.Certificates)
	if err != nil && len(x.Servers) > 0 && !slices.Contains(x.Servers, a.Destination) {
		x.skip("time stamps of " + a.Destination + ": it is not configured, and leads to no certificate that is")
		return ""
	}
	return problemOf(err)
}

// onChain asks the registry whether it has what the row says.
func (x *inspector) onChain(a *Anchor) string {
	i := slices.IndexFunc(x.Outsiders.Chains, func(c verify.TrustChain) bool {
		return c.ChainID == a.ChainID && strings.EqualFold(c.Registry, a.Address)
	})
	switch {
	case x.Chains == nil:
		x.skip("entries on a chain: not checked (give --ethereum URL)")
		return ""
	case i < 0:
		x.skip(fmt.Sprintf("entries in the registry %s of chain %d: it is neither configured nor in the trust file", a.Address, a.ChainID))
		return ""
	case !x.Chains.Reaches(x.Outsiders.Chains[i]):
		x.skip(fmt.Sprintf("entries on the chain %d: none of its nodes was named (give --ethereum URL)", a.ChainID))
		return ""
	case x.asked[a.Destination] >= maxAsked:
		x.skip(fmt.Sprintf("entries on the chain %d that are older than the newest %d", a.ChainID, maxAsked))
		return ""
	}
	x.asked[a.Destination]++
	_, _, err := x.Chains.CheckAnchor(x.ctx, x.Outsiders.Chains[i], a.File())
	return problemOf(err)
}

func problemOf(err error) string {
	if err == nil {
		return ""
	}
	return caos.AsError(err).Error()
}

// askRegistries asks for the largest tree of a log that is recorded: one that is larger than
// the log shows that the log was cut, though the database knows nothing of it any more. Then
// for all others: a log that was cut, rewritten, and anchored anew when it had grown beyond
// what it was, is found out by those alone that it had before.
func (x *inspector) askRegistries(origin string) {
	for _, chain := range x.Outsiders.Chains {
		if !x.Chains.Reaches(chain) {
			continue
		}
		h := auditlog.Held{From: fmt.Sprintf("the registry %s on the chain %d", chain.Registry, chain.ChainID), Origin: origin}
		got, err := x.Chains.LastAnchor(x.ctx, chain, origin)
		h.Problem = problemOf(err)
		if err == nil && got.Exists {
			h.Size, h.Root = got.Size, tlog.Hash(got.Root)
		}
		x.each(h)
		if err == nil && got.Exists {
			x.askEvents(chain, h)
		}
	}
}

// askEvents asks for every tree that a registry has told of. last is the largest.
func (x *inspector) askEvents(chain verify.TrustChain, last auditlog.Held) {
	unknown := fmt.Sprintf("checkpoints on the chain %d that the database may have lost", chain.ChainID)
	list, err := x.Chains.AnchorsOf(x.ctx, chain, last.Origin)
	if err != nil {
		x.skip(unknown + ": " + caos.AsError(err).Error())
		return
	}
	complete := false
	for _, a := range list {
		complete = complete || a.Size == last.Size && tlog.Hash(a.Root) == last.Root
		if a.Size != last.Size {
			x.each(auditlog.Held{From: last.From, Origin: last.Origin, Size: a.Size, Root: tlog.Hash(a.Root)})
		}
	}
	if !complete {
		x.skip(unknown + ": its nodes do not list all events of the registry")
	}
}

// readFile compares the checkpoints of this log in a file.
func (x *inspector) readFile(name string) error {
	from := "file " + name
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if x.keeps(verify.AnchorFileKind, name) {
			x.each(auditlog.Held{From: from, Problem: "the file is gone, though checkpoints were written to it"})
		}
		return nil
	}
	err := auditlog.NewFileSink(name).All(x.ctx, func(signed []byte) error {
		h := auditlog.Held{From: from}
		c, err := pointOf(signed)
		switch {
		case err != nil:
			h.Problem = "there is what is no checkpoint: " + caos.AsError(err).Message
		case !slices.Contains(x.origins, c.Origin):
			x.skip("checkpoints of other logs in files")
			return nil
		default:
			h.Origin, h.Size, h.Root, h.Signed = c.Origin, c.Size, c.Root, slices.Clone(signed)
			delete(x.kept, strings.Join([]string{verify.AnchorFileKind, name, c.Origin, strconv.FormatInt(c.Size, 10)}, " "))
		}
		x.each(h)
		return nil
	})
	if err != nil {
		return err
	}
	for key := range x.kept {
		if rest, ok := strings.CutPrefix(key, verify.AnchorFileKind+" "+name+" "); ok {
			x.each(auditlog.Held{From: from, Problem: "the checkpoint that was written to it is gone: " + rest})
		}
	}
	return nil
}

// keeps reports whether the database has an anchor of a destination.
func (x *inspector) keeps(kind, destination string) bool {
	for key := range x.kept {
		if strings.HasPrefix(key, kind+" "+destination+" ") {
			return true
		}
	}
	return false
}

// readBucket compares the checkpoints of a log in the bucket, and looks for those that it was
// given and has no more.
func (x *inspector) readBucket(origin string) error {
	if x.S3 == "" {
		return nil
	}
	if x.Locations == nil {
		x.skip("objects in " + x.S3 + ": not checked (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that may read them)")
		return nil
	}
	base := strings.TrimRight(x.S3, "/") + "/"
	folder, scope := ObjectFolder(base, origin), location.Scope{Classification: "Internal"}
	for after := ""; ; {
		page, err := x.Locations.ListAfter(x.ctx, folder, after, 1000, scope)
		if err != nil {
			return err
		}
		for _, uri := range page {
			if err := x.object(base, origin, uri, scope); err != nil {
				return err
			}
			after = path.Base(uri)
		}
		if len(page) < 1000 {
			break
		}
	}
	for key := range x.kept {
		if size, ok := strings.CutPrefix(key, strings.Join([]string{verify.AnchorObject, base, origin, ""}, " ")); ok {
			x.each(auditlog.Held{From: "bucket " + base, Problem: "the checkpoint of " + size + " leaves is gone, although it was locked"})
		}
	}
	return nil
}

func (x *inspector) object(base, origin, uri string, scope location.Scope) error {
	text, err := x.Locations.GetLocked(x.ctx, uri, scope)
	if err != nil {
		return err
	}
	h := auditlog.Held{From: "bucket " + uri}
	c, err := pointOf(text)
	switch {
	case err != nil:
		h.Problem = "is no checkpoint: " + caos.AsError(err).Message
	case c.Origin != origin || path.Base(uri) != objectName(c.Size):
		h.Problem = fmt.Sprintf("is the checkpoint of %d leaves of %s", c.Size, c.Origin)
	default:
		h.Origin, h.Size, h.Root, h.Signed = c.Origin, c.Size, c.Root, text
		delete(x.kept, strings.Join([]string{verify.AnchorObject, base, origin, strconv.FormatInt(c.Size, 10)}, " "))
	}
	x.each(h)
	return nil
}

// Certificates reads the certificates of a time-stamp server, in PEM.
func (t Timestamp) Certificates() ([]*x509.Certificate, error) {
	d, err := newStamper(&Service{}, t)
	if err != nil {
		return nil, err
	}
	return d.trusted, nil
}
