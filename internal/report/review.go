// Package report renders a production readiness review as a document: HTML in one file, and
// PDF. It computes nothing about the review: whoever fills Review has decided what is true,
// and this package only decides how it is said. It imports nothing of this module, reads
// nothing and asks no clock, so equal input gives equal bytes, which is what the board's
// votes are about.
package report

import "time"

// Outcomes of a review, and of a vote.
const (
	Approved    = "APPROVED"
	Conditional = "CONDITIONAL"
	Rejected    = "REJECTED"
)

// Review is all that the report shows. Every string is text that is shown as it is, from
// whoever wrote it: it may be hostile, and is never markup. An empty string, a zero time and
// an empty list are left out, or shown as a dash or in words ("no risk is registered"). Times are shown in UTC to the second,
// dates are "YYYY-MM-DD". Digests are "SHA256:" and hex, or plain hex. Ids that repeat in one
// list are shown as often as they are there.
type Review struct {
	// What the document is.
	PRRID          string    // "PRR-NN-FCS-001-2.1.0"
	ReportID       string    // document id of this report, "95-00-09-02-003"
	ReportVersion  string    // edition: "1.0" before the votes, "2.0" after the decision, "3.0" after the conditions
	CreatedAt      time.Time // when this edition was made; the document's creation time in the PDF, too
	Classification string    // of the model, printed on every page: PUBLIC, INTERNAL, RESTRICTED, CONFIDENTIAL, REGULATED
	Project        string    // "" for none
	Organisation   string    // who runs the installation; "" leaves the line out
	Earlier        []Edition // the editions before this one, oldest first

	// What is asked.
	ModelID      string   // "NN-FCS-001"
	ModelName    string   // as registered
	ModelPurpose string   // what the model is for, in a sentence or two; "" leaves it out
	Version      string   // "2.1.0"
	SafetyLevel  string   // "DAL-A" … "DAL-E"; "" is shown as "not assessed"
	Owner        Person   // of the model
	RequestedBy  Person   // of the review
	RequestNote  string   // rationale, if the request has one
	Members      []Member // the board: members first, then the chief engineers who are not members
	Rule         string   // how the votes are counted, in words, from the policy
	PRRDate      string   // "YYYY-MM-DD"
	OpenedAt     time.Time
	ClosesAt     time.Time // last moment for votes; zero if there are none to wait for (best is REJECTED)
	VoteLink     string    // https address where the board votes, or ""; shown as a link only if it is http or https

	// What the facts allow, and what came of it.
	Best          string    // Approved, Conditional or Rejected: the best decision that is possible
	Verdicts      []Verdict // every check, with what it found; those that stand in the way are shown first
	Decision      string    // as it stands now: Approved, Conditional, Rejected, or "" while there is none
	BoardDecision string    // what the board decided, which closed conditions do not change; "" while there is none
	DecisionNote  string    // why it is this, in words ("both members and the Chief Engineer approved"); may be ""
	DecidedAt     time.Time // of the board's decision
	Status        string    // of the review: PREPARING, VOTING, CONDITIONAL, DECIDED, FAILED, CANCELLED
	NextSteps     []string  // sentences; a command in one is written between backquotes

	Baseline     Baseline
	Validation   Validation
	Checklist    Checklist
	Risks        Risks
	Evidence     Evidence
	Objectives   Objectives
	Problems     []Problem // problem reports, open ones first; closed ones as far as they matter
	Changes      []Change  // change requests about the model since the freeze, open ones first
	Conditions   []Condition
	Votes        []Vote // in the order of their records
	Log          Log
	Verification []Instruction // how a reader checks this document; nil leaves only the fixed text
}

// Edition is an earlier version of the report.
type Edition struct {
	Version   string // "1.0"
	Digest    string // of its HTML
	CreatedAt time.Time
	Says      string // "before the votes", "after the decision"
}

// Person is an account as readers know it.
type Person struct {
	ID   string // user id
	Name string // as the person is called; may be ""
}

// Member is one who may vote.
type Member struct {
	Person
	Roles  []string // "prr-board", "chief-engineer"
	Barred string   // why the person's vote cannot count ("owner of the model"); "" if it can
	Voted  bool
}

