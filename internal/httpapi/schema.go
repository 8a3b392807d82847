package httpapi

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// schemaNames are names in the OpenAPI document for types whose own names mean something
// only beside the name of their package.
var schemaNames = strings.NewReplacer(
	"caos/internal/contract.Check", "ContractCheck",
	"caos/internal/contract.ImportReport", "ExpectationsReport",
	"caos/internal/contract.MappedRule", "ExpectationMapped",
	"caos/internal/contract.Object", "ContractObject",
	"caos/internal/contract.Property", "ContractProperty",
	"caos/internal/contract.UnmappedRule", "ExpectationUnmapped",
	"caos/internal/dataset.CSV", "PipelineCSV",
	"caos/internal/dataset.Column", "DatasetColumn",
	"caos/internal/dataset.Compute", "PipelineCompute",
	"caos/internal/dataset.File", "DatasetFile",
	"caos/internal/dataset.LintFinding", "PipelineFinding",
	"caos/internal/dataset.Outlier", "ColumnOutlier",
	"caos/internal/dataset.Run", "PipelineRun",
	"caos/internal/dataset.Schedule", "PipelineSchedule",
	"caos/internal/dataset.Source", "PipelineSource",
	"caos/internal/dataset.Subscription", "PipelineSubscription",
	"caos/internal/dataset.Target", "PipelineTarget",
	"caos/internal/dataset.Transform", "PipelineTransform",
	"caos/internal/evidence.Item", "EvidenceItem",
	"caos/internal/evidence.Plan", "PackagePlan",
	"caos/internal/evidence.Summary", "EvidenceSummary",
	"caos/internal/evidence.Metadata", "EvidenceMetadata",
	"caos/internal/hook.Verdict", "GateVerdict",
	"caos/internal/importer.Counts", "ImportCounts",
	"caos/internal/importer.Kept", "ImportKept",
	"caos/internal/importer.Mapped", "ImportMapped",
	"caos/internal/importer.Report", "ImportReport",
	"caos/internal/chain.Contract", "ChainContract",
	"caos/internal/modelfile.Finding", "ModelFileFinding",
	"caos/internal/modelfile.Report", "ModelFileReport",
	"caos/internal/notify.Received", "Notice",
	"caos/internal/policy.Info", "Policy",
	"caos/internal/readiness.Check", "ReleaseCondition",
	"caos/internal/readiness.Condition", "ReviewCondition",
	"caos/internal/readiness.Coverage", "PlanCoverage",
	"caos/internal/readiness.Decision", "PersonalDecision",
	"caos/internal/readiness.Group", "ChecklistGroup",
	"caos/internal/readiness.Item", "ChecklistItem",
	"caos/internal/readiness.Template", "ChecklistTemplate",
	"caos/internal/registry.Statement", "ImportStatement",
	"caos/internal/registry.Version", "ModelVersion",
	"caos/internal/secret.Entry", "SecretEntry",
	"caos/internal/trigger.Received", "WebhookReceipt",
	"caos.Error", "ExecutionError",
)

// schemaName names a type in the OpenAPI document. A type without a name, which has only
// a hint, is named as huma would.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if name == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	if !strings.Contains(name, "[") {
		name = t.PkgPath() + "." + name
	}
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(schemaNames.Replace(name), func(r rune) bool { return strings.ContainsRune("[]*,", r) }) {
		part = part[strings.LastIndexByte(part, '.')+1:]
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
