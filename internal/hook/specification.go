package hook

// SpecHook is what the specification 95-00-09-00-007 (version 1.0, 2025-11-17) says of one
// hook: its words are binding, so they stand here once, and tests hold the code and the
// documents against them.
type SpecHook struct {
	ID      string
	Section string
	Title   string
	Trigger string
	Actions []string // the numbered actions, the first is number 1
}

// Specification lists the fourteen hooks with their 97 numbered actions.
func Specification() []SpecHook { return append(untilRelease(), sinceRelease()...) }

// untilRelease are sections 4 to 6: from the frozen model to its deployment.
func untilRelease() []SpecHook {
	return []SpecHook{
		{"CAOS.PROD.MODEL.FREEZE", "4.1", "Model Freeze Hook", "Model V&V completion and readiness for production", []string{
			"Validate V&V completion status",
			"Create immutable model baseline",
			"Generate freeze record with timestamp",
			"Update model registry",
			"Trigger DPP record creation",
			"Notify stakeholders",
			"Initiate production planning workflow",
		}},
		{"CAOS.PROD.MODEL.PRR", "4.2", "Production Readiness Review (PRR) Hook", "Completion of all industrialization criteria", []string{
			"Validate all industrialization criteria",
			"Check risk register for acceptable status",
			"Verify certification evidence completeness",
			"Generate PRR report",
			"Record PRR decision",
			"Update model status to PRODUCTION_READY (if approved)",
			"Trigger release preparation workflow",
		}},
		{"CAOS.PROD.DATA.PIPELINE", "5.1", "Data Pipeline Orchestration Hook", "Scheduled or event-driven data pipeline execution", []string{
			"Validate data source availability",
			"Allocate compute resources",
			"Execute ETL workflow",
			"Perform data quality checks",
			"Update data lineage records",
			"Generate execution report",
			"Trigger downstream workflows if successful",
		}},
		{"CAOS.PROD.DATA.VALIDATE", "5.2", "Data Validation Hook", "Completion of data pipeline execution", []string{
			"Load validation rules",
			"Execute validation checks (completeness, accuracy, consistency)",
			"Calculate data quality metrics",
			"Flag anomalies and outliers",
			"Update data quality dashboard",
			"Alert on validation failures",
		}},
		{"CAOS.PROD.MLOPS.CICD", "6.1", "CI/CD Pipeline Hook", "Code commit, model update, or manual trigger", []string{
			"Clone repository and checkout commit",
			"Build model container",
			"Run automated tests (unit, integration, security)",
			"Perform static code analysis",
			"Package model artifacts",
			"Deploy to target environment",
			"Run smoke tests",
			"Update deployment registry",
		}},
		{"CAOS.PROD.MLOPS.DEPLOY", "6.2", "Model Deployment Hook", "Approved model release", []string{
			"Validate release authorization",
			"Prepare deployment artifacts",
			"Execute deployment strategy",
			"Monitor deployment health",
			"Validate deployment success criteria",
			"Update model serving registry",
			"Create deployment record in DPP",
		}},
	}
}

// sinceRelease are sections 7 to 10: what watches over a deployed model and accounts for it.
func sinceRelease() []SpecHook {
	return []SpecHook{
		{"CAOS.PROD.MONITOR.PERFORMANCE", "7.1", "Performance Monitoring Hook", "Continuous (real-time streaming)", []string{
			"Aggregate performance metrics",
			"Calculate rolling statistics",
			"Compare against baseline performance",
			"Detect anomalies and degradation",
			"Update monitoring dashboards",
			"Trigger alerts on threshold violations",
		}},
		{"CAOS.PROD.MONITOR.DRIFT", "7.2", "Drift Detection Hook", "Scheduled (e.g., hourly, daily)", []string{
			"Collect recent inference data",
			"Load baseline distribution",
			"Calculate drift metrics",
			"Compare against drift thresholds",
			"Generate drift report",
			"Alert on significant drift",
			"Recommend actions (retrain, recalibrate)",
		}},
		{"CAOS.PROD.INCIDENT.DETECT", "8.1", "Incident Detection Hook", "Alert threshold violation or manual report", []string{
			"Create incident record",
			"Classify incident severity",
			"Assign incident response team",
			"Collect relevant logs and metrics",
			"Initiate incident response workflow",
			"Notify stakeholders per escalation policy",
			"Start incident timeline tracking",
		}},
		{"CAOS.PROD.INCIDENT.ROLLBACK", "8.2", "Rollback Execution Hook", "Manual decision or automated based on health checks", []string{
			"Validate rollback authorization",
			"Prepare rollback plan",
			"Create backup of current state",
			"Execute rollback to target version",
			"Validate rollback success",
			"Update model serving registry",
			"Notify stakeholders",
			"Log rollback in audit trail",
		}},
		{"CAOS.PROD.CERT.EVIDENCE", "9.1", "Evidence Collection Hook", "Continuous or on-demand", []string{
			"Validate evidence artifact",
			"Calculate artifact hash for integrity",
			"Store in evidence repository",
			"Update certification package index",
			"Create blockchain record (if applicable)",
			"Update DPP with evidence link",
			"Notify certification team",
		}},
		{"CAOS.PROD.CERT.AUDIT", "9.2", "Audit Trail Hook", "Any production-impacting action", []string{
			"Create immutable audit record",
			"Calculate record hash",
			"Store in audit log",
			"Create blockchain entry (if required)",
			"Update audit dashboard",
			"Check for compliance violations",
		}},
		{"CAOS.PROD.DPP.CREATE", "10.1", "DPP Record Creation Hook", "Model freeze, deployment, or major lifecycle event", []string{
			"Generate DPP record structure",
			"Collect all relevant metadata",
			"Calculate content hashes",
			"Create DPP JSON document",
			"Store in DPP repository",
			"Create blockchain transaction",
			"Update DPP index",
		}},
		{"CAOS.PROD.BLOCKCHAIN.CONTRACT", "10.2", "Smart Contract Interaction Hook", "Production event requiring blockchain recording", []string{
			"Prepare transaction",
			"Sign transaction with authorized key",
			"Submit to blockchain network",
			"Monitor transaction confirmation",
			"Verify transaction success",
			"Store transaction receipt",
			"Update local records with tx_id",
		}},
	}
}
