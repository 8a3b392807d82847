package dataset

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
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
	Digest         string    `json:"digest"` // SHA256:…, of package contract
	Latest         bool      `json:"latest"`
	Project        string    `json:"project"` // "" for one that every project may use
	Classification string    `json:"classification"`
	RegisteredAt   time.Time `json:"registered_at"`
	RegisteredBy   string    `json:"registered_by"`

	Text []byte `json:"-"` // as it was written; for contract.Parse
}

// ContractFilter chooses contracts; empty fields match all. Lists show the latest versions.
type ContractFilter struct {
	Project string
	Limit   int
}

// EventContractRegistered is the event of a contract: contract_id, version, digest.
const EventContractRegistered = "caos.contract.registered"

// ReadContract reads a contract's text and says what is to be stored of it. It takes its
// time: call it before the transaction. Project and Classification are the caller's.
func ReadContract(text []byte) (Contract, error) {
	return Contract{}, caos.Errorf(caos.Unavailable, "not there yet")
}

// ParseContractRef splits "95-00-09-02-004@1.2.0" into id and version, "" for the latest.
func ParseContractRef(ref string) (id, version string, err error) {
	return "", "", caos.Errorf(caos.Unavailable, "not there yet")
}

// RegisterContract stores a version of a contract that ReadContract read. The same text's
// digest again answers the same; another under the same version, and a version that is not
// higher than the latest, are Conflict.
func (d *Datasets) RegisterContract(tx *db.Tx, c Contract, by By) (*Contract, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Contract returns a version of a contract, the latest if version is "", or a NotFound error.
func (d *Datasets) Contract(ctx context.Context, id, version string) (*Contract, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// ContractIn is Contract as a transaction sees it.
func (d *Datasets) ContractIn(tx *db.Tx, id, version string) (*Contract, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Contracts lists the latest versions, latest registered first; without their texts.
func (d *Datasets) Contracts(ctx context.Context, f ContractFilter, cursor string) ([]*Contract, string, error) {
	return nil, "", caos.Errorf(caos.Unavailable, "not there yet")
}

// ContractVersions lists the versions of a contract, the highest first; without their texts.
func (d *Datasets) ContractVersions(ctx context.Context, id string, limit int, cursor string) ([]*Contract, string, error) {
	return nil, "", caos.Errorf(caos.Unavailable, "not there yet")
}