// Verdict is one check of the review with what it allows.
type Verdict struct {
	Rule    string   // name of the rule, "risk-high"
	Title   string   // what was checked, "High risks are accepted by the Chief Engineer"
	Pass    bool     // nothing stands in the way
	Ceiling string   // best decision that this check allows: Approved if Pass
	Finding string   // one sentence: what was found
	Remedy  string   // one sentence: what would clear it, and who can; "" if nothing is to be done
	IDs     []string // what it is about: items, risks, documents, problem reports
}

// Baseline is what was frozen.
type Baseline struct {
	BaselineID      string
	RootDigest      string // over all files
	FreezeID        string
	FrozenAt        time.Time
	FrozenBy        Person
	Rationale       string
	PassportID      string // of the freeze; "" for none
	Supersedes      string // baseline or version; ""
	CompatibleWith  string // "2.0.x"; ""
	SafetyImpact    string // as stated at the freeze; ""
	CertImpact      string // likewise
	CheckedAt       time.Time
	CheckedSays     string // outcome of the last check of the stored files, "all digests agree"; ""
	Files           []File // in the order of the manifest
	Bytes           int64  // of all files
	ToolsAndVersion []Pair // training code, framework, seeds and so on, as registered
}

// File is a frozen file.
type File struct {
	Name   string
	Role   string // "weights", "training-data", "document" …
	Digest string
	Bytes  int64
}

// Pair is a named value.
type Pair struct {
	Name  string
	Value string
}

// Validation is verification and validation.
type Validation struct {
	ReportID      string // document id of the V&V report; "" if there is none
	ReportVersion string
	ReportDigest  string
	Status        string // PASSED, FAILED, INCOMPLETE
	PerformedOn   string // "YYYY-MM-DD"
	Environment   string
	Author        Person // who registered it
	Summary       string
	Tests         []Test        // in the order of the report, those not passed first
	Requirements  []Requirement // linked to the model, uncovered ones first
}

// Test is a test of the V&V report.
type Test struct {
	TestID       string
	Title        string
	Result       string // PASSED, FAILED, SKIPPED, ERROR
	Metric       string // "latency_p99"; ""
	Value        *float64
	Unit         string // "ms"
	Operator     string // "<=", "<", ">=", ">", "=="; shown as ≤ < ≥ > =
	Threshold    *float64
	Requirements []string // ids
	Note         string
}

// Requirement is a requirement with the tests that verify it.
type Requirement struct {
	RequirementID string
	Title         string
	Tests         int  // that name it
	Passed        int  // of them
	Verified      bool // by passed tests alone
	Note          string
}

// Checklist is the instance for this baseline.
type Checklist struct {
	ChecklistID     string // "" if there is none
	TemplateID      string
	TemplateVersion string
	Title           string
	Items           []Item // in the order of the template; the report puts open ones first
}

// Item is a criterion.
type Item struct {
	ItemID      string // "3.2"
	Group       string // title of its group, "Safety"
	Title       string
	Question    string
	Critical    bool
	Status      string // PLANNED, IN_PROGRESS, COMPLETE, NOT_APPLICABLE; open is the first two
	Owner       Person // zero: nobody
	OwnerRole   string
	DueOn       string // "YYYY-MM-DD" or ""
	Overdue     bool   // on the day of this edition
	Note        string
	Evidence    []string // ids
	Reason      string   // why it is answered, in the words of who signed that; ""
	Statement   string   // who signed it, and the decision's id; ""
	CompletedBy Person
	CompletedAt time.Time
}

// Risks is the register, as far as it is about this version.
type Risks struct {
	Risks []Risk      // any order; the report sorts by residual score, then initial score, then id
	Scale []RiskLevel // lowest first; nil is the programme's: Low 1-4, Medium 5-9, High 10-14, Critical 15-25
}

// RiskLevel is a level of the scale.
type RiskLevel struct {
	Name string // "Low"
	From int    // lowest score of it, 1-25
	To   int    // highest
}

