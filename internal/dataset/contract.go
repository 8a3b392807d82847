package dataset

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/contract"
	"caos/internal/db"
	"caos/internal/event"
)

// Contract is a registered version of a data contract: its text is the Open Data Contract
// Standard's, which package contract reads.
type Contract struct {
	ContractID     string    `json:"contract_id"`
	Version        string    `json:"version"`
	Name           string    `json:"name"`
	Status         string    `json:"status"` // as the document says: active, draft …
	Objects        []string  `json:"objects"`
	Checks         int       `json:"checks"`
	Digest         string    `json:"digest"` // SHA256:… of the document's canonical JSON, of package contract
	Latest         bool      `json:"latest"`
	Project        string    `json:"project"` // "" for one that every project may use
	Classification string    `json:"classification"`
	RegisteredAt   time.Time `json:"registered_at"`
	RegisteredBy   string    `json:"registered_by"`

	Text []byte `json:"-"` // as it was written, for contract.Parse; not in lists
}

// ContractFilter chooses contracts; empty fields match all. Lists show the latest versions.
type ContractFilter struct {
	Project string
	Limit   int // of a page; 0 means 100, the most is 1000
}

// EventContractRegistered is the event of a contract: contract_id, version, digest.
const EventContractRegistered = "caos.contract.registered"

// maxContract bounds a contract's text, as package contract does.
const maxContract = 1 << 20

