package readiness

import "time"

// ObjectiveStatus is how far an objective of a plan is shown.
type ObjectiveStatus string

// The states of a planned objective. Stored.
const (
	ObjectiveOpen       ObjectiveStatus = "OPEN"
	ObjectiveInProgress ObjectiveStatus = "IN_PROGRESS"
	ObjectiveShown      ObjectiveStatus = "SHOWN" // there is evidence, and the planner says that it suffices
)

// ObjectiveStatuses lists them.
func ObjectiveStatuses() []string {
	return []string{string(ObjectiveOpen), string(ObjectiveInProgress), string(ObjectiveShown)}
}

// CertificationPlan says for every objective of a catalogue whether it applies to a model,
// by which means it is met, and what shows it.
type CertificationPlan struct {
	PlanID           string              `json:"plan_id"` // CPLAN-DLY-1
	ModelID          string              `json:"model_id"`
	Title            string              `json:"title"`
	Regime           string              `json:"regime"` // EASA_CS-25
	CatalogueID      string              `json:"catalogue_id"`
	CatalogueVersion string              `json:"catalogue_version"`
	CatalogueDigest  string              `json:"catalogue_digest"`
	Objectives       []*PlannedObjective `json:"objectives"` // in the order of the catalogue
	Project          string              `json:"project"`
	Classification   string              `json:"classification"`
	CreatedAt        time.Time           `json:"created_at"`
	CreatedBy        string              `json:"created_by"`
	UpdatedAt        time.Time           `json:"updated_at"`
	Revision         int64               `json:"revision"` // counts every change of an objective, too
}

// PlannedObjective is what a plan says about an objective.
type PlannedObjective struct {
	ID             string          `json:"id"` // DM-06
	Chapter        string          `json:"chapter"`
	Title          string          `json:"title"` // the catalogue's
	Applicable     bool            `json:"applicable"`
	Justification  string          `json:"justification"` // why it does not apply; may say why it does
	Means          string          `json:"means"`         // of compliance
	Owner          string          `json:"owner"`         // user id, "" for nobody yet
	Status         ObjectiveStatus `json:"status"`
	RequirementIDs []string        `json:"requirement_ids"`
	Evidence       []string        `json:"evidence"` // ids
	UpdatedAt      time.Time       `json:"updated_at"`
	UpdatedBy      string          `json:"updated_by"`
	Revision       int64           `json:"revision"`
}

// ObjectiveAt names an objective of a plan, at the revision that the caller saw; 0 is any.
type ObjectiveAt struct {
	PlanID, ObjectiveID string
	Revision            int64
}

// ObjectiveChange is what may be changed about an objective of a plan; nil leaves a field.
type ObjectiveChange struct {
	Applicable     *bool            `json:"applicable,omitempty"`
	Justification  *string          `json:"justification,omitempty"`
	Means          *string          `json:"means,omitempty"`
	Owner          *string          `json:"owner,omitempty"`
	Status         *ObjectiveStatus `json:"status,omitempty"`
	RequirementIDs *[]string        `json:"requirement_ids,omitempty"`
	Evidence       *[]string        `json:"evidence,omitempty"`
}

// PlanFilter chooses certification plans; empty fields match all.
type PlanFilter struct {
	ModelID, Project, CatalogueID string
	Limit                         int // of a page; 0 means 100, the most is 1000
}

// Coverage is how much of a plan is shown.
type Coverage struct {
	Objectives    int      `json:"objectives"`
	Applicable    int      `json:"applicable"`
	WithEvidence  int      `json:"with_evidence"`  // applicable ones that name evidence
	Shown         int      `json:"shown"`          // applicable ones that are SHOWN
	Without       []string `json:"without"`        // ids of applicable ones that name no evidence, in the plan's order
	NotApplicable []string `json:"not_applicable"` // ids
}

// PlanCoverage says which applicable objectives have evidence. A nil plan has none.
func PlanCoverage(plan *CertificationPlan) Coverage {
	c := Coverage{Without: []string{}, NotApplicable: []string{}}
	if plan == nil {
		return c
	}
	c.Objectives = len(plan.Objectives)
	for _, o := range plan.Objectives {
		if !o.Applicable {
			c.NotApplicable = append(c.NotApplicable, o.ID)
			continue
		}
		c.Applicable++
		if o.Status == ObjectiveShown {
			c.Shown++
		}
		if len(o.Evidence) > 0 {
			c.WithEvidence++
		} else {
			c.Without = append(c.Without, o.ID)
		}
	}
	return c
}