// Risk is a risk. Likelihood and impact are 1 to 5; a residual of 0 is "not assessed", and
// the initial one counts in its place.
type Risk struct {
	RiskID             string
	Title              string
	Description        string
	Category           string
	Likelihood         int
	Impact             int
	Level              string // of likelihood × impact: Low, Medium, High, Critical
	ResidualLikelihood int
	ResidualImpact     int
	ResidualLevel      string
	Mitigation         string
	Owner              Person
	Status             string // OPEN, MITIGATING, ACCEPTED, CLOSED
	ReviewOn           string // "YYYY-MM-DD"
	Overdue            bool   // its review
	AcceptedBy         Person // zero: not accepted
	AcceptedAs         string // role in which it was accepted
	AcceptedAt         time.Time
	AcceptDecisionID   string
}

// Evidence is the certification evidence.
type Evidence struct {
	Packages []string // ids of the packages it is in, "CERT-PKG-…"
	Required []Need   // kinds of evidence that must be there, missing ones first
	Items    []EvidenceItem
}

// Need is evidence that has to be there.
type Need struct {
	Name  string   // "VERIFICATION: TEST_RESULT", or an objective's or requirement's id
	Met   bool     // by the items named
	Items []string // evidence ids
	Note  string
}

// EvidenceItem is an item of evidence.
type EvidenceItem struct {
	EvidenceID  string
	Type        string // TEST_RESULT, LOG, METRIC, DOCUMENT
	Category    string // VERIFICATION, VALIDATION, AUDIT
	Title       string // or file name
	Digest      string
	CollectedAt time.Time
	Covers      []string // ids of objectives and requirements
}

// Objectives is the certification plan. PlanID "" means that there is none.
type Objectives struct {
	PlanID         string
	Regime         string // "EASA"
	CatalogueID    string
	CatalogueTitle string
	Version        string // of the catalogue
	Caveat         string // "check against EASA's text"
	Objectives     []Objective
}

// Objective is an objective of the plan.
type Objective struct {
	ObjectiveID   string
	Title         string
	Applicable    bool
	Justification string // of not applicable
	Means         string // of compliance
	Owner         Person
	Status        string // OPEN, IN_PROGRESS, SHOWN
	Requirements  []string
	Evidence      []string // ids; an applicable objective without any is shown first
}

// Problem is a problem report.
type Problem struct {
	ProblemID string
	Title     string
	Severity  string // CRITICAL, HIGH, MEDIUM, LOW
	Status    string
	Open      bool
	Owner     Person
	OpenedAt  time.Time
	Note      string // disposition
}

// Change is a change request.
type Change struct {
	ChangeID string
	Title    string
	Class    string // CRITICAL, MAJOR, MINOR, ENHANCEMENT
	Status   string
	Open     bool
	Note     string
	OpenedAt time.Time
}

// Condition is a condition of a conditional decision.
type Condition struct {
	ConditionID    string
	Text           string
	Owner          Person
	DueOn          string // "YYYY-MM-DD"
	Overdue        bool   // on the day of this edition
	From           string // whose it is: "vote of …", "open item 3.2"
	Closed         bool
	ClosedBy       Person
	ClosedAt       time.Time
	ClosedNote     string
	Evidence       []string // ids that closed it
	CloseRecordID  string   // of the audit log
	CloseProof     string   // as Vote.Proof
	CloseKey       string   // as Vote.Key
	CloseStatement string   // digest of what was signed
}

// Vote is a member's decision.
type Vote struct {
	Person
	Role       string // in which the vote counts, "prr-board, chief-engineer"
	Outcome    string // Approved, Conditional, Rejected
	At         time.Time
	Comment    string
	Meaning    string // the words that were signed
	Proof      string // "sshsig": by a key that the person holds; "server": asserted by the server
	Key        string // fingerprint of that key, "SHA256:…"; "" for "server"
	DecisionID string
	RecordID   string // of the audit log
	Digest     string // of the report that was voted on
	Counted    bool   // in the tally; a vote that does not count says why
	NotCounted string // why
}

// Log is where the audit log stood when this edition was made.
type Log struct {
	Origin       string // name of the log
	Size         int64  // leaves
	Root         string // root hash, "SHA256:…"
	At           time.Time
	PolicyDigest string // of the decision policy
	FactsDigest  string // of the JSON that this document was made from
	ExecutionID  string // of the hook
}

// Instruction is a step of the verification.
type Instruction struct {
	Text    string // a sentence
	Command string // to be typed; "" for none
	Expect  string // what it must say; "" for none
}