// contractVersion is a version of a contract: one to three numbers, so that one is higher
// than another.
var contractVersion = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,2}$`)

// ReadContract reads a contract's text, YAML or JSON, and says what is to be stored of it. It
// takes its time: call it before the transaction. Project and Classification are the
// caller's. Errors: those of contract.Parse, and Invalid for a version without an order.
func ReadContract(text []byte) (Contract, error) {
	c, err := contract.Parse(text)
	if err != nil {
		return Contract{}, err
	}
	out := Contract{ContractID: c.ID, Version: c.Version, Name: c.Name, Status: c.Status, Objects: []string{}, Digest: c.Digest, Text: text}
	for i := range c.Objects {
		out.Objects = append(out.Objects, c.Objects[i].Name)
		out.Checks += len(c.Objects[i].Checks)
	}
	return out, out.check()
}

// check refuses what cannot be stored as a contract.
func (c *Contract) check() error {
	if err := caos.CheckID("document", "id", c.ContractID); err != nil {
		return err
	}
	switch {
	case !contractVersion.MatchString(c.Version):
		return caos.Errorf(caos.Invalid, "%.40q is not a version of a contract", c.Version).WithField("version").WithHint(`write one to three numbers in quotes, such as "1.2.0"`)
	case len(c.Text) > maxContract || !db.Storable(string(c.Text)):
		return caos.Errorf(caos.Invalid, "a contract is text of at most %d bytes", maxContract)
	case len(c.Name) > maxTitle || !printable(c.Name):
		return caos.Errorf(caos.Invalid, "a name has at most %d bytes", maxTitle).WithField("name")
	case len(c.Status) > 100 || !printable(c.Status):
		return caos.Errorf(caos.Invalid, "a status has at most 100 bytes").WithField("status")
	case c.Project != "" && !projectWord.MatchString(c.Project):
		return caos.Errorf(caos.Invalid, "%.80q is not a project", c.Project).WithField("project")
	}
	return nil
}

// ParseContractRef splits "95-00-09-02-004@1.2.0" into id and version, "" for the latest.
func ParseContractRef(ref string) (id, version string, err error) {
	id, version, versioned := strings.Cut(ref, "@")
	if caos.CheckID("document", "contract", id) != nil || versioned && !contractVersion.MatchString(version) {
		return "", "", caos.Errorf(caos.Invalid, "%.80q does not name a contract", ref).WithField("contract").WithRule("contract-form").
			WithHint("write its id, such as 95-00-09-02-004, or id@version")
	}
	return id, version, nil
}

// Ref names the version as definitions do.
func (c *Contract) Ref() string { return c.ContractID + "@" + c.Version }

const contractColumns = `contract_id, version, name, status, objects, checks, digest, latest, project, classification, registered_at, registered_by`

func scanContract(scan func(...any) error, further ...any) (*Contract, error) {
	var c Contract
	var objects string
	var registered, checks int64
	var latest int
	err := scan(append([]any{&c.ContractID, &c.Version, &c.Name, &c.Status, &objects, &checks, &c.Digest, &latest, &c.Project, &c.Classification, &registered, &c.RegisteredBy},
		further...)...)
	if err != nil {
		return nil, err
	}
	c.RegisteredAt, c.Latest, c.Checks = db.Moment(registered), latest == 1, int(checks)
	return &c, readJSON(objects, &c.Objects)
}

// getContract returns a version of a contract, the latest for "", or nil. The text is large
// and read on demand.
func getContract(q query, id, version string, text bool) (*Contract, error) {
	if caos.CheckID("document", "contract_id", id) != nil || !db.Storable(version) {
		return nil, nil
	}
	columns, where, args := contractColumns+`, ''`, `contract_id = $1 AND latest = 1`, []any{id}
	if text {
		columns = contractColumns + `, source_text`
	}
	if version != "" {
		where, args = `contract_id = $1 AND version = $2`, append(args, version)
	}
	var c *Contract
	err := q(`SELECT `+columns+` FROM contracts WHERE `+where, args, func(scan func(...any) error) (err error) {
		var source string
		c, err = scanContract(scan, &source)
		if err == nil {
			c.Text = []byte(source)
		}
		return err
	})
	return c, err
}

func findContract(q query, id, version string) (*Contract, error) {
	c, err := getContract(q, id, version, true)
	if err != nil || c != nil {
		return c, err
	}
	if version != "" {
		if latest, err := getContract(q, id, "", false); err != nil {
			return nil, err
		} else if latest != nil {
			return nil, caos.Errorf(caos.NotFound, "there is no version %.40q of contract %s", version, id).WithField("version").WithHint("the latest is %s", latest.Version)
		}
	}
	return nil, caos.Errorf(caos.NotFound, "there is no contract %.80q, or it is not for you", id).WithField("contract_id").WithHint("caos contract list shows those there are")
}

// RegisterContract stores a version of a contract that ReadContract read. The same content
// again answers the same. Errors: Conflict, with the rule, for a version that there is with
// another content, one that is not higher than the latest, another project, or a
// classification below that of the latest version.
func (d *Datasets) RegisterContract(tx *db.Tx, c Contract, by By) (*Contract, error) {
	if c.Classification == "" {
		c.Classification = "Internal"
	}
	if err := errors.Join(c.check(), caos.CheckWord("classification", c.Classification, caos.Classifications())); err != nil {
		return nil, err
	}
	latest, err := getContract(within(tx), c.ContractID, "", false)
	if err != nil {
		return nil, err
	}
	number := int64(1)
	if latest != nil {
		same, err := getContract(within(tx), c.ContractID, c.Version, true)
		if err != nil {
			return nil, err
		}
		if same != nil && same.Digest == c.Digest && same.Project == c.Project && same.Classification == c.Classification {
			return same, nil
		}
		if err := c.follows(latest, same); err != nil {
			return nil, err
		}
		if err := tx.QueryRow(`SELECT MAX(number) + 1 FROM contracts WHERE contract_id = $1`, c.ContractID).Scan(&number); err != nil {
			return nil, err
		}
	}
	now := d.now()
	c.RegisteredAt, c.RegisteredBy, c.Latest, c.Objects = now, by.Actor, true, codec.Listed(c.Objects)
	tx.Exec(`UPDATE contracts SET latest = 0 WHERE contract_id = $1 AND latest = 1`, c.ContractID)
	tx.Exec(`INSERT INTO contracts (contract_id, version, number, latest, name, status, objects, checks, digest, source_text, project, classification, registered_at, registered_by)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		c.ContractID, c.Version, number, c.Name, c.Status, codec.ListJSON(c.Objects), int64(c.Checks), c.Digest, string(c.Text), c.Project, c.Classification, now.UnixMicro(), by.Actor)
	details := map[string]any{"event": "contract registered", "version": c.Version, "digest": c.Digest}
	return &c, errors.Join(tx.Err(),
		d.record(tx, by, auditlog.Record{Resources: []string{c.ContractID}, Details: details, Project: c.Project, Classification: c.Classification}),
		d.events.Emit(tx, event.Event{Type: EventContractRegistered, Subject: c.ContractID, Project: c.Project, Classification: c.Classification,
			Data: map[string]any{"contract_id": c.ContractID, "version": c.Version, "digest": c.Digest}}))
}

// follows refuses what cannot be the next version of a contract.
func (c *Contract) follows(latest, same *Contract) error {
	switch {
	case same != nil && same.Digest != c.Digest:
		return caos.Errorf(caos.Conflict, "there is a version %s of contract %s with another content", c.Version, c.ContractID).WithField("version").WithRule(RuleVersionTaken).
			WithHint("versions never change: write one higher than %s", latest.Version)
	case c.Project != latest.Project:
		return caos.Errorf(caos.Conflict, "contract %s belongs to project %q", c.ContractID, latest.Project).WithField("project").WithRule(RuleProject).
			WithHint("register it under another id")
	case caos.Sensitivity(c.Classification) < caos.Sensitivity(latest.Classification):
		return caos.Errorf(caos.Conflict, "contract %s is %s already", c.ContractID, latest.Classification).WithField("classification").WithRule(RuleClassification).
			WithHint("keep it at %s or above", latest.Classification)
	case same != nil:
		return caos.Errorf(caos.Conflict, "version %s of contract %s is %s", c.Version, c.ContractID, same.Classification).WithField("classification").WithRule(RuleVersionTaken).
			WithHint("versions never change: write one higher than %s", latest.Version)
	case !higher(c.Version, latest.Version):
		return caos.Errorf(caos.Conflict, "%s is not higher than %s, the latest version of contract %s", c.Version, latest.Version, c.ContractID).WithField("version").
			WithRule(RuleVersionOrder).WithHint("write a version higher than %s", latest.Version)
	}
	return nil
}

// Contract returns a version of a contract, the latest if version is "", or a NotFound error.
func (d *Datasets) Contract(ctx context.Context, id, version string) (*Contract, error) {
	return findContract(d.pool(ctx), id, version)
}

// ContractIn is Contract as a transaction sees it.
func (d *Datasets) ContractIn(tx *db.Tx, id, version string) (*Contract, error) {
	return findContract(within(tx), id, version)
}

// Contracts lists the latest versions, latest registered first; without their texts.
func (d *Datasets) Contracts(ctx context.Context, f ContractFilter, cursor string) ([]*Contract, string, error) {
	w := new(db.Where)
	w.And("latest = 1")
	w.Is("project", f.Project)
	return db.Page(d.pool(ctx), w, db.Listing[*Contract]{Columns: contractColumns, From: "contracts", At: "registered_at", ID: "contract_id", Limit: f.Limit,
		Scan: func(scan func(...any) error) (*Contract, error) { return scanContract(scan) },
		Key:  func(c *Contract) (time.Time, string) { return c.RegisteredAt, c.ContractID },
	}, cursor)
}

// ContractVersions lists the versions of a contract, the highest first; without their texts.
func (d *Datasets) ContractVersions(ctx context.Context, id string, limit int, cursor string) ([]*Contract, string, error) {
	w := new(db.Where)
	if w.Is("contract_id", id); id == "" {
		w.And("1 = 0")
	}
	return db.Page(d.pool(ctx), w, db.Listing[*Contract]{Columns: contractColumns, From: "contracts", At: "registered_at", ID: "version", Limit: limit,
		Scan: func(scan func(...any) error) (*Contract, error) { return scanContract(scan) },
		Key:  func(c *Contract) (time.Time, string) { return c.RegisteredAt, c.Version },
	}, cursor)
}
